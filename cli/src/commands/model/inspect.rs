//! `hearth model inspect`: what a folder can do, and everything that is wrong with it.

use std::path::{Path, PathBuf};

use hearth_inference::session::Device;
use hearth_inference::{LoadOptions, Report, inspect};
use serde_json::{Map, Value};

use super::reading;
use crate::app::App;
use crate::exit::{Failure, Status};
use crate::output::table::Rows;
use crate::output::text;

/// How many inputs of a graph its row shows.
const NAMED: usize = 48;

pub(super) fn run(
    dir: &Path,
    device: &str,
    allow_links_to: &[PathBuf],
    app: &App,
) -> Result<Status, Failure> {
    reading::check(dir)?;
    let device = Device::parse(device).map_err(|error| Failure::usage(error.to_string()))?;
    let allow_links_to = allow_links_to.to_vec();
    let options = LoadOptions { device, allow_links_to, ..LoadOptions::default() };
    let report = reading::watch(app, |progress| inspect(dir, &options, progress))?;
    if app.output.json {
        app.output.json(&report)?;
    } else {
        app.output.line(shown(&report, app)?)?;
    }
    Ok(if report.usable { Status::Done } else { Status::Failed })
}

fn shown(report: &Report, app: &App) -> Result<String, Failure> {
    let mut blocks = Vec::new();
    let facts = facts(report)?;
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(String, String)| format!("{name:width$}  {value}");
    blocks.push(facts.iter().map(line).collect::<Vec<_>>().join("\n"));
    if !report.components.is_empty() {
        let mut rows = Rows::new(&app.output, &["part", "bytes", "weights", "inputs"]);
        for component in &report.components {
            rows.add(vec![
                component.name.clone().into(),
                text::bytes(component.bytes).into(),
                component.precision.unwrap_or("-").into(),
                names(&component.inputs).into(),
            ]);
        }
        blocks.push(rows.text());
    }
    let warnings = report.warnings.iter().map(|warning| format!("warning: {warning}"));
    let problems = report.problems.iter().map(|problem| format!("wrong: {}", problem.message));
    let remarks: Vec<_> = problems.chain(warnings).collect();
    if !remarks.is_empty() {
        blocks.push(remarks.join("\n"));
    }
    Ok(blocks.join("\n\n"))
}

/// The first of the inputs by their names, and how many more there are.
fn names(inputs: &[String]) -> String {
    let name = |port: &String| port.split(' ').next().unwrap_or_default().to_owned();
    let mut names: Vec<_> = inputs.iter().take(NAMED).map(name).collect();
    if let more @ 1.. = inputs.len().saturating_sub(NAMED) {
        names.push(format!("and {more} more (--json)"));
    }
    names.join(", ")
}

/// The description, line by line: first the fields with a wording of their own, then the rest.
fn facts(report: &Report) -> Result<Vec<(String, String)>, Failure> {
    let known = serde_json::to_value(&report.description).map_err(anyhow::Error::from)?;
    let mut known = Fields(known.as_object().cloned().unwrap_or_default());
    let mut lines = vec![("folder".to_owned(), report.path.display().to_string())];
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value)));
    };
    let family = known.take("family").or(report.family_alone.map(str::to_owned));
    let class = match report.class.as_str() {
        "" => String::new(),
        class => format!(" ({class})"),
    };
    add("family", family.map(|family| format!("{family}{class}")));
    add("tasks", known.take("tasks"));
    add("size", size(&mut known));
    for (name, default, most) in [
        ("steps", "default_steps", "max_steps"),
        ("prompt", "max_prompt_tokens", "max_prompt_chars"),
    ] {
        let (default, most) = (known.number(default), known.number(most));
        add(
            name,
            default.filter(|&default| default > 0).zip(most).map(|(default, most)| match name {
                "steps" => format!("{default} by default, {most} at most"),
                _ => format!("{default} tokens, {most} characters at most"),
            }),
        );
    }
    let fields = known.0.get("fields").and_then(Value::as_array);
    let guided = fields.is_some_and(|fields| fields.contains(&Value::from("guidance_scale")));
    add("defaults", known.0.remove("defaults").as_ref().and_then(|all| defaults(all, guided)));
    known.0.remove("default_guidance");
    add("scheduler", known.take("scheduler"));
    add("schedulers", known.0.remove("schedulers").as_ref().map(curves));
    add("fields", known.take("fields"));
    add("weights", known.number("weight_bytes").map(text::bytes));
    let memory = Some(report.memory_estimate_bytes).filter(|&bytes| bytes > 0);
    let about = |bytes| format!("about {} once loaded on the CPU, estimated", text::bytes(bytes));
    add("memory", memory.map(about));
    let vouched = match report.verified {
        true => ", as manifest.json says",
        false => ", no manifest.json",
    };
    add("digest", known.take("digest").map(|digest| format!("{digest}{vouched}")));
    known.0.remove("device");
    for (name, value) in &known.0 {
        add(&name.replace('_', " "), words(value));
    }
    Ok(lines)
}

