//! The rules about names: types are nouns of the field, functions are its verbs.

use crate::token::{self, Kind, Token};
use crate::tree::{Rule, tree};

/// Words that end like a participle and are none, or are the field's own.
const NOUNS: &[&str] = &["Accepted", "Bed", "Embed", "Feed", "Need", "Seed", "Shared", "Speed"];

/// Participles by which a type would only be told from others, as the last word of its name.
const PARTICIPLES: &[&str] = &[
    "Begun",
    "Built",
    "Closing",
    "Done",
    "Drawn",
    "Following",
    "Found",
    "Given",
    "Gone",
    "Held",
    "Kept",
    "Known",
    "Made",
    "Rewritten",
    "Running",
    "Seen",
    "Sent",
    "Shown",
    "Standing",
    "Starting",
    "Taken",
    "Told",
    "Unbegun",
    "Waiting",
    "Waking",
    "Written",
];

/// Names of types that say nothing.
const FILLERS: &[&str] = &["Above", "Anyone", "Do", "Over", "Place", "Stuff", "Thing", "Where"];

/// Names of functions that don't say what they do.
const VAGUE: &[&str] = &["apart", "made", "must", "settle", "told", "word"];

/// Where such names still stand, by the start of the path. An entry goes with its last name.
const STANDING: &[&str] = &[];

#[test]
fn names_are_the_fields_own() {
    let mut rule = Rule::new(
        "A reader knows the field's words. A type called by a participle or a filler, or a \
         function called by half a phrase, has to be looked up each time.",
        "Name a type by the noun for what it is (`Outcome`, `Reservation`), a function by the \
         verb for what it does. A noun that ends in -ed goes into tests/tidy/src/names.rs.",
    );
    let mut standing = STANDING.to_vec();
    for file in tree().rust().filter(|file| file.is_shipped()) {
        for token in definitions(&token::read_shipped(&file.text)).filter_map(unfit) {
            if STANDING.iter().any(|start| file.path.starts_with(start)) {
                standing.retain(|start| !file.path.starts_with(start));
            } else {
                rule.broken(file, token.1, &format!("`{}` says too little", token.0));
            }
        }
    }
    for start in standing {
        rule.note(&format!("no such name in {start}: drop the exception"));
    }
    rule.check();
}

/// What a definition defines.
enum Definition<'a> {
    Type(&'a str),
    Function(&'a str),
}

/// The types and functions that are defined, each with its line.
fn definitions<'t>(tokens: &'t [Token<'t>]) -> impl Iterator<Item = (Definition<'t>, usize)> + 't {
    tokens.windows(2).filter_map(|pair| match (pair[0].kind, pair[1].kind) {
        (Kind::Name("struct" | "enum" | "union" | "trait" | "type"), Kind::Name(name)) => {
            Some((Definition::Type(name), pair[1].line))
        }
        (Kind::Name("fn"), Kind::Name(name)) => Some((Definition::Function(name), pair[1].line)),
        _ => None,
    })
}

/// A name that must be another, with its line.
fn unfit((definition, line): (Definition<'_>, usize)) -> Option<(&str, usize)> {
    let (name, is_unfit) = match definition {
        Definition::Type(name) => {
            let word = &name[name.rfind(char::is_uppercase).unwrap_or(0)..];
            let is_participle = word.ends_with("ed") && !NOUNS.contains(&word);
            (name, is_participle || PARTICIPLES.contains(&word) || FILLERS.contains(&name))
        }
        Definition::Function(name) => (name, VAGUE.contains(&name) || name.starts_with("must_")),
    };
    is_unfit.then_some((name, line))
}

#[test]
fn participles_are_told_from_nouns() {
    let text = "struct Wanted; struct NameTaken; enum Speed {} type Embed = u8; trait KeptFile {} \
                struct Placement; struct Place; fn settle() {} fn settled() {} fn must_run() {} \
                #[cfg(test)] struct Paused;";
    let tokens = token::read_shipped(text);
    let unfit: Vec<_> = definitions(&tokens).filter_map(unfit).map(|(name, _)| name).collect();
    assert_eq!(unfit, ["Wanted", "NameTaken", "Place", "settle", "must_run"]);
}
