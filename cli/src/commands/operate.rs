//! `hearth drain` and `hearth resume`: whether workers take requests.

use std::time::Duration;

use hearth_api::{CallError, ErrorKind, Rank, WorkerId};
use hearth_engine::{Call, Engine, NoArgs, RpcOptions, call};
use hearth_protocol::methods::{DrainValue, Method};
use hearth_protocol::record::WorkerState;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::targets;
use crate::app::App;
use crate::args::OperateArgs;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::signals::Interrupts;

/// How often a worker is asked whether the operation is done.
const POLL: Duration = Duration::from_millis(250);
/// How long a worker may take to answer one call.
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Drain,
    Resume,
}

impl Operation {
    fn method(self) -> Method {
        match self {
            Self::Drain => Method::Drain,
            Self::Resume => Method::Resume,
        }
    }
}

#[derive(Serialize)]
struct Row {
    worker: WorkerId,
    rank: Rank,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<DrainValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallError>,
}

pub(super) async fn run(
    operation: Operation,
    args: &OperateArgs,
    app: &App,
) -> Result<Status, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let link = app.link()?;
    let view = link.workers().await?;
    let targets = targets::of(&view, args).await?;
    let names: Vec<_> = targets.iter().map(|(id, _)| id.as_str()).collect();
    app.output.note(format_args!("{} {} of {}", operation.method(), names.join(", "), link.target));

    let mut open = JoinSet::new();
    for (worker, rank) in targets {
        let deadline = Instant::now() + args.timeout;
        open.spawn(operate(link.engine.clone(), operation, worker, rank, args.wait, deadline));
    }
    let all = async {
        let mut rows = Vec::new();
        while let Some(row) = open.join_next().await {
            rows.extend(row);
        }
        rows
    };
    let rows = tokio::select! {
        biased;
        () = interrupts.next() => None,
        rows = all => Some(rows),
    };
    link.close().await;
    let Some(mut rows) = rows else {
        app.output.note("interrupted: what was asked of the workers stands");
        return Ok(Status::Interrupted);
    };
    rows.sort_by_key(|row| row.rank);
    if app.output.json {
        app.output.json(&rows)?;
    } else {
        app.output.line(table(&rows, app))?;
    }
    let failed = rows.iter().find_map(|row| row.error.as_ref());
    Ok(failed.map_or(Status::Done, |error| error.kind.into()))
}

async fn operate(
    engine: Engine,
    operation: Operation,
    worker: WorkerId,
    rank: Rank,
    wait: bool,
    deadline: Instant,
) -> Row {
    let done = async {
        let value = match operation {
            Operation::Drain => ask::<call::Drain>(&engine, &worker, deadline).await?,
            Operation::Resume => ask::<call::Resume>(&engine, &worker, deadline).await?,
        };
        if wait {
            wait_until_done(&engine, operation, value, &worker, deadline).await
        } else {
            Ok(value)
        }
    };
    let (value, error) = match done.await {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    };
    Row { worker, rank, value, error }
}

/// Waits until the operation is done.
async fn wait_until_done(
    engine: &Engine,
    operation: Operation,
    first: DrainValue,
    worker: &WorkerId,
    deadline: Instant,
) -> Result<DrainValue, CallError> {
    let mut last = first;
    loop {
        let done = match operation {
            Operation::Drain => last.running + last.queued == 0,
            Operation::Resume => last.state == WorkerState::Ready,
        };
        if done {
            return Ok(last);
        }
        if Instant::now() + POLL >= deadline {
            let left = match operation {
                Operation::Drain => format!("{} run, {} wait", last.running, last.queued),
                Operation::Resume => format!("it is {}", last.state),
            };
            let message = format!(
                "{worker} is not done in time ({left}): it goes on; --timeout waits longer"
            );
            return Err(CallError::new(ErrorKind::DeadlineExceeded, message));
        }
        tokio::time::sleep(POLL).await;
        let stats = ask::<call::Stats>(engine, worker, deadline).await?;
        let health = ask::<call::CheckHealth>(engine, worker, deadline).await?;
        last = DrainValue { state: health.state, running: stats.running, queued: stats.queued };
    }
}

/// Asks one worker within the time that is left.
async fn ask<C: Call<Args = NoArgs>>(
    engine: &Engine,
    worker: &WorkerId,
    deadline: Instant,
) -> Result<C::Value, CallError> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let options = RpcOptions::new().worker(worker.clone()).timeout(left.min(ANSWER));
    engine.call::<C>(NoArgs {}, options).await.and_then(targets::only)
}

fn table(done: &[Row], app: &App) -> String {
    let mut rows = Rows::new(&app.output, &["rank", "id", "state", "running", "waiting"]);
    for row in done {
        let dash = || "-".to_owned();
        let state = match (&row.value, &row.error) {
            (_, Some(error)) => rows.tinted(&error.message, Tint::Bad),
            (Some(value), None) if value.state == WorkerState::Ready => {
                rows.tinted(value.state, Tint::Good)
            }
            (Some(value), None) => rows.tinted(value.state, Tint::Busy),
            (None, None) => rows.tinted("-", Tint::None),
        };
        rows.add(vec![
            row.rank.to_string().into(),
            row.worker.to_string().into(),
            state,
            row.value.map_or_else(dash, |value| value.running.to_string()).into(),
            row.value.map_or_else(dash, |value| value.queued.to_string()).into(),
        ]);
    }
    rows.text()
}
