//! The modules of one program or library, and which of them defines a name.

use std::collections::{BTreeMap, BTreeSet};

use super::module::{self, Binding, Import, Mention, Module};

/// All modules below one root file.
pub(super) struct Package<'a> {
    scopes: Vec<Scope<'a>>,
}

/// A module in its place.
pub(super) struct Scope<'a> {
    pub(super) file: &'a str,
    parent: Option<usize>,
    children: BTreeMap<&'a str, usize>,
    items: BTreeSet<&'a str>,
    pub(super) imports: Vec<Import<'a>>,
    pub(super) mentions: Vec<Mention<'a>>,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// An item that this module defines.
    Item(usize),
    Module(usize),
    /// Something that an import brings from another crate.
    Foreign,
}

/// Re-exports of re-exports that are followed, so that a glob of oneself comes to an end.
const MAX_STEPS: usize = 24;

impl<'a> Package<'a> {
    /// Reads the root file and every module below it but tests. `files` has the text by path.
    pub(super) fn read(root: &'a str, files: &BTreeMap<&'a str, &'a str>) -> Self {
        let mut package = Self { scopes: Vec::new() };
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        package.add(None, root, folder.to_owned(), module::read(files[root]), files);
        package
    }

    /// Adds a module whose children's files lie in `folder`.
    fn add(
        &mut self,
        parent: Option<usize>,
        file: &'a str,
        folder: String,
        module: Module<'a>,
        files: &BTreeMap<&'a str, &'a str>,
    ) -> usize {
        let id = self.scopes.len();
        let Module { items, imports, mentions, declared, inline } = module;
        let children = BTreeMap::new();
        self.scopes.push(Scope { file, parent, children, items, imports, mentions });
        for (name, child) in inline {
            let child = self.add(Some(id), file, format!("{folder}/{name}"), child, files);
            self.scopes[id].children.insert(name, child);
        }
        for child in declared {
            let name = child.name;
            let beside = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            let places = match child.path {
                Some(path) => vec![format!("{beside}/{path}")],
                None => vec![format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")],
            };
            let found = places.iter().find_map(|place| files.get_key_value(place.as_str()));
            if let Some((file, text)) = found {
                let module = module::read(text);
                let child = self.add(Some(id), file, format!("{folder}/{name}"), module, files);
                self.scopes[id].children.insert(name, child);
            }
        }
        id
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = (usize, &Scope<'a>)> {
        self.scopes.iter().enumerate()
    }

    /// The file that an import of the module comes from.
    pub(super) fn origin_of_import(&self, scope: usize, import: &Import<'a>) -> Option<&'a str> {
        // A module that is imported is used where a path through it stands.
        match self.resolve(scope, &import.path, 0) {
            Some(Target::Item(id)) => Some(self.scopes[id].file),
            Some(Target::Module(_) | Target::Foreign) => None,
            None => self.nearest(scope, &import.path),
        }
    }

    /// The file that defines what the code of a module names.
    pub(super) fn origin_of_mention(&self, scope: usize, mention: &Mention<'a>) -> Option<&'a str> {
        match self.resolve(scope, &mention.path, 0) {
            Some(Target::Item(id)) => Some(self.scopes[id].file),
            Some(Target::Module(_) | Target::Foreign) => None,
            None if mention.is_macro => self.macro_above(scope, mention.path[0]),
            None => self.nearest(scope, &mention.path),
        }
    }

    /// The file of the module that a path goes through when its last name isn't seen there: a
    /// macro defines it.
    fn nearest(&self, scope: usize, path: &[&str]) -> Option<&'a str> {
        match self.resolve(scope, path.split_last()?.1, 0)? {
            Target::Module(id) if path.len() > 1 => Some(self.scopes[id].file),
            Target::Module(_) | Target::Item(_) | Target::Foreign => None,
        }
    }

    /// The file above a module that defines a macro: macros need no path further down.
    fn macro_above(&self, scope: usize, name: &str) -> Option<&'a str> {
        let mut above = self.scopes[scope].parent;
        while let Some(id) = above {
            if self.scopes[id].items.contains(name) {
                return Some(self.scopes[id].file);
            }
            above = self.scopes[id].parent;
        }
        None
    }

    /// Follows a path that is written in a module.
    fn resolve(&self, scope: usize, path: &[&str], steps: usize) -> Option<Target> {
        match path.split_first() {
            Some((&"crate", rest)) => self.descend(0, rest, steps),
            Some((&"self", rest)) => self.descend(scope, rest, steps),
            Some((&"super", rest)) => {
                let mut above = self.scopes[scope].parent?;
                let mut rest = rest;
                while let Some((&"super", further)) = rest.split_first() {
                    above = self.scopes[above].parent?;
                    rest = further;
                }
                self.descend(above, rest, steps)
            }
            Some(_) => self.descend(scope, path, steps),
            None => None,
        }
    }

    /// Looks a path up in a module, through what it imports.
    fn descend(&self, id: usize, path: &[&str], steps: usize) -> Option<Target> {
        let Some((name, rest)) = path.split_first() else { return Some(Target::Module(id)) };
        if steps > MAX_STEPS {
            return None;
        }
        let scope = &self.scopes[id];
        let targets: Vec<_> = self.targets(id, name, steps).collect();
        let imported = targets.iter().filter_map(|target| match target {
            Some(Target::Module(id)) => Some(id),
            Some(Target::Item(_) | Target::Foreign) | None => None,
        });
        let modules: Vec<_> = scope.children.get(name).into_iter().chain(imported).collect();
        // A name may stand for a module and for an item; only the first has more names in it.
        if !rest.is_empty() {
            let found = modules.iter().find_map(|module| self.descend(**module, rest, steps + 1));
            if found.is_some() {
                return found;
            }
        }
        if scope.items.contains(name) {
            return Some(Target::Item(id));
        }
        let item = targets.iter().flatten().find(|target| matches!(target, Target::Item(_)));
        if item.is_some() {
            return item.copied();
        }
        if let Some(module) = modules.first() {
            return rest.is_empty().then_some(Target::Module(**module));
        }
        if !targets.is_empty() {
            return Some(Target::Foreign);
        }
        let globs = scope.imports.iter().filter(|i| matches!(i.binding, Binding::Glob));
        globs
            .filter_map(|glob| match self.resolve(id, &glob.path, steps + 1)? {
                Target::Module(module) if module != id => self.descend(module, path, steps + 1),
                Target::Module(_) | Target::Item(_) | Target::Foreign => None,
            })
            .next()
    }

    /// Where the imports of this name lead; nowhere, if to another crate.
    fn targets<'s>(
        &'s self,
        id: usize,
        name: &'s str,
        steps: usize,
    ) -> impl Iterator<Item = Option<Target>> + 's {
        let imports = self.scopes[id].imports.iter();
        imports
            .filter(move |import| matches!(import.binding, Binding::Name(bound) if bound == name))
            .map(move |import| self.resolve_import(id, import, steps + 1))
    }

    /// `use name::…;` doesn't look itself up.
    fn resolve_import(&self, id: usize, import: &Import<'a>, steps: usize) -> Option<Target> {
        if steps > MAX_STEPS { None } else { self.resolve(id, &import.path, steps) }
    }
}
