//! Runs one of the user's programs: its time, its output and what it complains of are bounded, and
//! its exit status is told by its meaning.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hearth_base::text::escape_line;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::config::{Call, NAME};
use super::programs::Programs;
use crate::{Error, LaunchId, RESULT_VARIABLE};

/// It is refused, and would be again.
const REFUSED: i32 = 10;
/// The service knows nothing of what was named.
const UNKNOWN: i32 = 11;
/// It had been done before.
const ALREADY: i32 = 12;
/// It may be done when asked again (`EX_TEMPFAIL` of sysexits.h).
const TRY_AGAIN: i32 = 75;

/// How often a call is made that is to be tried again, and the first pause between two.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Characters of what a program complains of that are passed on: the last ones, where reasons are.
const MAX_REASON: usize = 500;
/// Bytes of it that are kept meanwhile.
const MAX_COMPLAINT: usize = 16 << 10;
/// How long output may come after a program's end: what it has left running may hold the pipe.
const DRAIN: Duration = Duration::from_secs(1);

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Its program could not be started.
    Unstarted(Error),
    /// It was refused; what the program printed may name the field.
    Refused { printed: Vec<u8>, reason: String },
    /// The service knows nothing of what was named.
    Unknown(String),
    /// It may be done when asked again, which was done some times.
    TryAgain(String),
    /// It failed, took too long or printed too much.
    Failed(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unstarted(error) => error,
            Failure::Refused { reason, .. }
            | Failure::Unknown(reason)
            | Failure::TryAgain(reason)
            | Failure::Failed(reason) => Self::Manager { launcher: NAME, reason },
        }
    }
}

/// What one call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) time: Duration,
    /// Bytes on its standard output.
    pub(super) output: usize,
}

/// What a call prints. One that may be tried again is, some times over.
pub(super) async fn run(
    programs: &Programs,
    call: Call,
    launch: &LaunchId,
    request: &Value,
    limits: Limits,
) -> Result<Vec<u8>, Failure> {
    let name = programs.name(call);
    let (mut pause, mut left) = (PAUSE, ATTEMPTS);
    loop {
        left -= 1;
        let program = RunningProgram::start(programs, call, launch, request)?;
        match program.output(&name, limits).await {
            Err(Failure::TryAgain(reason)) if left > 0 => {
                tracing::debug!(%reason, "asked again");
            }
            other => return other,
        }
        sleep(pause).await;
        pause *= 3;
    }
}

/// A program that runs. It has no terminal's signals: what is to be done of an interrupted launch
/// is the launcher's business. Dropped before its end, it is killed with what it has started.
pub(super) struct RunningProgram {
    child: Child,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    complaint: Complaint,
}

