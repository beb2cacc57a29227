//! The last lines of the worker's own log, and a wait for the next ones. A call that waits holds a
//! place among its caller's calls and nothing else.

use std::time::{Duration, UNIX_EPOCH};

use hearth_api::{CallError, ErrorKind, Incarnation};
use hearth_protocol::methods::{LogLevel, LogLine, LogsArgs, LogsValue};
use hearth_telemetry::log::{Bounds, Line, Start};
use tracing::Level;

use super::arguments::arguments;
use super::call::{Answer, MethodCall};
use super::reply::answer;

/// What one answer has at most; with the names of the fields it is well below the limit of a frame.
const ONE_ANSWER: Bounds = Bounds { lines: 1000, bytes: 256 << 10 };
/// Longest wait, in milliseconds.
const MAX_WAIT: u32 = 60_000;

pub(super) async fn logs(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, .. } = call;
    let args: LogsArgs = arguments(&request)?;
    let LogsArgs { lines, wait_ms, .. } = args;
    if wait_ms > MAX_WAIT {
        let message = format!("wait_ms is {wait_ms}: give 0 to {MAX_WAIT}, and ask again");
        return Err(CallError::invalid("wait_ms", message));
    }
    let log = shared.log.get().ok_or_else(|| {
        let message = "the program of this worker keeps no lines: Worker::serve_log has it do so";
        CallError::new(ErrorKind::UnknownMethod, message)
    })?;
    let most = usize::try_from(lines).unwrap_or(usize::MAX).min(ONE_ANSWER.lines);
    let bounds = Bounds { lines: most, ..ONE_ANSWER };
    let start = start(&args, shared.incarnation);
    let mut found = log.excerpt(start, bounds);
    if found.lines.is_empty() && most > 0 && wait_ms > 0 {
        let seen = match start {
            Start::After(number) => number,
            Start::Last(_) => found.newest,
        };
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => {}
            () = log.wait_beyond(seen) => {}
            () = tokio::time::sleep(Duration::from_millis(wait_ms.into())) => {}
        }
        found = log.excerpt(Start::After(seen), bounds);
    }
    answer(&LogsValue {
        incarnation: shared.incarnation,
        newest: found.newest,
        lost: found.lost,
        lines: found.lines.into_iter().map(line).collect(),
    })
}

/// Where the lines begin that a caller of the run `ours` means.
fn start(args: &LogsArgs, ours: Incarnation) -> Start {
    match args.after {
        None => Start::Last(args.lines.into()),
        Some(number) if args.incarnation.is_none_or(|run| run == ours) => Start::After(number),
        Some(_) => Start::After(0),
    }
}

fn line(line: Line) -> LogLine {
    let Line { number, at, level, text } = line;
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let level = match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    };
    LogLine { number, time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), level, text }
}

#[cfg(test)]
mod tests {
    use hearth_protocol::{codec, limits};

    use super::*;

    fn run(bits: u128) -> Incarnation {
        Incarnation::from_bits(bits)
    }

    #[test]
    fn numbers_count_in_their_own_run() {
        let args = LogsArgs { lines: 7, ..LogsArgs::default() };
        assert_eq!(start(&args, run(1)), Start::Last(7));
        let args = LogsArgs { after: Some(5), ..args };
        assert_eq!(start(&args, run(1)), Start::After(5));
        let args = LogsArgs { incarnation: Some(run(1)), ..args };
        assert_eq!(start(&args, run(1)), Start::After(5));
        assert_eq!(start(&args, run(2)), Start::After(0));
    }

    #[test]
    fn the_longest_answer_fits_into_a_frame() {
        let (number, level) = (u64::MAX, LogLevel::Error);
        let text = "x".repeat(ONE_ANSWER.bytes / ONE_ANSWER.lines + 1);
        let line = LogLine { number, time_ms: u64::MAX, level, text };
        let lines = vec![line; ONE_ANSWER.lines];
        let value = LogsValue { incarnation: run(1), newest: number, lost: number, lines };
        assert!(codec::encode(&value).unwrap().len() < limits::STRUCTURED as usize / 2);
    }
}
