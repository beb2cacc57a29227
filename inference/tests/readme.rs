//! The README's table of families is what the code can do.

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use hearth_inference::folder::Family;
use hearth_inference::schedulers;

const BEGIN: &str = "<!-- families: inference/tests/readme.rs says what stands here -->\n";
const END: &str = "<!-- end of families -->";

#[test]
fn the_readme_has_the_codes_families_and_schedulers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(path).unwrap();
    let (_, rest) = readme.split_once(BEGIN).unwrap();
    let (stands, _) = rest.split_once(END).unwrap();
    let wanted = table();
    assert_eq!(stands, wanted, "put this between the README's marks:\n{wanted}");
}

fn table() -> String {
    let mut text =
        String::from("| family | tasks | `_class_name` of the folder |\n| --- | --- | --- |\n");
    for family in Family::ALL.into_iter().filter(|family| !family.tasks().is_empty()) {
        let classes: Vec<_> = family.classes().iter().map(|class| format!("`{class}`")).collect();
        let tasks = family.tasks().join(", ");
        writeln!(text, "| {family} | {tasks} | {} |", classes.join(", ")).unwrap();
    }
    let names: Vec<_> = schedulers::table().iter().map(|row| format!("`{}`", row.name)).collect();
    writeln!(text, "\nSchedulers: {}.", names.join(", ")).unwrap();
    text
}
