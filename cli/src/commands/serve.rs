//! `hearth load` and `hearth unload`, and what they share with `sleep` and `wake`: one call to each
//! of the chosen workers, and a row for each.

use std::time::Duration;

use hearth_api::{CallError, Rank, WorkerId};
use hearth_protocol::methods::{
    LoadModelArgs, LoadModelValue, Method, UnloadModelArgs, UnloadModelValue,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::targets;
use crate::app::App;
use crate::args::{LoadArgs, OperateArgs, UnloadArgs};
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::output::text;
use crate::signals::Interrupts;

/// A row's cells for a value.
pub(super) type Cells = Vec<String>;

/// The workers that a command is for.
pub(super) enum Selection<'a> {
    Flags(&'a OperateArgs),
    /// The workers of these names (all if there are none), and how long the call may take.
    Named(&'a [WorkerId], Duration),
}

#[derive(Serialize)]
struct Row {
    worker: WorkerId,
    rank: Rank,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallError>,
}

pub(super) async fn load(args: &LoadArgs, app: &App) -> Result<Status, Failure> {
    let LoadArgs { model, workers, path, aliases, timeout } = args;
    let asked = LoadModelArgs { name: model.clone(), path: path.clone(), aliases: aliases.clone() };
    let cells = |value: LoadModelValue| -> Cells {
        let what = if value.loaded { "loaded" } else { "there already" };
        vec![
            value.model.name,
            what.to_owned(),
            text::bytes(value.model.weight_bytes),
            took(value.took_ms),
        ]
    };
    let headings = ["model", "outcome", "weights", "took"];
    on_workers(
        Method::LoadModel,
        &asked,
        Selection::Named(workers, *timeout),
        &headings,
        cells,
        app,
    )
    .await
}

pub(super) async fn unload(args: &UnloadArgs, app: &App) -> Result<Status, Failure> {
    let UnloadArgs { model, workers, timeout } = args;
    let asked = UnloadModelArgs { name: model.clone() };
    let cells = |value: UnloadModelValue| -> Cells {
        let what = if value.unloaded { "unloaded" } else { "was not loaded" };
        let freed = text::bytes(value.freed_bytes.max(value.device_bytes));
        vec![model.clone(), what.to_owned(), freed]
    };
    let headings = ["model", "outcome", "freed"];
    on_workers(
        Method::UnloadModel,
        &asked,
        Selection::Named(workers, *timeout),
        &headings,
        cells,
        app,
    )
    .await
}

pub(super) fn took(ms: f64) -> String {
    text::took(Duration::from_secs_f64(ms.max(0.0) / 1e3))
}

/// Calls the method on the chosen workers, and prints a row for each.
pub(super) async fn on_workers<T: DeserializeOwned>(
    method: Method,
    args: &impl Serialize,
    which: Selection<'_>,
    headings: &[&str],
    cells: impl Fn(T) -> Cells,
    app: &App,
) -> Result<Status, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let link = app.link()?;
    let view = link.workers().await?;
    let (targets, timeout) = match which {
        Selection::Flags(flags) => (targets::of(&view, flags).await?, flags.timeout),
        Selection::Named(names, timeout) => (targets::named_or_all(&view, names)?, timeout),
    };
    let names: Vec<_> = targets.iter().map(|(id, _)| id.as_str()).collect();
    app.output.note(format_args!("{method} {} of {}", names.join(", "), link.target));
    let args = serde_json::to_value(args).map_err(anyhow::Error::from)?;
    let answers = tokio::select! {
        biased;
        () = interrupts.next() => None,
        answers = targets::call(&link.engine, targets, method, &args, timeout) => Some(answers),
    };
    link.close().await;
    let Some(answers) = answers else {
        app.output.note("interrupted: what the workers have begun goes on");
        return Ok(Status::Interrupted);
    };
    let mut rows = Vec::new();
    for ((worker, rank), answer) in answers {
        let (value, error) = match answer {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        rows.push(Row { worker, rank, value, error });
    }
    if app.output.json {
        app.output.json(&rows)?;
    } else {
        app.output.line(table(&rows, headings, cells, app)?)?;
    }
    let failed = rows.iter().find_map(|row| row.error.as_ref());
    Ok(failed.map_or(Status::Done, |error| error.kind.into()))
}

fn table<T: DeserializeOwned>(
    done: &[Row],
    headings: &[&str],
    cells: impl Fn(T) -> Cells,
    app: &App,
) -> Result<String, Failure> {
    let why = done.iter().any(|row| row.error.is_some()).then_some("why");
    let all: Vec<&str> =
        ["rank", "id"].into_iter().chain(headings.iter().copied()).chain(why).collect();
    let mut rows = Rows::new(&app.output, &all);
    for row in done {
        let mut line = vec![row.rank.to_string().into(), row.worker.to_string().into()];
        match (&row.value, &row.error) {
            (Some(value), _) => {
                let value = serde_json::from_value(value.clone()).map_err(anyhow::Error::from)?;
                line.extend(cells(value).into_iter().map(Into::into));
            }
            (None, error) => {
                let why = error.as_ref().map(text::reasons).unwrap_or_default();
                line.extend(headings.iter().map(|_| "-".to_owned().into()));
                line.push(rows.tinted(why, Tint::Bad));
            }
        }
        rows.add(line);
    }
    Ok(rows.text())
}
