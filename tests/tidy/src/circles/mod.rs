//! The rule that no crate's files form a circle.
//!
//! A file uses another when its code names what the other defines, however it comes by the name: a
//! re-export is followed to the definition. So neither `mod x;` nor `pub use` counts by itself, but
//! a parent that defines what its child uses, and uses the child, is a circle of two.

mod graph;
mod module;
mod package;
mod tests;

use std::collections::BTreeMap;

use crate::tree::{File, Rule, tree};

use graph::Circle;
use package::Package;

/// Circles that still stand, by the starts of their files' paths. An entry goes with its circle.
const STANDING: &[&[&str]] = &[];

#[test]
fn no_crate_has_a_circle_of_files() {
    rule(&tree().rust().collect::<Vec<_>>(), STANDING).check();
}

/// The rule over these files, but for circles that lie within an exception.
fn rule(files: &[&File], exceptions: &[&[&str]]) -> Rule {
    let mut rule = Rule::new(
        "Files that use each other in a circle can only be read, tested and moved together.",
        "Put what both sides need into a file of its own, or pass it in.",
    );
    let mut unneeded = exceptions.to_vec();
    for circle in circles(files) {
        let covers = |starts: &[&str]| {
            circle.files.iter().all(|file| starts.iter().any(|start| file.starts_with(start)))
        };
        if exceptions.iter().any(|starts| covers(starts)) {
            unneeded.retain(|starts| !covers(starts));
            continue;
        }
        for (from, to, tie) in circle.arrows {
            let file = files.iter().find(|file| file.path == from).unwrap();
            let names = tie.names.into_iter().collect::<Vec<_>>().join(", ");
            rule.broken(file, tie.line, &format!("takes {names} from {to}"));
        }
        rule.note("");
    }
    for starts in unneeded {
        rule.note(&format!("no circle within {}: drop the exception", starts.join(", ")));
    }
    rule
}

/// The circles of all crates among the files.
fn circles<'a>(files: &[&'a File]) -> Vec<Circle<'a>> {
    let texts: BTreeMap<_, _> = files
        .iter()
        .filter(|file| file.is_shipped())
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    let roots = texts.keys().filter(|path| is_root(path));
    roots.flat_map(|root| graph::of(&Package::read(root, &texts)).circles()).collect()
}

/// Whether a library or program starts with this file.
fn is_root(path: &str) -> bool {
    let within = path.split_once("src/").map_or(path, |(_, within)| within);
    within == "lib.rs" || within == "main.rs" || within.starts_with("bin/")
}