impl RunningProgram {
    /// Starts a call's program with its request on standard input.
    pub(super) fn start(
        programs: &Programs,
        call: Call,
        launch: &LaunchId,
        request: &Value,
    ) -> Result<Self, Failure> {
        let name = programs.name(call);
        let failed = |error: io::Error| Failure::Failed(format!("{name}: {error}"));
        let [program, args @ ..] = programs.argv(call) else {
            return Err(Failure::Failed(format!("{name}: no program is kept for it")));
        };
        let mut command = Command::new(program);
        command.args(args).arg(launch.as_str()).envs(&programs.config.env);
        // Where the caller is a replica itself, its own end is not theirs.
        command.env_remove(RESULT_VARIABLE);
        command.stdin(input(request).map_err(failed)?);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let program = program.into();
            let remedy = format!("{error}; it is the {} of a launcher's programs", call.name());
            Failure::Unstarted(Error::Program { program, remedy })
        })?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| failed(io::Error::other("it has no output")))?;
        let stderr = child.stderr.take();
        Ok(Self { child, stdout, stderr, complaint: Complaint::default() })
    }

    /// What it prints until its end.
    async fn output(mut self, name: &str, limits: Limits) -> Result<Vec<u8>, Failure> {
        let ended = timeout(limits.time, self.end(limits.output)).await;
        let (status, printed) = match ended {
            Ok(Ok(ended)) => ended,
            Ok(Err(reason)) => return Err(Failure::Failed(format!("{name} {reason}"))),
            Err(_) => {
                let limit = humantime::format_duration(limits.time);
                let complaint = self.complaint.reason();
                return Err(Failure::Failed(format!("{name} took longer than {limit}{complaint}")));
            }
        };
        match status.code() {
            Some(0 | ALREADY) => Ok(printed),
            _ => Err(self.failure(name, status, printed)),
        }
    }

    /// How it ended and what it printed, or what is wrong with it.
    async fn end(&mut self, limit: usize) -> Result<(ExitStatus, Vec<u8>), String> {
        let mut printed = Vec::new();
        let status = {
            let reading = async {
                let printing = read(&mut self.stdout, &mut printed, limit);
                tokio::try_join!(printing, self.complaint.hear(&mut self.stderr)).map(drop)
            };
            tokio::pin!(reading);
            let mut is_read = false;
            let status = loop {
                tokio::select! {
                    biased;
                    read = &mut reading, if !is_read => {
                        read?;
                        is_read = true;
                    }
                    status = self.child.wait() => break status.map_err(|error| error.to_string())?,
                }
            };
            if !is_read {
                timeout(DRAIN, reading).await.unwrap_or(Ok(()))?;
            }
            status
        };
        Ok((status, printed))
    }

    /// Some of what it prints, or none at its end.
    pub(super) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = vec![0; 64 << 10];
        let read = loop {
            tokio::select! {
                biased;
                read = self.stdout.read(&mut chunk) => break read?,
                _ = self.complaint.hear(&mut self.stderr), if self.stderr.is_some() => {}
            }
        };
        chunk.truncate(read);
        Ok((read > 0).then_some(chunk))
    }

    /// How it ended, once it has printed all. A replica that the service no longer knows has no
    /// output.
    pub(super) async fn conclude(&mut self, name: &str) -> Result<(), Failure> {
        let status = timeout(DRAIN * 5, self.child.wait()).await;
        let status = match status {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(Failure::Failed(format!("{name}: {error}"))),
            Err(_) => return Err(Failure::Failed(format!("{name} closed its output and runs on"))),
        };
        let _ = timeout(DRAIN, self.complaint.hear(&mut self.stderr)).await;
        match status.code() {
            Some(0 | ALREADY | UNKNOWN) => Ok(()),
            _ => Err(self.failure(name, status, Vec::new())),
        }
    }

    fn failure(&self, name: &str, status: ExitStatus, printed: Vec<u8>) -> Failure {
        let complaint = self.complaint.reason();
        match status.code() {
            Some(REFUSED) => {
                Failure::Refused { printed, reason: format!("{name} refused it{complaint}") }
            }
            Some(UNKNOWN) => Failure::Unknown(format!("{name} knows nothing of it{complaint}")),
            Some(TRY_AGAIN) => {
                Failure::TryAgain(format!("{name} can't do it for the moment{complaint}"))
            }
            Some(code) => Failure::Failed(format!("{name} ended with status {code}{complaint}")),
            None => Failure::Failed(format!("{name} was ended: {status}{complaint}")),
        }
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        // It has no number any more once it has ended and was waited for.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A request as a program's standard input: a file in memory, which it may read or not.
fn input(request: &Value) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("request", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, request)?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok(file.into())
}

async fn read(
    from: &mut (impl AsyncRead + Unpin),
    into: &mut Vec<u8>,
    limit: usize,
) -> Result<(), String> {
    let read = from.take(limit as u64 + 1).read_to_end(into).await;
    read.map_err(|error| format!("could not be heard: {error}"))?;
    match into.len() > limit {
        true => Err(format!("printed more than {limit} bytes")),
        false => Ok(()),
    }
}

/// The last of what a program writes on standard error.
#[derive(Debug, Default)]
struct Complaint(Vec<u8>);

impl Complaint {
    /// Reads on until the end, and forgets the pipe then.
    async fn hear(&mut self, stderr: &mut Option<ChildStderr>) -> Result<(), String> {
        while let Some(pipe) = stderr {
            let mut chunk = [0; 4096];
            match pipe.read(&mut chunk).await {
                Ok(0) | Err(_) => *stderr = None,
                Ok(read) => {
                    self.0.extend_from_slice(&chunk[..read]);
                    let above = self.0.len().saturating_sub(MAX_COMPLAINT);
                    self.0.drain(..above);
                }
            }
        }
        Ok(())
    }

    /// It on one line, after a colon, as the end of a message; nothing where nothing was said.
    fn reason(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = lines.join("; ");
        let skip = said.chars().count().saturating_sub(MAX_REASON);
        let last: String = said.chars().skip(skip).collect();
        let cut = if skip > 0 { "…" } else { "" };
        match last.is_empty() {
            true => String::new(),
            false => format!(": {cut}{}", escape_line(&last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_its_last_words_on_one_line_and_escaped() {
        assert_eq!(Complaint::default().reason(), "");
        let said = Complaint(b"Traceback:\n\n  no \x1b[2J such\n".to_vec());
        assert_eq!(said.reason(), r": Traceback:; no \u{1b}[2J such");
        let long = format!("{}end", "é".repeat(MAX_REASON * 2));
        let reason = Complaint(long.into_bytes()).reason();
        assert!(reason.starts_with(": …é") && reason.ends_with("éend"), "{reason}");
        assert_eq!(reason.chars().count(), MAX_REASON + 3);
    }
}
