//! How far a worker's log has been read.

use std::time::Duration;

use hearth_api::{CallError, Incarnation, WorkerId};
use hearth_engine::{Engine, RpcOptions, call};
use hearth_protocol::methods::{LogLine, LogsArgs, LogsValue};

use crate::commands::targets;

/// How long a worker has to answer, beside the time that it is to wait.
const ANSWER: Duration = Duration::from_secs(5);

/// How far a worker's log has been read.
#[derive(Debug)]
pub(super) struct Cursor {
    worker: WorkerId,
    /// The run that was read, and the number of its last line that was; none before the first.
    read: Option<(Incarnation, u64)>,
}

/// What one answer has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Whether the lines are those of another run than the ones before.
    pub(super) is_new_run: bool,
    /// How many lines before these are not kept any more.
    pub(super) lost: u64,
    pub(super) lines: Vec<LogLine>,
    /// The number of the newest line.
    pub(super) newest: u64,
}

impl Cursor {
    pub(super) fn new(worker: WorkerId) -> Self {
        Self { worker, read: None }
    }

    pub(super) fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// The run that was read last.
    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        self.read.map(|(run, _)| run)
    }

    /// The number of the line that was read last.
    pub(super) fn number(&self) -> u64 {
        self.read.map_or(0, |(_, number)| number)
    }

    /// The next lines, at most so many; at first the last ones. Waits for one for so long.
    pub(super) async fn read(
        &mut self,
        engine: &Engine,
        lines: u32,
        wait: Duration,
    ) -> Result<Batch, CallError> {
        let args = LogsArgs {
            after: self.read.map(|(_, number)| number),
            incarnation: self.incarnation(),
            lines,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let options = RpcOptions::new().worker(self.worker.clone()).timeout(wait + ANSWER);
        let answers = engine.call::<call::Logs>(args, options).await;
        Ok(self.take(answers.and_then(targets::only)?))
    }

    fn take(&mut self, value: LogsValue) -> Batch {
        let LogsValue { incarnation, newest, lost, lines } = value;
        let is_new_run = self.incarnation().is_some_and(|before| before != incarnation);
        let before = match self.read {
            None => newest,
            Some(_) if is_new_run => 0,
            Some((_, number)) => number,
        };
        let number = lines.last().map_or(before, |line| line.number);
        self.read = Some((incarnation, number));
        Batch { is_new_run, lost, lines, newest }
    }
}

#[cfg(test)]
mod tests {
    use hearth_protocol::methods::LogLevel;

    use super::*;

    #[test]
    fn a_cursor_counts_in_the_run_that_it_has_read() {
        let mut cursor = Cursor::new(WorkerId::new("w0").unwrap());
        let mut take = |run, newest, numbers: &[u64]| {
            let line = |number: &u64| LogLine {
                number: *number,
                time_ms: 0,
                level: LogLevel::Info,
                text: String::new(),
            };
            let incarnation = Incarnation::from_bits(run);
            let lines = numbers.iter().map(line).collect();
            let batch = cursor.take(LogsValue { incarnation, newest, lost: 0, lines });
            (batch.is_new_run, cursor.number())
        };
        assert_eq!(take(1, 40, &[]), (false, 40), "no line is asked for: only the next ones count");
        assert_eq!(take(1, 43, &[41, 42]), (false, 42));
        assert_eq!(take(1, 43, &[]), (false, 42));
        assert_eq!(take(2, 9, &[1, 2]), (true, 2));
        assert_eq!(take(3, 0, &[]), (true, 0));
    }
}
