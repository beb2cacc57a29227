//! Lines as workers write them, also over a worker's restart, until somebody interrupts.

use std::time::Duration;

use futures_util::future::try_join_all;
use hearth_api::{CallError, ErrorKind};
use hearth_engine::Engine;
use tokio::time::sleep;

use super::cursor::{Batch, Cursor};
use super::lines::Lines;
use crate::exit::{Failure, Status};
use crate::output::{say, text};

/// How long a worker waits for its next line before it answers.
const WAIT: Duration = Duration::from_secs(20);
/// Most lines of one answer.
const LINES: u32 = 1000;
/// What is written within so short a time comes together: a worker that logs its calls would else
/// be asked without a pause.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a worker that is gone is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Prints what comes behind the cursors; ends once no worker is left that can be followed.
pub(super) async fn follow(
    engine: &Engine,
    cursors: Vec<Cursor>,
    lines: &Lines,
) -> Result<Status, Failure> {
    let each = cursors.into_iter().map(|cursor| follow_one(engine, cursor, lines));
    let ended = try_join_all(each).await?;
    Ok(ended.first().map_or(Status::Done, |error| error.kind.into()))
}

/// Prints what comes behind the cursor, and why it can't be followed any more.
async fn follow_one(
    engine: &Engine,
    mut cursor: Cursor,
    lines: &Lines,
) -> Result<CallError, Failure> {
    let mut is_away = false;
    loop {
        sleep(PAUSE).await;
        match cursor.read(engine, LINES, WAIT).await {
            Ok(batch) => {
                is_away = false;
                print(&cursor, &batch, lines)?;
            }
            Err(error) if may_pass(&error) => {
                if !is_away {
                    let worker = cursor.worker();
                    say(format_args!("{worker}: {}: waiting until it answers", error.message));
                }
                is_away = true;
                sleep(AGAIN).await;
            }
            Err(error) => {
                say(format_args!("warning: {}: {}", cursor.worker(), error.message));
                return Ok(error);
            }
        }
    }
}

fn print(cursor: &Cursor, batch: &Batch, lines: &Lines) -> Result<(), Failure> {
    let worker = cursor.worker();
    if batch.is_new_run {
        say(format_args!("{worker} was started anew: its lines count from 1 again"));
    }
    if batch.lost > 0 {
        let lost = text::count(batch.lost, "line");
        say(format_args!("{worker}: … {lost} older than those that it keeps were lost"));
    }
    lines.print(batch.lines.iter().map(|line| (cursor, line)))
}

/// Whether the worker may answer again by itself.
fn may_pass(error: &CallError) -> bool {
    error.retryable || error.kind == ErrorKind::DeadlineExceeded
}
