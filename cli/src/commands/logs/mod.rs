//! `hearth logs`: what workers have logged lately, and what they go on to log.

mod cursor;
mod follow;
mod lines;

use std::time::Duration;

use futures_util::future::join_all;
use hearth_api::{CallError, ErrorKind, WorkerId};
use hearth_engine::{Engine, FleetView};
use hearth_protocol::methods::LogLine;

use super::targets;
use crate::app::App;
use crate::args::LogsArgs;
use crate::exit::{Failure, Status};
use crate::link::Link;
use crate::output::say;
use crate::signals::Interrupts;

use cursor::Cursor;
use lines::Lines;

pub(super) async fn run(args: &LogsArgs, app: &App) -> Result<Status, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let link = app.link()?;
    let shown = tokio::select! {
        biased;
        () = interrupts.next() => Ok(Status::Interrupted),
        shown = show(&link, args, app) => shown,
    };
    link.close().await;
    shown
}

async fn show(link: &Link, args: &LogsArgs, app: &App) -> Result<Status, Failure> {
    let view = link.workers().await?;
    let workers = targets::known(&view, &args.workers)?;
    let lines = Lines::new(&workers, app.output);
    let tails = workers.into_iter().map(|worker| tail(&link.engine, worker, args.lines));
    let mut read = Vec::new();
    let mut failed = Vec::new();
    for (cursor, found) in join_all(tails).await {
        match found {
            Ok(found) => read.push((cursor, found)),
            Err(error) => failed.push(explain(error, cursor.worker(), &view)),
        }
    }
    lines.print(merge(&read))?;
    let cursors: Vec<Cursor> = read.into_iter().map(|(cursor, _)| cursor).collect();
    if cursors.is_empty() && failed.len() == 1 {
        return Err(failed.remove(0).into());
    }
    for error in &failed {
        say(format_args!("warning: {}", error.message));
    }
    let status = match failed.first() {
        None => Status::Done,
        Some(first) if cursors.is_empty() => first.kind.into(),
        Some(_) => Status::Failed,
    };
    if !args.follow || cursors.is_empty() {
        return Ok(status);
    }
    follow::follow(&link.engine, cursors, &lines).await
}

/// The last lines of a worker, and where they end.
async fn tail(
    engine: &Engine,
    worker: WorkerId,
    count: u32,
) -> (Cursor, Result<Vec<LogLine>, CallError>) {
    let mut cursor = Cursor::new(worker);
    let mut lines = Vec::new();
    let read = async {
        let first = cursor.read(engine, count, Duration::ZERO).await?;
        lines = first.lines;
        // One answer has only so many.
        while cursor.number() < first.newest && lines.len() < count as usize {
            let left = count - u32::try_from(lines.len()).unwrap_or(count);
            let more = cursor.read(engine, left, Duration::ZERO).await?.lines;
            if more.is_empty() {
                break;
            }
            lines.extend(more);
        }
        Ok(())
    };
    let read = read.await;
    (cursor, read.map(|()| lines))
}

/// The lines of all by their times. A clock that was set back changes no worker's own order.
fn merge(read: &[(Cursor, Vec<LogLine>)]) -> Vec<(&Cursor, &LogLine)> {
    let mut merged: Vec<(u64, &Cursor, &LogLine)> = Vec::new();
    for (cursor, lines) in read {
        let mut latest = 0;
        for line in lines {
            latest = line.time_ms.max(latest);
            merged.push((latest, cursor, line));
        }
    }
    merged.sort_by_key(|(time, ..)| *time);
    merged.into_iter().map(|(_, cursor, line)| (cursor, line)).collect()
}

/// Says of a worker without the method which version it is.
fn explain(error: CallError, worker: &WorkerId, view: &FleetView) -> CallError {
    if error.kind != ErrorKind::UnknownMethod {
        let message = format!("{worker}: {}", error.message);
        return CallError { message, worker: None, ..error };
    }
    let version = view.worker(worker).and_then(|worker| worker.version.clone());
    let version =
        version.map_or("an older Hearth".to_owned(), |version| format!("Hearth {version}"));
    let message = format!(
        "worker {worker} runs {version}, which has no logs method: upgrade it, or read its log on \
         its host"
    );
    CallError { message, worker: None, ..error }
}

#[cfg(test)]
mod tests {
    use hearth_protocol::methods::LogLevel;

    use super::*;

    #[test]
    fn lines_of_several_workers_are_in_the_order_of_their_times() {
        let of = |name: &str, times: &[u64]| {
            let line = |(number, time_ms): (u64, &u64)| LogLine {
                number,
                time_ms: *time_ms,
                level: LogLevel::Info,
                text: format!("{name}{number}"),
            };
            let lines = (1..).zip(times).map(line).collect();
            (Cursor::new(WorkerId::new(name).unwrap()), lines)
        };
        let read = [of("a", &[10, 30, 20, 40]), of("b", &[5, 30, 35])];
        let texts = merge(&read).into_iter().map(|(_, line)| line.text.as_str());
        assert_eq!(texts.collect::<Vec<_>>(), ["b1", "a1", "a2", "a3", "b2", "b3", "a4"]);
    }

    #[test]
    fn an_older_worker_is_named_with_its_version() {
        let view = FleetView::default();
        let worker = WorkerId::new("w0").unwrap();
        let error = |kind| explain(CallError::new(kind, "no"), &worker, &view);
        let message = error(ErrorKind::UnknownMethod).message;
        assert!(
            message.starts_with("worker w0 runs an older Hearth, which has no logs"),
            "{message}"
        );
        assert_eq!(error(ErrorKind::PermissionDenied).message, "w0: no");
    }
}
