//! The rule finds planted circles, and nothing in trees that have none.

use crate::tree::File;

use super::{circles, rule};

/// The files of one crate, by their paths below its `src/`.
fn house(files: &[(&str, &str)]) -> Vec<File> {
    let file = |(path, text): &(&str, &str)| File {
        path: format!("house/src/{path}"),
        text: (*text).to_owned(),
    };
    files.iter().map(file).collect()
}

/// The ties of the circles among these files, as `from -> to: names`.
fn ties(files: &[(&str, &str)]) -> Vec<String> {
    let files = house(files);
    let found = circles(&files.iter().collect::<Vec<_>>());
    let ties = found.into_iter().flat_map(|circle| circle.arrows).map(|(from, to, tie)| {
        let names = tie.names.into_iter().collect::<Vec<_>>().join(", ");
        format!("{from} -> {to}: {names}").replace("house/src/", "")
    });
    ties.collect()
}

const PLANTED: [(&str, &str); 3] = [
    ("lib.rs", "mod kitchen;\nmod hall;"),
    ("kitchen.rs", "use crate::hall::Door;\npub(crate) struct Stove(Door);"),
    ("hall.rs", "pub(crate) struct Door;\nfn warm() { super::kitchen::Stove::light() }"),
];

#[test]
#[should_panic(expected = "house/src/kitchen.rs:1: takes Door from house/src/hall.rs")]
fn a_planted_circle_breaks_the_rule() {
    rule(&house(&PLANTED).iter().collect::<Vec<_>>(), &[]).check();
}

#[test]
fn a_tree_without_a_circle_or_with_an_excepted_one_passes() {
    rule(&house(&PLANTED[..2]).iter().collect::<Vec<_>>(), &[]).check();
    rule(&house(&PLANTED).iter().collect::<Vec<_>>(), &[&["house/src/"]]).check();
}

#[test]
#[should_panic(expected = "no circle within house/src/: drop the exception")]
fn an_exception_goes_with_its_circle() {
    rule(&house(&PLANTED[..2]).iter().collect::<Vec<_>>(), &[&["house/src/"]]).check();
}

#[test]
fn files_that_use_each_other_are_a_circle() {
    let expected = ["hall.rs -> kitchen.rs: Stove", "kitchen.rs -> hall.rs: Door"];
    assert_eq!(ties(&PLANTED), expected);
}

#[test]
fn a_circle_may_be_long_and_go_through_a_re_export() {
    let files = [
        ("main.rs", "mod cellar;\nmod hall;\nuse hall::Door;\nfn main() { Door::open() }"),
        (
            "hall/mod.rs",
            "mod door;\npub(crate) mod steps;\npub(crate) use door::{Bell as Ring, Door};",
        ),
        ("hall/door.rs", "use super::steps;\npub struct Bell;\npub struct Door(steps::Step);"),
        ("hall/steps.rs", "use crate::cellar::*;\npub struct Step(Barrel);"),
        ("cellar.rs", "use crate::hall::Ring;\npub(crate) struct Barrel(Ring);"),
    ];
    assert_eq!(
        ties(&files),
        [
            "cellar.rs -> hall/door.rs: Ring",
            "hall/door.rs -> hall/steps.rs: Step",
            "hall/steps.rs -> cellar.rs: Barrel",
        ]
    );
}

#[test]
fn a_parent_and_a_child_that_need_each_other_are_a_circle() {
    let parent = "mod child;\npub struct Name;\npub fn run() -> child::Name { child::Name }";
    let child = "pub struct Name;\npub fn both(_: super::Name) {}";
    let files = [("lib.rs", "mod parent;"), ("parent/mod.rs", parent), ("parent/child.rs", child)];
    assert_eq!(
        ties(&files),
        ["parent/child.rs -> parent/mod.rs: Name", "parent/mod.rs -> parent/child.rs: Name",]
    );
}

#[test]
fn a_name_that_a_macro_defines_is_its_files() {
    let files = [
        ("lib.rs", "mod ids;\nmod text;"),
        (
            "ids.rs",
            "macro_rules! id { ($name:ident) => { pub struct $name($crate::text::Text); } }\nid!(Key);",
        ),
        (
            "text.rs",
            "pub struct Text;\nuse crate::ids::Key;\n#[serde(with = \"crate::ids::hex\")]\nstruct Raw;",
        ),
    ];
    assert_eq!(ties(&files), ["ids.rs -> text.rs: Text", "text.rs -> ids.rs: Key, hex"]);
}

#[test]
fn what_is_declared_handed_on_or_tested_is_no_use() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
        (
            "a.rs",
            "// use crate::b::B;\n/* use crate::b::B; /* */ */\n\
             pub struct A;\n\
             const WORDS: &str = \"use crate::b::B; \\\" {\";\n\
             const QUOTE: char = '\"';\n\
             #[cfg(test)]\nuse crate::b::{B, C};\n\
             #[cfg(test)]\nimpl Iterator<Item = u8> for A { fn next() { crate::b::B } }\n\
             #[cfg(test)]\nmod tests { use crate::b::B; }",
        ),
        ("b.rs", "use std::fmt::Display;\nuse crate::A;\npub struct B(A);\npub struct C;"),
    ];
    assert_eq!(ties(&files), [""; 0]);
}

#[test]
fn names_that_only_look_alike_are_no_use() {
    let files = [
        (
            "lib.rs",
            "mod door;\npub use door::open;\npub struct House;\nimpl House { fn f(&self) { self.open(); } }",
        ),
        ("door.rs", "pub fn open(_: super::House) {}"),
    ];
    assert_eq!(ties(&files), [""; 0]);
}

#[test]
fn programs_of_one_crate_stand_apart() {
    let files = [
        ("lib.rs", "pub mod app;"),
        ("app.rs", "pub struct App;"),
        ("main.rs", "mod flags;\nstruct Main;\nfn main() { flags::read(house::app::App) }"),
        ("flags.rs", "pub fn read(_: App) {}"),
        ("bin/tool.rs", "fn main() {}"),
    ];
    assert_eq!(ties(&files), [""; 0]);
}
