//! Launches, replicas and outcomes as tables and as JSON.

use std::collections::BTreeMap;
use std::time::SystemTime;

use hearth_launchers::{Handle, LaunchRecord, Outcome, Replica, Status};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::output::table::{Rows, Tint};
use crate::output::text;

/// Characters of a result in a table.
const RESULT_WIDTH: usize = 60;

/// A launch, and where its replicas are.
#[derive(Debug, Serialize)]
pub(super) struct Launch {
    launch: String,
    program: String,
    replicas: u32,
    created_at_ms: u64,
    /// How many there are of each status; absent where the engine can't be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<BTreeMap<&'static str, usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Launch {
    pub(super) fn new(
        record: &LaunchRecord,
        replicas: Result<Vec<(Handle, Replica)>, Failure>,
    ) -> Self {
        let (statuses, error) = match replicas {
            Ok(replicas) => (Some(count(&replicas)), None),
            Err(failure) => (None, Some(failure.headline().to_owned())),
        };
        Self {
            launch: format!("{}/{}", record.launcher, record.id),
            program: record.spec.program.display().to_string(),
            replicas: record.spec.replicas,
            created_at_ms: record.created_at_ms,
            statuses,
            error,
        }
    }
}

fn count(replicas: &[(Handle, Replica)]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, replica) in replicas {
        *counts.entry(replica.status.name()).or_default() += 1;
    }
    counts
}

/// A replica or an outcome with its handle.
#[derive(Serialize)]
struct WithHandle<'a, T> {
    handle: &'a Handle,
    #[serde(flatten)]
    is: &'a T,
}

pub(super) fn launches(found: &[Launch], app: &App) -> Result<(), Failure> {
    if app.output.json {
        return app.output.json(&found);
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut table = Rows::new(&app.output, &["launch", "replicas", "status", "program", "since"]);
    let now = SystemTime::now();
    for launch in found {
        let status = match (&launch.statuses, &launch.error) {
            (Some(statuses), _) => {
                let words = statuses.iter().map(|(name, count)| format!("{count} {name}"));
                let failed = statuses.contains_key(Status::Failed.name());
                let tint = if failed { Tint::Bad } else { Tint::None };
                table.tinted(words.collect::<Vec<_>>().join(", "), tint)
            }
            (None, error) => table.tinted(error.as_deref().unwrap_or("-"), Tint::Bad),
        };
        table.add(vec![
            launch.launch.clone().into(),
            launch.replicas.to_string().into(),
            status,
            launch.program.clone().into(),
            text::since(launch.created_at_ms / 1000, now).into(),
        ]);
    }
    app.output.line(table.text())
}

pub(super) fn replicas(found: &[(Handle, Replica)], app: &App) -> Result<(), Failure> {
    if app.output.json {
        return app.output.json(&named(found));
    }
    if found.is_empty() {
        return Ok(());
    }
    let headings = ["handle", "status", "pid", "host", "exit", "error"];
    let mut table = Rows::new(&app.output, &headings);
    for (handle, replica) in found {
        let status = table.tinted(replica.status, tint(replica.status));
        table.add(vec![
            handle.to_string().into(),
            status,
            or_dash(replica.pid).into(),
            replica.host.clone().unwrap_or_else(|| "-".to_owned()).into(),
            or_dash(replica.exit_code).into(),
            replica.error.clone().unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    app.output.line(table.text())
}

pub(super) fn outcomes(found: &[(Handle, Outcome)], app: &App) -> Result<(), Failure> {
    if app.output.json {
        return app.output.json(&named(found));
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut table = Rows::new(&app.output, &["handle", "status", "exit", "error", "result"]);
    for (handle, outcome) in found {
        let status = table.tinted(outcome.status, tint(outcome.status));
        let result = outcome.result.as_ref().map_or_else(|| "-".to_owned(), short);
        table.add(vec![
            handle.to_string().into(),
            status,
            or_dash(outcome.exit_code).into(),
            outcome.error.clone().unwrap_or_else(|| "-".to_owned()).into(),
            result.into(),
        ]);
    }
    app.output.line(table.text())
}

fn named<T>(found: &[(Handle, T)]) -> Vec<WithHandle<'_, T>> {
    found.iter().map(|(handle, is)| WithHandle { handle, is }).collect()
}

/// On one line, whole in JSON only.
fn short(result: &serde_json::Value) -> String {
    let text = result.to_string();
    match text.char_indices().nth(RESULT_WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn tint(status: Status) -> Tint {
    match status {
        Status::Pending => Tint::Busy,
        Status::Running | Status::Succeeded => Tint::Good,
        Status::Failed => Tint::Bad,
        Status::Cancelled => Tint::None,
    }
}
