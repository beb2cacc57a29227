//! The rule that a manifest names no crate that its sources don't use.

use std::collections::BTreeSet;

use crate::manifests::{Dependency, Kind, dependencies, members, parse};
use crate::token::{self, Token};
use crate::tree::{File, Rule, tree};

/// Libraries that don't have the name of their package.
const LIBRARIES: &[(&str, &str)] = &[("rustls-webpki", "webpki")];

/// Dependencies that no source names, and why they are there: crate, dependency, reason.
const UNNAMED: &[(&str, &str, &str)] = &[(
    "fabric",
    "protoc-bin-vendored",
    "cargo downloads the compiler that .cargo/protoc runs for etcd's client",
)];

#[test]
fn no_dependency_is_unused() {
    let mut rule = Rule::new(
        "A dependency that nothing uses is built, checked and upgraded for nothing.",
        "Remove it; one that only tests use is a dev-dependency. If it has to be there although no \
         source names it, say why in tests/tidy/src/dependencies.rs.",
    );
    let members = members();
    for (folder, manifest) in &members {
        let sources = || {
            let nested = |file: &File| {
                members.iter().any(|(other, _)| other.len() > folder.len() && within(file, other))
            };
            tree().rust().filter(move |file| within(file, folder) && !nested(file))
        };
        let mut all = BTreeSet::new();
        let mut shipped = BTreeSet::new();
        for file in sources() {
            let tokens = token::read(&file.text);
            all.extend(used(&tokens));
            for shared in elsewhere(file, &tokens) {
                all.extend(used(&token::read(&shared.text)));
            }
            if file.is_shipped() {
                shipped.extend(used(&token::read_shipped(&file.text)));
            }
        }
        for Dependency { name, kind, .. } in dependencies(manifest) {
            let library = library(&name);
            let users = match kind {
                Kind::Normal => &shipped,
                Kind::Tests | Kind::Build => &all,
            };
            let is_unnamed =
                UNNAMED.iter().any(|(at, unnamed, _)| at == folder && *unnamed == name);
            if is_unnamed == users.contains(library.as_str()) {
                let what = match (is_unnamed, all.contains(library.as_str())) {
                    (true, _) => "is used after all: drop the exception",
                    (false, true) => "is used only by tests",
                    (false, false) => "is used nowhere",
                };
                rule.broken_manifest(folder, &format!("{name} {what}"));
            }
        }
    }
    let shared = parse("Cargo.toml")["workspace"]["dependencies"].as_table().unwrap().clone();
    for name in shared.keys() {
        let is_taken = |manifest| dependencies(manifest).iter().any(|taken| taken.name == *name);
        if !members.iter().any(|(_, manifest)| is_taken(manifest)) {
            rule.note(&format!("Cargo.toml: no crate takes {name} from the workspace"));
        }
    }
    rule.check();
}

fn within(file: &File, folder: &str) -> bool {
    file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The files of other folders that one takes in by `#[path = "…"]`, with the modules below them.
fn elsewhere(file: &File, tokens: &[Token<'_>]) -> Vec<&'static File> {
    let mut found = Vec::new();
    for triple in tokens.windows(3) {
        let (token::Kind::Name("path"), token::Kind::Sign('='), token::Kind::Text(path)) =
            (triple[0].kind, triple[1].kind, triple[2].kind)
        else {
            continue;
        };
        let root = file.sibling(path);
        let folder = root.strip_suffix("mod.rs").map(str::to_owned);
        let is_below = |path: &str| folder.as_deref().is_some_and(|f| path.starts_with(f));
        found.extend(tree().rust().filter(|file| file.path == root || is_below(&file.path)));
    }
    found
}

/// The name by which code calls a package.
fn library(package: &str) -> String {
    let renamed = LIBRARIES.iter().find(|(name, _)| *name == package);
    renamed.map_or_else(|| package.replace('-', "_"), |(_, library)| (*library).to_owned())
}

/// What the code names as the start of a path, by a macro, in a `use` or in an attribute's string.
fn used<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let mut used = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = kind(at.wrapping_sub(1));
        match token.kind {
            token::Kind::Name(name) => {
                let is_path = kind(at + 1) == Some(token::Kind::Separator);
                let is_macro = kind(at + 1) == Some(token::Kind::Sign('!'));
                if is_path || is_macro || before == Some(token::Kind::Name("use")) {
                    used.insert(name);
                }
            }
            token::Kind::Text(text) if before == Some(token::Kind::Sign('=')) => {
                used.insert(text.split_once("::").map_or(text, |(start, _)| start));
            }
            token::Kind::Text(_) | token::Kind::Separator | token::Kind::Sign(_) => {}
        }
    }
    used
}

#[test]
fn uses_are_told_from_words() {
    let is_used = |text| used(&token::read_shipped(text)).contains(library("serde-json").as_str());
    assert!(is_used("use serde_json as json;"));
    assert!(is_used("let text = serde_json::to_string(&value);"));
    assert!(is_used("let value = serde_json!({});"));
    assert!(is_used("#[serde(with = \"serde_json::value\")]\nstruct Value;"));
    assert!(!is_used("// serde_json::to_string\nlet serde_json = 1;"));
    assert!(!is_used("#[cfg(test)]\nmod tests { use serde_json::Value; }"));
}
