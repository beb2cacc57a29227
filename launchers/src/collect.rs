//! Waiting for replicas, the same for every launcher.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{Error, Handle, Launcher, Outcome, Replica, StateDir};

/// Bytes of a result, at most.
pub(crate) const MAX_RESULT: u64 = 64 << 20;

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

/// What the first answer may take, however little time is given.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// How long a manager that has answered before may be away.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Polls until all have ended. A manager that is away meanwhile, as it is while it is started anew,
/// is asked again: what it watches over goes on without it.
///
/// # Errors
/// [`Error::CollectTimeout`] names those that still run, and those of [`Launcher::poll`].
pub(crate) async fn wait(
    launcher: &dyn Launcher,
    handles: &[Handle],
    timeout: Option<Duration>,
    pace: Pace,
) -> Result<Vec<Replica>, Error> {
    let begun = Instant::now();
    let deadline = timeout.map(|timeout| begun + timeout);
    let mut running = handles.to_vec();
    let late = |running| Error::CollectTimeout { timeout: timeout.unwrap_or_default(), running };
    let mut pause = pace.first;
    let mut answered: Option<Instant> = None;
    loop {
        // What has ended already is told however little time there is.
        let patience = deadline.map(|deadline| match answered {
            Some(_) => deadline,
            None => deadline.max(begun + FIRST_LOOK),
        });
        let Some(answer) = until(patience, launcher.poll(handles)).await else {
            return Err(late(running));
        };
        match answer {
            Ok(replicas) => {
                answered = Some(Instant::now());
                let all = replicas.iter().zip(handles);
                let open = all.filter(|(replica, _)| !replica.status.is_final());
                running = open.map(|(_, handle)| handle.clone()).collect();
                if running.is_empty() {
                    return Ok(replicas);
                }
            }
            Err(error @ Error::Manager { .. })
                if answered.is_some_and(|at| at.elapsed() < PATIENCE) =>
            {
                tracing::warn!(%error, "asked again until it answers");
            }
            Err(error) => return Err(error),
        }
        if until(deadline, sleep(pause)).await.is_none() {
            return Err(late(running));
        }
        pause = pace.after(pause);
    }
}

/// None when the time is over before.
async fn until<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::{Capabilities, LaunchId, LaunchSpec, LogLines, LogOptions, Status};

    const PACE: Pace = Pace { first: Duration::from_millis(1), last: Duration::from_millis(1) };

    /// Answers in turn; none is a manager that refuses. After the last it is silent.
    struct Scripted(Mutex<VecDeque<Option<Status>>>);

    fn scripted(answers: &[Option<Status>]) -> Scripted {
        Scripted(Mutex::new(answers.to_vec().into()))
    }

    #[async_trait]
    impl Launcher for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn capabilities(&self) -> Capabilities {
            unreachable!()
        }

        async fn launch(&self, _: &LaunchSpec) -> Result<Vec<Handle>, Error> {
            unreachable!()
        }

        async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
            let answer = self.0.lock().unwrap().pop_front();
            let Some(answer) = answer else { return std::future::pending().await };
            let reason = "it is away".to_owned();
            let status = answer.ok_or(Error::Manager { launcher: "scripted", reason })?;
            let replica = |handle: &Handle| Replica { status, ..Replica::pending(handle.rank) };
            Ok(handles.iter().map(replica).collect())
        }

        async fn logs(&self, _: &Handle, _: LogOptions) -> Result<LogLines, Error> {
            unreachable!()
        }

        async fn cancel(&self, _: &[Handle]) -> Result<(), Error> {
            unreachable!()
        }

        async fn collect(&self, _: &[Handle], _: Option<Duration>) -> Result<Vec<Outcome>, Error> {
            unreachable!()
        }
    }

    fn handles() -> Vec<Handle> {
        vec![Handle { launcher: "scripted".to_owned(), launch: LaunchId::draw("job"), rank: 0 }]
    }

    #[tokio::test]
    async fn a_manager_that_is_away_for_a_moment_is_asked_again() {
        let (running, done) = (Some(Status::Running), Some(Status::Succeeded));
        let launcher = scripted(&[running, None, None, running, None, done]);
        let replicas = wait(&launcher, &handles(), None, PACE).await.unwrap();
        assert_eq!(replicas[0].status, Status::Succeeded);
        let never = wait(&scripted(&[None, done]), &handles(), None, PACE).await.unwrap_err();
        assert!(matches!(never, Error::Manager { .. }), "{never}");
    }

    #[tokio::test]
    async fn a_timeout_holds_while_the_manager_is_silent() {
        let launcher = scripted(&[Some(Status::Running)]);
        let limit = Some(Duration::from_millis(50));
        let handles = handles();
        let waited = wait(&launcher, &handles, limit, PACE);
        let error = tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap();
        assert!(matches!(error, Err(Error::CollectTimeout { .. })), "{error:?}");
    }
}
