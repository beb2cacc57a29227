//! Which file takes what from which other, and where that leads back.

use std::collections::{BTreeMap, BTreeSet};

use super::package::Package;

/// The arrows of one package: from a file to the one that defines what it uses.
#[derive(Default)]
pub(super) struct Graph<'a> {
    arrows: BTreeMap<(&'a str, &'a str), Use<'a>>,
}

/// What ties two files.
pub(super) struct Use<'a> {
    /// Where the first of the names stands.
    pub(super) line: usize,
    pub(super) names: BTreeSet<&'a str>,
}

/// Files each of which uses, by way of others, all the others.
pub(super) struct Circle<'a> {
    pub(super) files: BTreeSet<&'a str>,
    pub(super) arrows: Vec<(&'a str, &'a str, Use<'a>)>,
}

/// The arrows between the files of a package.
pub(super) fn of<'a>(package: &Package<'a>) -> Graph<'a> {
    let mut graph = Graph::default();
    for (id, scope) in package.scopes() {
        for import in scope.imports.iter().filter(|import| !import.is_public) {
            let origin = package.origin_of_import(id, import);
            graph.add(scope.file, origin, import.line, &import.path);
        }
        for mention in &scope.mentions {
            let origin = package.origin_of_mention(id, mention);
            graph.add(scope.file, origin, mention.line, &mention.path);
        }
    }
    graph
}

impl<'a> Graph<'a> {
    fn add(&mut self, from: &'a str, to: Option<&'a str>, line: usize, path: &[&'a str]) {
        // `Door::open` takes the door.
        let is_type = |name: &&&str| name.starts_with(char::is_uppercase);
        let name = path.iter().find(is_type).or(path.last());
        let (Some(to), Some(name)) = (to, name) else { return };
        if to == from {
            return;
        }
        let tie = self.arrows.entry((from, to)).or_insert(Use { line, names: BTreeSet::new() });
        tie.line = tie.line.min(line);
        tie.names.insert(name);
    }

    /// Its circles: no file is in two of them.
    pub(super) fn circles(mut self) -> Vec<Circle<'a>> {
        let files: BTreeSet<_> = self.arrows.keys().map(|(from, _)| *from).collect();
        let reach: BTreeMap<_, _> = files.iter().map(|file| (*file, self.reach(file))).collect();
        let mut circles = Vec::new();
        let mut seen = BTreeSet::new();
        for file in files {
            let circle: BTreeSet<_> = reach[file]
                .iter()
                .copied()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(file)))
                .collect();
            if circle.is_empty() || !seen.insert(file) {
                continue;
            }
            seen.extend(&circle);
            let within = |from: &str, to: &str| circle.contains(from) && circle.contains(to);
            let arrows = self
                .arrows
                .extract_if(.., |(from, to), _| within(from, to))
                .map(|((from, to), tie)| (from, to, tie))
                .collect();
            circles.push(Circle { files: circle, arrows });
        }
        circles
    }

    /// All files that a file uses, directly or by way of others.
    fn reach(&self, file: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![file];
        while let Some(from) = open.pop() {
            for ((_, to), _) in self.arrows.range((from, "")..).take_while(|((f, _), _)| *f == from)
            {
                if reached.insert(*to) {
                    open.push(to);
                }
            }
        }
        reached
    }
}
