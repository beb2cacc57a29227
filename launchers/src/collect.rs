//! Waiting for replicas, the same for every launcher.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{Error, Handle, Launcher, Outcome, Replica, StateDir};

/// Bytes of a result, at most.
const MAX_RESULT: u64 = 64 << 20;

/// How often an engine is asked: soon at first, then more and more seldom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

impl Pace {
    /// For an engine that answers at once.
    pub(crate) const QUICK: Self =
        Self { first: Duration::from_millis(20), last: Duration::from_millis(500) };

    fn after(self, wait: Duration) -> Duration {
        wait.mul_f64(1.5).min(self.last)
    }
}

/// Polls until all have ended.
///
/// # Errors
/// [`Error::CollectTimeout`] names those that still run, and those of [`Launcher::poll`].
pub(crate) async fn wait(
    launcher: &dyn Launcher,
    handles: &[Handle],
    timeout: Option<Duration>,
    pace: Pace,
) -> Result<Vec<Replica>, Error> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut pause = pace.first;
    loop {
        let replicas = launcher.poll(handles).await?;
        let open = replicas.iter().zip(handles).filter(|(replica, _)| !replica.status.is_final());
        let running: Vec<Handle> = open.map(|(_, handle)| handle.clone()).collect();
        if running.is_empty() {
            return Ok(replicas);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Error::CollectTimeout { timeout: timeout.unwrap_or_default(), running });
        }
        sleep(left.map_or(pause, |left| pause.min(left))).await;
        pause = pace.after(pause);
    }
}

/// Waits until all have ended, and reads the results that they left in the state folder.
///
/// # Errors
/// As [`wait`].
pub(crate) async fn outcomes(
    launcher: &dyn Launcher,
    state: &StateDir,
    handles: &[Handle],
    timeout: Option<Duration>,
    pace: Pace,
) -> Result<Vec<Outcome>, Error> {
    let replicas = wait(launcher, handles, timeout, pace).await?;
    let result = |handle: &Handle| state.result_file(&handle.launch, handle.rank);
    let pairs = replicas.into_iter().zip(handles);
    Ok(pairs.map(|(replica, handle)| outcome(replica, &result(handle))).collect())
}

/// A replica's end, with the result that it left in this file. A result that can't be read is
/// told in `error`, and leaves the status as it is.
fn outcome(replica: Replica, result: &Path) -> Outcome {
    let Replica { rank, status, exit_code, error, .. } = replica;
    let (result, unread) = match read_result(result) {
        Ok(result) => (result, None),
        Err(why) => (None, Some(why)),
    };
    Outcome { rank, status, exit_code, error: error.or(unread), result }
}

fn read_result(path: &Path) -> Result<Option<Value>, String> {
    if !path.is_file() {
        return Ok(None);
    }
    let file =
        fs::File::open(path).map_err(|error| format!("its result can't be read: {error}"))?;
    let mut text = Vec::new();
    let read = file.take(MAX_RESULT + 1).read_to_end(&mut text);
    read.map_err(|error| format!("its result can't be read: {error}"))?;
    if text.len() as u64 > MAX_RESULT {
        return Err(format!("its result has more than {MAX_RESULT} bytes"));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| format!("its result is not JSON: {error}"))
}