/// The defaults of each task.
fn defaults(tasks: &Value, guided: bool) -> Option<String> {
    let one = |of: &Value| {
        let mut words = vec![format!("{} steps", of.get("num_inference_steps")?)];
        for (key, name) in [("guidance_scale", "guidance"), ("strength", "strength")] {
            let number = of.get(key).and_then(Value::as_f64);
            let number = number.filter(|_| guided || key != "guidance_scale");
            words.extend(number.map(|number| format!("{name} {number}")));
        }
        Some(format!("{} {}", of.get("task")?.as_str()?, words.join(", ")))
    };
    let tasks: Vec<_> = tasks.as_array()?.iter().filter_map(one).collect();
    (!tasks.is_empty()).then(|| tasks.join("; "))
}

fn size(known: &mut Fields) -> Option<String> {
    let [width, height] = ["default_width", "default_height"].map(|key| known.number(key));
    let (factor, most) = (known.number("size_factor"), known.number("max_size"));
    let fixed = known.0.remove("fixed_size") == Some(Value::Bool(true));
    let size = format!("{}x{}", width.filter(|&width| width > 0)?, height?);
    Some(match fixed {
        true => format!("{size} and no other: it is built into the graphs"),
        false => format!(
            "{size} by default; sides are multiples of {}, {} at most",
            factor.unwrap_or(1),
            most.unwrap_or_default()
        ),
    })
}

/// Suffixes of names that stand for other noise levels of one scheduler.
const CURVES: [&str; 3] = ["_karras", "_exponential", "_beta"];

/// Schedulers, those that differ by their noise levels in one word.
fn curves(names: &Value) -> String {
    let names: Vec<_> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = |name: &str, curve: &&&str| names.contains(&format!("{name}{curve}").as_str());
    let shown = |name: &&str| {
        let (base, curve) = match CURVES.iter().find(|curve| name.ends_with(**curve)) {
            Some(curve) => (name.trim_end_matches(*curve), Some(*curve)),
            None => (*name, None),
        };
        let own: Vec<_> =
            CURVES.iter().filter(|curve| has(base, curve)).map(|curve| &curve[1..]).collect();
        match (curve, own.as_slice()) {
            (None, []) => Some((*name).to_owned()),
            (None, own) => Some(format!("{name}[_{}]", own.join("|_"))),
            // Listed with its base.
            (Some(_), _) if names.contains(&base) => None,
            (Some(_), _) => Some((*name).to_owned()),
        }
    };
    names.iter().filter_map(shown).collect::<Vec<_>>().join(" ")
}

/// The fields of a description, by name.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).as_ref().and_then(words)
    }

    fn number(&mut self, key: &str) -> Option<u64> {
        self.0.remove(key).as_ref().and_then(Value::as_u64)
    }
}

/// A value in readable form; `None` if it is empty.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.iter().filter_map(words).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(name, value): (&String, &Value)| {
                Some(format!("{} {}", name.replace('_', " "), words(value)?))
            };
            Some(entries.iter().filter_map(entry).collect::<Vec<_>>().join(", "))
        }
        other => Some(other.to_string()),
    }
}
