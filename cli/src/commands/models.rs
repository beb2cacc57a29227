//! `hearth models`: what the fleet can be asked for.

use std::time::Duration;

use hearth_engine::{NoArgs, RpcOptions, call};
use hearth_protocol::methods::ModelInfo;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::exit::{Failure, Status};
use crate::output::table::Rows;
use crate::output::{say, text};

const ASK: Duration = Duration::from_secs(5);

/// A model, and who serves it. Folders of different content are different models, whatever their
/// names.
#[derive(Debug, Serialize)]
struct Offer {
    #[serde(flatten)]
    model: ModelInfo,
    workers: Vec<String>,
}

pub(super) async fn run(app: &App) -> Result<Status, Failure> {
    let link = app.link()?;
    link.workers().await?;
    let options = RpcOptions::new().timeout(ASK);
    let asked = link.engine.call::<call::ListModels>(NoArgs {}, options).await;
    link.close().await;

    let mut offers: Vec<Offer> = Vec::new();
    let mut status = Status::Done;
    for envelope in asked? {
        let worker = envelope.worker.to_string();
        match envelope.outcome {
            Ok(list) => list.models.into_iter().for_each(|model| add(&mut offers, model, &worker)),
            Err(error) => {
                say(format_args!("warning: {worker} does not say what it serves: {error}"));
                status = Status::Failed;
            }
        }
    }
    offers.sort_by(|a, b| a.model.name.cmp(&b.model.name));
    if app.output.json {
        app.output.json(&offers)?;
        return Ok(status);
    }
    app.output.note(&link.target);
    app.output.line(table(&offers, app))?;
    for pair in offers.windows(2).filter(|pair| pair[0].model.name == pair[1].model.name) {
        say(format_args!(
            "warning: {} is not the same on every worker: a request gets one or the other",
            pair[0].model.name
        ));
    }
    Ok(status)
}

/// What `--scheduler` takes.
pub(super) fn schedulers(app: &App) -> Result<Status, Failure> {
    let table = hearth_inference::schedulers::table();
    if app.output.json {
        let entry = |(key, word): &(&str, &str)| {
            // As in an override: JSON where it is JSON, otherwise a word.
            let value = serde_json::from_str(word).unwrap_or_else(|_| Value::from(*word));
            ((*key).to_owned(), value)
        };
        let rows = table.iter().map(|row| Scheduler {
            name: row.name,
            class: row.class,
            aliases: row.aliases,
            config: row.overrides.iter().map(entry).collect(),
        });
        app.output.json(&rows.collect::<Vec<_>>())?;
        return Ok(Status::Done);
    }
    let mut rows = Rows::new(&app.output, &["name", "class", "config", "aliases"]);
    for row in table {
        let config = row.overrides.iter().map(|(key, word)| format!("{key}={word}"));
        let config = config.collect::<Vec<_>>().join(",");
        rows.add(vec![
            row.name.into(),
            row.class.into(),
            if config.is_empty() { "-".to_owned() } else { config }.into(),
            row.aliases.join(", ").into(),
        ]);
    }
    app.output.line(rows.text())?;
    app.output.note("config comes over the folder's own; --scheduler NAME:KEY=VALUE,… over both");
    Ok(Status::Done)
}

/// A name that `--scheduler` takes.
#[derive(Debug, Serialize)]
struct Scheduler {
    name: &'static str,
    class: &'static str,
    aliases: &'static [&'static str],
    config: serde_json::Map<String, Value>,
}

fn add(offers: &mut Vec<Offer>, model: ModelInfo, worker: &str) {
    let same = |offer: &&mut Offer| {
        offer.model.name == model.name
            && offer.model.digest == model.digest
            && offer.model.state == model.state
    };
    match offers.iter_mut().find(same) {
        Some(offer) => offer.workers.push(worker.to_owned()),
        None => offers.push(Offer { model, workers: vec![worker.to_owned()] }),
    }
}

fn table(offers: &[Offer], app: &App) -> String {
    let adapters = offers.iter().any(|offer| !offer.model.lora.is_empty());
    let steered = offers.iter().any(|offer| !offer.model.controlnets.is_empty());
    let mut headings = vec![
        "model",
        "aliases",
        "tasks",
        "size",
        "steps",
        "guidance",
        "scheduler",
        "weights",
        "workers",
    ];
    if adapters {
        headings.push("lora");
    }
    if steered {
        headings.push("controlnets");
    }
    let mut rows = Rows::new(&app.output, &headings);
    for Offer { model, workers } in offers {
        let aliases = model.aliases.join(",");
        let weights = match model.state {
            hearth_protocol::methods::ModelState::Ready => text::bytes(model.weight_bytes),
            state => match model.percent {
                Some(percent) => format!("{state} {percent} %"),
                None => state.to_string(),
            },
        };
        let mut row = vec![
            model.name.clone().into(),
            dash(aliases).into(),
            dash(model.tasks.join(",")).into(),
            // A bare graph makes no pictures.
            of_pictures(model, format!("{}x{}", model.default_width, model.default_height)).into(),
            of_pictures(model, model.default_steps.to_string()).into(),
            of_pictures(model, model.default_guidance.to_string()).into(),
            dash(model.scheduler.clone()).into(),
            weights.into(),
            workers.join(",").into(),
        ];
        if adapters {
            row.push(dash(model.lora.join(",")).into());
        }
        if steered {
            row.push(dash(model.controlnets.join(",")).into());
        }
        rows.add(row);
    }
    rows.text()
}

/// What is said of a model that makes pictures, once it is known which it makes.
fn of_pictures(model: &ModelInfo, text: String) -> String {
    if model.default_width == 0 { dash(String::new()) } else { text }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_one_offer() {
        let model: ModelInfo = serde_json::from_value(serde_json::json!({
            "name": "emoji", "aliases": [], "state": "ready", "digest": "sha256:a", "family": "f",
            "tasks": ["text-to-image"], "weight_bytes": 1, "default_width": 64,
            "default_height": 64, "size_factor": 4, "max_size": 64, "default_steps": 20,
            "default_guidance": 3.0, "scheduler": "s", "max_prompt_tokens": 24,
        }))
        .unwrap();
        let mut offers = Vec::new();
        add(&mut offers, model.clone(), "w0");
        add(&mut offers, model.clone(), "w1");
        add(&mut offers, ModelInfo { digest: "sha256:b".to_owned(), ..model }, "w2");
        assert_eq!(offers.len(), 2);
        assert_eq!(offers[0].workers, ["w0", "w1"]);
    }
}
