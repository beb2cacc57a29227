//! Log lines by way of a thread of their own: who logs never waits for who reads standard error,
//! which may be a terminal that was paused, or a program that reads no more.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait to be written; what comes then is dropped and counted.
const WAITING: usize = 4096;
/// How long a process that ends waits for its last lines.
const LAST: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(10);

/// A writer that waits for nobody.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    items: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// All before it is written.
    Mark(SyncSender<()>),
}

impl Queue {
    /// Starts the thread that writes.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (items, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(waiting, &count, to))?;
        Ok(Self { items, dropped })
    }

    /// Waits about a second for what was logged so far to be written.
    pub(super) fn flush(&self) {
        let end = Instant::now() + LAST;
        let (written, mark) = sync_channel(1);
        let mut item = Item::Mark(written);
        while let Err(error) = self.items.try_send(item) {
            match error {
                TrySendError::Full(back) if Instant::now() < end => item = back,
                _ => return,
            }
            thread::sleep(RETRY);
        }
        let _ = mark.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

/// Takes one line at a time.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.items.try_send(Item::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(waiting: Receiver<Item>, dropped: &AtomicU64, mut to: impl Write) {
    for item in waiting {
        match item {
            // With standard error gone there is nobody left to tell.
            Item::Line(line) => drop(to.write_all(&line)),
            Item::Mark(written) => drop(written.send(())),
        }
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "lines of this log are missing: they were read too slowly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Writes nothing until it may.
    struct Gate {
        go: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.go.recv();
            self.written.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_paused() {
        let (release, go) = sync_channel(0);
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut queue = Queue::start(Gate { go, written: Arc::clone(&written) }).unwrap();
        for line in 0..3 * WAITING {
            writeln!(queue, "{line}").unwrap();
        }
        assert!(queue.dropped.load(Ordering::Relaxed) > 0);
        let began = Instant::now();
        queue.flush();
        assert!(began.elapsed() < 10 * LAST);
        // It reads on: the oldest come first.
        drop(release);
        queue.flush();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("0\n1\n2\n"), "{written}");
    }
}
