//! Lines of a log in files, the newest last: the last so many, and those that come.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::shim::aged;
use crate::{Error, LogLines, LogOptions};

const CHUNK: usize = 64 << 10;
/// Bytes of a line, beyond which it is given in pieces.
const MAX_LINE: usize = 256 << 10;
/// How often a file is looked at for more.
const LOOK: Duration = Duration::from_millis(100);

/// The lines of the log whose newest file is `path`, older ones beside it as `path.1` and so on.
/// `ended` says whether nothing more is written; it is asked only where new lines are waited for.
pub(crate) fn lines<F, T>(path: &Path, options: LogOptions, ended: F) -> Result<LogLines, Error>
where
    F: Fn() -> T + Send + 'static,
    T: Future<Output = bool> + Send,
{
    let reader = Reader::open(path, options).map_err(|source| state(path, source))?;
    let following = Follower { reader, ended, follow: options.follow, over: false };
    let lines = stream::unfold(following, |mut following| async move {
        let line = following.next().await?;
        Some((line, following))
    });
    Ok(lines.boxed())
}

fn state(path: &Path, source: io::Error) -> Error {
    Error::State { path: path.to_owned(), source }
}

struct Follower<F> {
    reader: Reader,
    ended: F,
    follow: bool,
    over: bool,
}

