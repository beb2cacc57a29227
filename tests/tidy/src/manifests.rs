//! The workspace's manifests, as the rules about them read them.

use toml::{Table, Value};

use crate::tree::{Rule, tree};

impl Rule {
    /// The rule is broken in a crate's manifest.
    pub(crate) fn broken_manifest(&mut self, folder: &str, what: &str) {
        let path = format!("{folder}/Cargo.toml");
        let file = tree().files().find(|file| file.path == path).unwrap();
        self.broken(file, 1, what);
    }
}

/// The members of the workspace: folder and manifest.
pub(crate) fn members() -> Vec<(String, Table)> {
    let root = parse("Cargo.toml");
    let members = root["workspace"]["members"].as_array().unwrap();
    let folders = members.iter().map(|member| member.as_str().unwrap());
    folders.map(|folder| (folder.to_owned(), parse(&format!("{folder}/Cargo.toml")))).collect()
}

pub(crate) fn parse(path: &str) -> Table {
    tree().text(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One line of a manifest that names another crate.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) value: Value,
}

/// What a dependency is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Tests,
    Build,
}

/// All dependencies of a manifest, those of builds, tests and single platforms too.
pub(crate) fn dependencies(manifest: &Table) -> Vec<Dependency> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest)
        .chain(platforms.into_iter().flat_map(Table::values).filter_map(Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for (key, kind) in [
            ("dependencies", Kind::Normal),
            ("dev-dependencies", Kind::Tests),
            ("build-dependencies", Kind::Build),
        ] {
            let entries = table.get(key).and_then(Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(name, value)| Dependency {
                name: name.clone(),
                kind,
                value: value.clone(),
            }));
        }
    }
    found
}
