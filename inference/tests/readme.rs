//! The README's table of families, and the page of requests' table of defaults, are what the code
//! can do.

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use hearth_api::request::Task;
use hearth_inference::diffusion::PictureFamily;
use hearth_inference::diffusion::families::ALL;
use hearth_inference::model::Defaults;
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

#[test]
fn the_page_of_requests_has_the_codes_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/requests.md");
    let page = fs::read_to_string(path).unwrap();
    let begin = "<!-- defaults: inference/tests/readme.rs says what stands here -->\n";
    let (_, rest) = page.split_once(begin).unwrap();
    let (stands, _) = rest.split_once("<!-- end of defaults -->").unwrap();
    let wanted = defaults();
    assert_eq!(stands, wanted, "put this between the page's marks:\n{wanted}");
}

fn defaults() -> String {
    let mut text = String::from(
        "\n| family | task | `num_inference_steps` | `guidance_scale` | `strength` |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for family in ALL {
        let words = family.family.name != "unconditional";
        for class in family.family.classes.iter().filter(|class| {
            // where there are words the class says nothing
            !words || family.family.classes.first() == Some(class)
        }) {
            for (task, controlled) in rows(family) {
                let of = if controlled { family.controlled } else { family.defaults };
                let Defaults { num_inference_steps, guidance_scale, strength, .. } =
                    of(class, task);
                let task = match (words, controlled) {
                    (false, _) => format!("`{class}`"),
                    (true, false) => task.name().to_owned(),
                    (true, true) => format!("{task}, with control images"),
                };
                let guidance = if words { guidance_scale.to_string() } else { String::new() };
                let strength = strength.map(|strength| strength.to_string()).unwrap_or_default();
                writeln!(
                    text,
                    "| {} | {task} | {num_inference_steps} | {guidance} | {strength} |",
                    family.family.name
                )
                .unwrap();
            }
        }
    }
    text + "\n"
}

/// A family's tasks, and with control images those that then have other defaults.
fn rows(family: &PictureFamily) -> Vec<(Task, bool)> {
    let tasks = family.family.tasks.iter().map(|task| (*task, false));
    let controlled = family
        .family
        .tasks
        .iter()
        .map(|task| (*task, true))
        .filter(|(task, _)| (family.controlled)("", *task) != (family.defaults)("", *task));
    tasks.chain(controlled.filter(|_| family.takes_controlnets)).collect()
}

fn table() -> String {
    let mut text = String::from(
        "| family | tasks | with ControlNets | `_class_name` of the folder |\n| --- | --- | --- | --- |\n",
    );
    for family in ALL {
        let classes: Vec<_> =
            family.family.classes.iter().map(|class| format!("`{class}`")).collect();
        let tasks: Vec<_> = family.family.tasks.iter().map(|task| task.name()).collect();
        let tasks = tasks.join(", ");
        let nets = if family.takes_controlnets { "yes" } else { "" };
        let name = family.family.name;
        writeln!(text, "| {name} | {tasks} | {nets} | {} |", classes.join(", ")).unwrap();
    }
    let names: Vec<_> = schedulers::table().iter().map(|row| format!("`{}`", row.name)).collect();
    writeln!(text, "\nSchedulers: {}.", names.join(", ")).unwrap();
    text
}
