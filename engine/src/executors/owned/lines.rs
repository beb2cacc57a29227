//! A worker's output: handed on to this process's standard error line by line, with the last lines
//! kept to say why it ended.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use hearth_base::failure;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Lines that are kept, and the longest that one is read to.
const LINES: usize = 40;
const LINE_BYTES: u64 = 16 * 1024;
/// What is told of the reason of an end.
const TOLD_BYTES: usize = 600;

/// The last lines of a worker.
#[derive(Debug, Clone, Default)]
pub(in crate::executors) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    /// Reads to the end of `output`.
    pub(in crate::executors) async fn follow(self, output: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line).await;
            if !matches!(read, Ok(1..)) {
                return;
            }
            // With standard error gone there is nobody to tell.
            let _ = std::io::stderr().write_all(&line);
            self.add(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    }

    pub(in crate::executors) fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The error that it ended with: its own, a panic, or a failed allocation; empty for none.
    pub(in crate::executors) fn reason(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let telling = |line: &String| {
            failure::is_error(line)
                || line.contains("panicked at")
                || line.contains("memory allocation of")
        };
        let Some(from) = lines.iter().rposition(telling) else { return String::new() };
        let told = lines.range(from..).map(|line| failure::bare(line));
        let told: Vec<_> = told.filter(|line| !line.is_empty()).collect();
        let mut told = told.join(": ");
        if told.len() > TOLD_BYTES {
            let end = (0..=TOLD_BYTES).rev().find(|&at| told.is_char_boundary(at)).unwrap_or(0);
            told.truncate(end);
            told.push('…');
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_error_is_told_with_its_causes() {
        let lines = LastLines::default();
        let text = "INFO starts\nerror: the model can't be served\n  caused by: no such folder\n";
        lines.clone().follow(text.as_bytes()).await;
        assert_eq!(lines.reason(), "the model can't be served: no such folder");
        let quiet = LastLines::default();
        quiet.clone().follow(&b"INFO ready\n"[..]).await;
        assert_eq!(quiet.reason(), "");
    }

    #[tokio::test]
    async fn an_endless_line_costs_no_more_than_a_bound() {
        let lines = LastLines::default();
        let long = vec![b'x'; 2_000_000];
        lines.clone().follow(&long[..]).await;
        let kept: usize = lines.0.lock().unwrap().iter().map(String::len).sum();
        assert!(kept <= LINES * LINE_BYTES as usize, "{kept}");
    }
}
