//! A program's output: passed through, or written to files of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read as _, Stdout, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use super::Log;

const CHUNK: usize = 64 << 10;

/// Where a program is to write.
pub(super) struct Output {
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    pub(super) pump: Option<Pump>,
}

/// The thread that writes the files.
pub(super) struct Pump {
    ended: mpsc::Receiver<()>,
}

impl Output {
    pub(super) fn open(log: &Log) -> io::Result<Self> {
        let Log::File { path, max_bytes, files, echo } = log else {
            return Ok(Self { stdout: Stdio::inherit(), stderr: Stdio::inherit(), pump: None });
        };
        let mut rotated = RotatingFile::open(path, *max_bytes, *files)?;
        // One pipe for both, so that their lines stay in order.
        let (mut reader, writer) = io::pipe()?;
        let errors = writer.try_clone()?;
        let echo = echo.then(io::stdout);
        let (end, ended) = mpsc::channel();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            copy(&mut reader, &mut rotated, echo);
            // This fails only when nobody waits any more.
            let _ = end.send(());
        })?;
        Ok(Self { stdout: writer.into(), stderr: errors.into(), pump: Some(Pump { ended }) })
    }
}

impl Pump {
    /// Waits until all is written that was in the pipe, for as long as `limit`: somebody else may
    /// hold its other end.
    pub(super) fn finish(self, limit: Duration) {
        let _ = self.ended.recv_timeout(limit);
    }
}

/// To the pipe's end. What can't be written is dropped: a full disk must not stop the program.
fn copy(reader: &mut PipeReader, rotated: &mut RotatingFile, mut echo: Option<Stdout>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                let _ = rotated.write(&chunk[..count]);
                let echoed = echo
                    .as_mut()
                    .map(|out| out.write_all(&chunk[..count]).and_then(|()| out.flush()));
                if let Some(Err(_)) = echoed {
                    echo = None;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The newest file, with the older ones beside it.
struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    files: u32,
    file: File,
    written: u64,
}

impl RotatingFile {
    fn open(path: &Path, max_bytes: u64, files: u32) -> io::Result<Self> {
        let file = append(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), max_bytes, files, file, written })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.written >= self.max_bytes {
                self.rotate()?;
            }
            let room = usize::try_from(self.max_bytes - self.written).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room.max(1)));
            self.file.write_all(now)?;
            self.written += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// `log` becomes `log.1`, that one `log.2`, and the oldest is overwritten.
    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..self.files.max(1)).rev() {
            let from = if age == 1 { self.path.clone() } else { aged(&self.path, age - 1) };
            if from.exists() {
                fs::rename(from, aged(&self.path, age))?;
            }
        }
        if self.files <= 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = append(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// The name of an older file.
pub(crate) fn aged(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_and_their_sum_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut rotated = RotatingFile::open(&path, 10, 3).unwrap();
        for number in 0..10 {
            rotated.write(format!("line {number}\n").as_bytes()).unwrap();
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let all = [aged(&path, 2), aged(&path, 1), path.clone()].map(|path| read(&path)).concat();
        let written: String = (0..10).map(|number| format!("line {number}\n")).collect();
        assert!(written.ends_with(&all) && (21..=30).contains(&all.len()), "{all}");
        assert!(!aged(&path, 3).exists());
        drop(rotated);
        let again = RotatingFile::open(&path, 10, 1).unwrap();
        assert_eq!(again.written, read(&path).len() as u64, "a second one goes on");
    }
}