impl<F, T> Follower<F>
where
    F: Fn() -> T,
    T: Future<Output = bool>,
{
    async fn next(&mut self) -> Option<Result<String, Error>> {
        loop {
            if let Some(line) = self.reader.line() {
                return Some(Ok(line));
            }
            match self.reader.read() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(source) => {
                    self.over = true;
                    self.follow = false;
                    return Some(Err(state(&self.reader.path, source)));
                }
            }
            if self.over || !self.follow {
                return self.reader.rest().map(Ok);
            }
            // Asked before the last look, so that nothing written until then is missed.
            self.over = (self.ended)().await;
            if !self.over {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Bytes of the files in their order, as lines.
struct Reader {
    path: PathBuf,
    /// What is being read; none before there is any.
    file: Option<File>,
    /// Older files that are still to come, the oldest first.
    next: VecDeque<File>,
    pending: Vec<u8>,
    /// How much of it is given already.
    given: usize,
    /// Lines to pass over, for a tail that begins later.
    skip: usize,
}

impl Reader {
    fn open(path: &Path, options: LogOptions) -> io::Result<Self> {
        let mut next = files(path)?;
        let mut skip = 0;
        if let Some(tail) = options.tail {
            skip = seek_tail(&mut next, tail)?;
        }
        let file = next.pop_front();
        Ok(Self { path: path.to_owned(), file, next, pending: Vec::new(), given: 0, skip })
    }

    /// A whole line, or a piece of one that is too long to be held.
    fn line(&mut self) -> Option<String> {
        loop {
            let open = &self.pending[self.given..];
            let (line, used) = match open.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&open[..end], end + 1),
                None if open.len() >= MAX_LINE => (open, open.len()),
                None => return None,
            };
            let text = text(line);
            self.given += used;
            if self.skip == 0 {
                return Some(text);
            }
            self.skip -= 1;
        }
    }

    /// What stands after the last line's end.
    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.pending);
        let rest = &rest[std::mem::take(&mut self.given)..];
        (!rest.is_empty() && self.skip == 0).then(|| text(rest))
    }

    /// Reads on; false when there is nothing more for now.
    fn read(&mut self) -> io::Result<bool> {
        loop {
            if self.read_own()? {
                return Ok(true);
            }
            if let Some(next) = self.next.pop_front() {
                self.file = Some(next);
                continue;
            }
            if !self.rotated()? {
                return Ok(false);
            }
            // Once more, now that nothing is added to it: what came after the last look.
            if self.read_own()? {
                return Ok(true);
            }
        }
    }

    /// Reads on in the file that is open; false at its end.
    fn read_own(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        let mut chunk = vec![0; CHUNK];
        let count = file.read(&mut chunk)?;
        if count > 0 {
            self.pending.drain(..std::mem::take(&mut self.given));
            self.pending.extend_from_slice(&chunk[..count]);
        }
        Ok(count > 0)
    }

    /// Whether there are files newer than the one that is read; they are then the next.
    fn rotated(&mut self) -> io::Result<bool> {
        let own = match &self.file {
            Some(file) => Some(file.metadata()?.ino()),
            None => None,
        };
        let mut newer = files(&self.path)?;
        let inodes =
            newer.iter().map(|f| f.metadata().map(|m| m.ino())).collect::<io::Result<Vec<_>>>()?;
        // Where ours was overwritten already, all that is left is newer.
        let from = own.and_then(|own| inodes.iter().position(|inode| *inode == own));
        newer.drain(..from.map_or(0, |from| from + 1));
        self.next = newer;
        Ok(!self.next.is_empty())
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

/// The files that there are, the oldest first.
fn files(path: &Path) -> io::Result<VecDeque<File>> {
    let mut files = VecDeque::new();
    let mut age = 0;
    loop {
        let one = if age == 0 { path.to_owned() } else { aged(path, age) };
        match File::open(one) {
            // One that was rotated between two looks is met twice.
            Ok(file) if files.front().is_some_and(|newer| is_same(newer, &file)) => {}
            Ok(file) => files.push_front(file),
            // For a moment of each rotation there is an older file and no newest one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && age == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(error),
        }
        age += 1;
    }
}

fn is_same(one: &File, other: &File) -> bool {
    let inode = |file: &File| file.metadata().map(|metadata| metadata.ino());
    matches!((inode(one), inode(other)), (Ok(one), Ok(other)) if one == other)
}

/// Drops the files before the last `tail` lines and goes to the chunk where these begin. Says how
/// many lines of it come before them.
fn seek_tail(files: &mut VecDeque<File>, tail: usize) -> io::Result<usize> {
    let mut found = 0;
    let mut last = true;
    for index in (0..files.len()).rev() {
        let file = &mut files[index];
        let mut end = file.metadata()?.len();
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let mut chunk = Vec::new();
            file.seek(SeekFrom::Start(start))?;
            file.by_ref().take(end - start).read_to_end(&mut chunk)?;
            // The last line of all may lack its end.
            if std::mem::take(&mut last) && !chunk.ends_with(b"\n") {
                found += 1;
            }
            found += chunk.iter().filter(|byte| **byte == b'\n').count();
            if found > tail {
                // The line that this chunk begins with may have begun before it.
                file.seek(SeekFrom::Start(start))?;
                files.drain(..index);
                return Ok(found - tail);
            }
            end = start;
        }
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(found.saturating_sub(tail))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    async fn all(path: &Path, tail: Option<usize>) -> Vec<String> {
        let options = LogOptions { tail, follow: false };
        let lines = lines(path, options, || async { true }).unwrap();
        lines.map(Result::unwrap).collect().await
    }

    #[tokio::test]
    async fn a_tail_reaches_back_into_older_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(all(&path, None).await, [""; 0]);
        fs::write(aged(&path, 2), "a\nb\n").unwrap();
        fs::write(aged(&path, 1), "c\nd-").unwrap();
        fs::write(&path, "d\ne\nf").unwrap();
        assert_eq!(all(&path, None).await, ["a", "b", "c", "d-d", "e", "f"]);
        for tail in 0..=6 {
            let expected = ["a", "b", "c", "d-d", "e", "f"];
            assert_eq!(all(&path, Some(tail)).await, expected[6 - tail..], "{tail}");
        }
        assert_eq!(all(&path, Some(99)).await.len(), 6);
        let long = "x".repeat(200_000);
        fs::write(&path, format!("{long}\n{long}\nend\n")).unwrap();
        assert_eq!(all(&path, Some(2)).await, [long, "end".to_owned()]);
    }

    /// A writer that appends and rotates all the time, as fast as it can: whatever falls between
    /// two looks of the reader, no line is lost.
    #[test]
    fn no_line_is_lost_between_the_last_look_and_a_rotation() {
        const LINES: usize = 300;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "").unwrap();
        let mut reader = Reader::open(&path, LogOptions::default()).unwrap();
        let began = std::time::Instant::now();
        // No further ahead than one rotation, so that nothing is overwritten that was not read.
        let (told, hear) = std::sync::mpsc::sync_channel(0);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                for number in 0..LINES {
                    let mut file = File::options().append(true).create(true).open(&path).unwrap();
                    writeln!(file, "{number}").unwrap();
                    fs::rename(&path, aged(&path, 1)).unwrap();
                    File::create(&path).unwrap();
                    told.send(()).unwrap();
                }
            }
        });
        for number in 0..LINES {
            let line = loop {
                if let Some(line) = reader.line() {
                    break line;
                }
                let _ = reader.read().unwrap();
                assert!(began.elapsed() < Duration::from_secs(60), "line {number} is lost");
            };
            assert_eq!(line, number.to_string());
            let _ = hear.recv();
        }
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn a_follower_goes_through_rotations_and_ends_with_the_replica() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let options = LogOptions { tail: Some(1), follow: true };
        fs::write(&path, "old\nlast\n").unwrap();
        let asked = move || {
            let flag = Arc::clone(&flag);
            async move { flag.load(Ordering::SeqCst) }
        };
        let mut lines = lines(&path, options, asked).unwrap();
        let mut next = async || lines.next().await.map(Result::unwrap);
        assert_eq!(next().await.as_deref(), Some("last"));
        let mut file = File::options().append(true).open(&path).unwrap();
        write!(file, "one\ntwo-").unwrap();
        assert_eq!(next().await.as_deref(), Some("one"));
        fs::rename(&path, aged(&path, 1)).unwrap();
        fs::write(&path, "two\nthree").unwrap();
        assert_eq!(next().await.as_deref(), Some("two-two"));
        ended.store(true, Ordering::SeqCst);
        assert_eq!(next().await.as_deref(), Some("three"));
        assert_eq!(next().await, None);
    }
}
