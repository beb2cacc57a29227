//! A worker's lines as they are printed: of several workers with their names before, or as JSON.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hearth_api::{Incarnation, WorkerId};
use hearth_base::text::{escape_json, escape_line};
use hearth_protocol::methods::{LogLevel, LogLine};
use serde::Serialize;

use super::cursor::Cursor;
use crate::exit::Failure;
use crate::output::Output;

/// The last millisecond of the year 9999, beyond which a time can't be written.
const LAST_TIME: u64 = 253_402_300_799_999;

/// How lines are printed.
#[derive(Debug)]
pub(super) struct Lines {
    output: Output,
    /// Columns of the names before the lines; none where one worker is asked for.
    names: Option<usize>,
}

#[derive(Serialize)]
struct Row<'a> {
    worker: &'a WorkerId,
    incarnation: Option<Incarnation>,
    number: u64,
    time: String,
    level: LogLevel,
    text: &'a str,
}

impl Lines {
    pub(super) fn new(workers: &[WorkerId], output: Output) -> Self {
        let longest = workers.iter().map(|worker| worker.as_str().len()).max();
        Self { output, names: longest.filter(|_| workers.len() > 1) }
    }

    /// Prints lines at once.
    pub(super) fn print<'a>(
        &self,
        lines: impl IntoIterator<Item = (&'a Cursor, &'a LogLine)>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for (cursor, line) in lines {
            text += &self.format(cursor.worker(), cursor.incarnation(), line)?;
            text.push('\n');
        }
        if text.is_empty() { Ok(()) } else { self.output.bytes(text.as_bytes()) }
    }

    fn format(
        &self,
        worker: &WorkerId,
        incarnation: Option<Incarnation>,
        line: &LogLine,
    ) -> Result<String, Failure> {
        let LogLine { number, time_ms, level, ref text } = *line;
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms.min(LAST_TIME));
        let time = humantime::format_rfc3339_millis(at).to_string();
        if self.output.json {
            let row = Row { worker, incarnation, number, time, level, text };
            let json = serde_json::to_string(&row).map_err(anyhow::Error::from)?;
            return Ok(escape_json(&json).into_owned());
        }
        let mut shown = String::new();
        if let Some(width) = self.names {
            let _ = write!(shown, "{worker:width$} | ");
        }
        let _ = write!(shown, "{time} {level:5} {}", escape_line(text));
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(json: bool) -> Output {
        Output {
            json,
            quiet: false,
            interactive: false,
            live: false,
            color: false,
            color_notes: false,
            unicode: true,
        }
    }

    fn formatted(names: &[&str], json: bool, text: &str, time_ms: u64) -> String {
        let workers: Vec<WorkerId> =
            names.iter().map(|name| WorkerId::new(*name).unwrap()).collect();
        let lines = Lines::new(&workers, output(json));
        let line = LogLine { number: 7, time_ms, level: LogLevel::Warn, text: text.to_owned() };
        lines.format(&workers[0], Some(Incarnation::from_bits(1)), &line).unwrap()
    }

    #[test]
    fn a_line_has_its_time_and_of_several_workers_its_name() {
        let time = 1_700_000_000_123;
        assert_eq!(
            formatted(&["w0"], false, "a: b\u{1b}[2J", time),
            r"2023-11-14T22:13:20.123Z WARN  a: b\u{1b}[2J"
        );
        assert_eq!(
            formatted(&["w0", "gpu1"], false, "a: b", time),
            "w0   | 2023-11-14T22:13:20.123Z WARN  a: b"
        );
        assert!(formatted(&["w0"], false, "x", u64::MAX).starts_with("9999-12-31T23:59:59.999Z"));
    }

    #[test]
    fn as_json_a_line_says_whose_and_which_it_is() {
        let json = formatted(&["w0", "w1"], true, "a: \u{202e}", 0);
        assert!(!json.contains('\u{202e}'), "{json}");
        let row: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&row["worker"], &row["number"]), (&"w0".into(), &7.into()));
        assert_eq!(row["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&row["level"], &row["text"]), (&"warn".into(), &"a: \u{202e}".into()));
        assert!(row["incarnation"].is_string(), "{row}");
    }
}
