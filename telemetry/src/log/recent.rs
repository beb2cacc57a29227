//! The log's last lines, kept in memory for whoever asks the running process.
//!
//! Lines are numbered from 1, so that a reader can go on where it stopped, and learns how many it
//! has missed. A line has the form of text whatever the log's own format is, without its time and
//! its level, which stand beside it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hearth_base::text;
use tokio::sync::watch;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Most lines that are kept.
pub const MAX_LINES: usize = 4096;
/// Most bytes of text that are kept.
const MAX_BYTES: usize = 1 << 20;
/// Longest line; what is beyond it is cut.
const MAX_LINE: usize = 8 << 10;

/// The last lines of a log. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    ring: Mutex<Ring>,
    /// The number of the newest line.
    newest: watch::Sender<u64>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in this process, from 1.
    pub number: u64,
    /// When it was written.
    pub at: SystemTime,
    /// Its level.
    pub level: Level,
    /// Where it comes from and what it says, escaped, on one line.
    pub text: String,
}

/// Where an excerpt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Behind the line of this number.
    After(u64),
    /// So many lines before the end.
    Last(u64),
}

/// How much an excerpt may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most lines.
    pub lines: usize,
    /// Most bytes of text; one line comes in any case.
    pub bytes: usize,
}

/// Some of the lines, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The lines.
    pub lines: Vec<Line>,
    /// How many there were between [`Start::After`] and the first, and are not kept any more.
    pub lost: u64,
    /// The number of the newest line, whether it is among them or not; 0 before the first.
    pub newest: u64,
}

impl Recent {
    /// Lines from `start` on, as many as the bounds allow.
    #[must_use]
    pub fn excerpt(&self, start: Start, bounds: Bounds) -> Excerpt {
        self.ring().excerpt(start, bounds)
    }

    /// Waits for a line of a higher number.
    pub async fn wait_beyond(&self, number: u64) {
        // The sender lives as long as this does.
        let _ = self.0.newest.subscribe().wait_for(|newest| *newest > number).await;
    }

    fn push(&self, at: SystemTime, level: Level, text: String) {
        let newest = self.ring().push(at, level, text);
        // Of two that write at once the later number counts.
        self.0.newest.send_if_modified(|known| {
            let newer = newest > *known;
            *known = newest.max(*known);
            newer
        });
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Recent {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry { recent: self, level: Level::INFO }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Entry<'a> {
        Entry { recent: self, level: *event.level() }
    }
}

/// Takes one whole line at a time, as the formatter gives it.
#[derive(Debug)]
pub struct Entry<'a> {
    recent: &'a Recent,
    level: Level,
}

impl Write for Entry<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = cut(&text::escape_line(text.trim_end()));
        self.recent.push(SystemTime::now(), self.level, text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_LINE {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(MAX_LINE)];
    format!("{kept}… ({} bytes more)", text.len() - kept.len())
}

/// The lines, each with the number after that of the one before.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    newest: u64,
}

impl Ring {
    /// Adds a line in the place of the oldest ones, and gives its number.
    fn push(&mut self, at: SystemTime, level: Level, text: String) -> u64 {
        self.newest += 1;
        self.bytes += text.len();
        self.lines.push_back(Line { number: self.newest, at, level, text });
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
        self.newest
    }

    fn excerpt(&self, start: Start, bounds: Bounds) -> Excerpt {
        let gone = self.newest - self.lines.len() as u64;
        let (after, lost) = match start {
            Start::After(number) => (number.max(gone), gone.saturating_sub(number)),
            Start::Last(count) => (self.newest.saturating_sub(count).max(gone), 0),
        };
        let skipped = usize::try_from(after - gone).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |line: &&Line| {
            let first = bytes == 0;
            bytes += line.text.len().max(1);
            first || bytes <= bounds.bytes
        };
        let lines = self.lines.iter().skip(skipped).take(bounds.lines).take_while(fits);
        Excerpt { lines: lines.cloned().collect(), lost, newest: self.newest }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALL: Bounds = Bounds { lines: usize::MAX, bytes: usize::MAX };

    fn filled(count: u64) -> Recent {
        let recent = Recent::default();
        for number in 1..=count {
            recent.push(SystemTime::UNIX_EPOCH, Level::INFO, format!("line {number}"));
        }
        recent
    }

    fn numbers(excerpt: &Excerpt) -> Vec<u64> {
        excerpt.lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let recent = filled(5);
        let two = Bounds { lines: 2, ..ALL };
        let first = recent.excerpt(Start::Last(3), two);
        assert_eq!((numbers(&first), first.newest, first.lost), (vec![3, 4], 5, 0));
        assert_eq!(first.lines[0].text, "line 3");
        assert_eq!(numbers(&recent.excerpt(Start::After(4), two)), [5]);
        assert_eq!(numbers(&recent.excerpt(Start::After(5), two)), [0; 0]);
        assert_eq!(numbers(&recent.excerpt(Start::After(9), two)), [0; 0]);
        assert_eq!(numbers(&recent.excerpt(Start::Last(0), two)), [0; 0]);
        assert_eq!(numbers(&recent.excerpt(Start::Last(99), ALL)), [1, 2, 3, 4, 5]);
        assert_eq!(Recent::default().excerpt(Start::Last(9), ALL).newest, 0);
    }

    #[test]
    fn what_is_not_kept_any_more_is_counted() {
        let recent = filled(MAX_LINES as u64 + 20);
        let rest = recent.excerpt(Start::After(5), ALL);
        assert_eq!((rest.lost, rest.lines[0].number, rest.lines.len()), (15, 21, MAX_LINES));
        let tail = recent.excerpt(Start::Last(u64::MAX), ALL);
        assert_eq!((tail.lost, tail.lines.len()), (0, MAX_LINES), "none was asked for by number");
    }

    #[test]
    fn bytes_are_bounded_in_the_ring_and_in_an_excerpt() {
        let recent = Recent::default();
        let long = "x".repeat(MAX_LINE);
        for _ in 0..=MAX_BYTES / MAX_LINE {
            recent.push(SystemTime::UNIX_EPOCH, Level::INFO, long.clone());
        }
        let all = recent.excerpt(Start::After(0), ALL);
        assert_eq!((all.lines.len(), all.lost), (MAX_BYTES / MAX_LINE, 1));
        let few = |bytes| recent.excerpt(Start::After(0), Bounds { bytes, ..ALL }).lines.len();
        assert_eq!([few(1), few(MAX_LINE * 2), few(MAX_LINE * 3 - 1)], [1, 2, 2]);
    }

    #[test]
    fn a_line_is_escaped_and_cut_at_a_character() {
        let recent = Recent::default();
        let write = |text: &str| recent.make_writer().write_all(text.as_bytes()).unwrap();
        write("a: b\u{1b}[2J\nforged\n");
        write(&format!("x{}\n", "é".repeat(MAX_LINE)));
        let lines = recent.excerpt(Start::After(0), ALL).lines;
        assert_eq!(lines[0].text, r"a: b\u{1b}[2J\nforged");
        let cut = format!("é… ({} bytes more)", MAX_LINE + 2);
        assert!(lines[1].text.starts_with("xé") && lines[1].text.ends_with(&cut), "{:?}", lines[1]);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_line() {
        let recent = filled(2);
        recent.wait_beyond(1).await;
        let waiting = recent.wait_beyond(2);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(1), &mut waiting).await;
        assert!(early.is_err(), "there is none yet");
        recent.push(SystemTime::now(), Level::WARN, "news".to_owned());
        waiting.await;
    }
}
