//! The replicas of an engine: launched together, started again one by one, polled together, and
//! cancelled on every way out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use hearth_base::causes;
use hearth_base::task::OwnedTask;
use hearth_fabric::registry::OwnerClaim;
use hearth_launchers::{Handle, Launcher, LogOptions, Replica, StateDir, Status};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::owned::{Exit, LastLines, Origin, Run, UNUSABLE};
use super::spec::Plan;
use crate::executors::Error;

/// Between two questions to the launcher, about all replicas at once.
const POLL: Duration = Duration::from_millis(500);

/// How long the last lines of a replica's log are waited for, and how many.
const LOG_LIMIT: Duration = Duration::from_secs(3);
const LOG_LINES: usize = 40;

/// How often replicas are cancelled in the end, and the pause in between: an engine below that is
/// busy or away for a moment may do it then.
const CANCELS: u32 = 3;
const CANCEL_AGAIN: Duration = Duration::from_secs(1);

/// How long a guard that is dropped outside of async code waits for its replicas to end.
const GUARD_LIMIT: Duration = Duration::from_secs(15);

/// What is known of each replica.
type ReplicaStates = BTreeMap<Handle, Replica>;

/// The replicas, and the launcher that has them.
pub(super) struct Replicas {
    launcher: Arc<dyn Launcher>,
    plan: Plan,
    /// What the launcher keeps of its launches.
    kept: StateDir,
    state: Arc<State>,
    /// The engine's name, which is held for as long as they may run.
    claim: Mutex<Option<OwnerClaim>>,
    _poller: OwnedTask,
}

struct State {
    /// Those that may run: all of them are cancelled in the end.
    live: Mutex<BTreeSet<Handle>>,
    /// Launched, and not yet asked for by their keeper; by rank.
    waiting: Mutex<BTreeMap<u32, Handle>>,
    /// The last one of each rank that has ended: kept until another has taken its place.
    ended: Mutex<BTreeMap<u32, Handle>>,
    known: watch::Sender<ReplicaStates>,
}

impl State {
    fn live(&self) -> MutexGuard<'_, BTreeSet<Handle>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u32, Handle>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, BTreeMap<u32, Handle>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replicas {
    pub(super) fn new(
        launcher: Arc<dyn Launcher>,
        plan: Plan,
        kept: StateDir,
        claim: OwnerClaim,
    ) -> Self {
        let state = Arc::new(State {
            live: Mutex::default(),
            waiting: Mutex::default(),
            ended: Mutex::default(),
            known: watch::Sender::default(),
        });
        let poller = OwnedTask::spawn("replicas", |cancel| {
            poll(Arc::clone(&launcher), Arc::clone(&state), cancel)
        });
        Self { launcher, plan, kept, state, claim: Mutex::new(Some(claim)), _poller: poller }
    }

    /// Launches them all.
    ///
    /// # Errors
    /// The launcher's; none is left then.
    pub(super) async fn launch_all(&self) -> Result<(), Error> {
        let handles = self.launcher.launch(&self.plan.all()?).await?;
        self.state.live().extend(handles.iter().cloned());
        *self.state.waiting() = handles.into_iter().map(|handle| (handle.rank, handle)).collect();
        Ok(())
    }

    async fn cancel_all(&self) -> Result<(), String> {
        let mut cancels = 0;
        loop {
            let live: Vec<Handle> = self.state.live().iter().cloned().collect();
            if live.is_empty() {
                return Ok(());
            }
            cancels += 1;
            match self.launcher.cancel(&live).await {
                Ok(()) => self.state.live().clear(),
                Err(error) => {
                    let error = causes::in_one_line(&error);
                    tracing::error!(replicas = live.len(), error, "replicas can't be cancelled");
                    if cancels == CANCELS {
                        let replicas: Vec<_> = live.iter().map(ToString::to_string).collect();
                        return Err(format!("{} may still run: {error}", replicas.join(", ")));
                    }
                    tokio::time::sleep(CANCEL_AGAIN).await;
                }
            }
        }
    }

    async fn launch_one(&self, rank: u32) -> Result<Handle, Error> {
        let handles = self.launcher.launch(&self.plan.one(rank)?).await?;
        self.state.live().extend(handles.iter().cloned());
        let handle = handles.into_iter().next().ok_or(Error::NoHandle)?;
        self.forget_ended(rank);
        Ok(handle)
    }

    /// Removes what is kept of the launch whose replica has been replaced, unless others of it live:
    /// an engine that lives for long keeps no more than its replicas of now.
    fn forget_ended(&self, rank: u32) {
        let Some(handle) = self.state.ended().remove(&rank) else { return };
        let of_it = |other: &Handle| other.launch == handle.launch;
        if self.state.live().iter().any(of_it) || self.state.ended().values().any(of_it) {
            return;
        }
        if let Err(error) = self.kept.remove(&handle.launch) {
            tracing::warn!(%handle, error = causes::in_one_line(&error), "what is kept of it stays");
        }
    }
}

#[async_trait]
impl Origin for Replicas {
    async fn start(&self, rank: u32) -> Result<Box<dyn Run>, Exit> {
        let waiting = self.state.waiting().remove(&rank);
        let handle = match waiting {
            Some(handle) => handle,
            None => self.launch_one(rank).await.map_err(|error| Exit {
                reason: format!("can't be launched: {}", causes::in_one_line(&error)),
                lasting: is_lasting(&error),
            })?,
        };
        tracing::info!(%handle, "launched");
        let (launcher, state) = (Arc::clone(&self.launcher), Arc::clone(&self.state));
        Ok(Box::new(Life { rank, handle, launcher, known: state.known.subscribe(), state }))
    }

    /// Cancels them with one call: a launcher knows how to end many, and where they are all of a
    /// launch, what ran them goes as well.
    async fn stop(&self) -> Result<(), String> {
        let ended = self.cancel_all().await;
        // After them, and before the folder goes where a private registry is: whoever holds a name
        // makes anew what is missing of it.
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(claim) = claim {
            claim.withdraw().await;
        }
        ended
    }
}

/// Whether another launch in place of one that has ended must fail as well. A manager that is not
/// there was there before, so it is being started again.
fn is_lasting(error: &Error) -> bool {
    let Error::Launch(error) = error else { return false };
    !matches!(error, hearth_launchers::Error::ManagerAbsent { .. }) && error.is_configuration()
}

/// One replica's life.
struct Life {
    /// The rank that it has among the engine's workers.
    rank: u32,
    handle: Handle,
    launcher: Arc<dyn Launcher>,
    state: Arc<State>,
    known: watch::Receiver<ReplicaStates>,
}

#[async_trait]
impl Run for Life {
    async fn ended(&mut self) -> Exit {
        let handle = &self.handle;
        let ended = |known: &ReplicaStates| known.get(handle).is_some_and(|r| r.status.is_final());
        let known = self.known.wait_for(ended).await;
        let replica = known.ok().and_then(|known| known.get(handle).cloned());
        // In this order: what is in neither is forgotten, its log with it.
        self.state.ended().insert(self.rank, handle.clone());
        self.state.live().remove(handle);
        let words = self.last_words().await;
        match replica {
            Some(replica) => exit(&replica, &words),
            None => Exit { reason: "has ended".to_owned(), lasting: false },
        }
    }

    /// It is cancelled together with the others.
    async fn stop(self: Box<Self>) {}
}

impl Life {
    /// What it said last.
    async fn last_words(&self) -> String {
        let read = async {
            let options = LogOptions { tail: Some(LOG_LINES), follow: false };
            let mut lines = self.launcher.logs(&self.handle, options).await.ok()?;
            let last = LastLines::default();
            while let Some(Ok(line)) = lines.next().await {
                last.add(line);
            }
            Some(last.reason())
        };
        tokio::time::timeout(LOG_LIMIT, read).await.ok().flatten().unwrap_or_default()
    }
}

fn exit(replica: &Replica, last_words: &str) -> Exit {
    let how = match (replica.status, replica.exit_code, &replica.error) {
        (Status::Cancelled, ..) => "was cancelled".to_owned(),
        (_, Some(code), _) => format!("ended with status {code}"),
        (_, None, Some(error)) => format!("failed: {error}"),
        (status, None, None) => format!("has {status}"),
    };
    let reason = match last_words.is_empty() {
        true => how,
        false => format!("{how} ({last_words})"),
    };
    Exit { reason, lasting: replica.exit_code == Some(UNUSABLE) }
}

/// Asks the launcher about all live replicas, now and then.
async fn poll(launcher: Arc<dyn Launcher>, state: Arc<State>, cancel: CancellationToken) {
    let mut last_error = String::new();
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
        }
        let handles: Vec<Handle> = state.live().iter().cloned().collect();
        if handles.is_empty() {
            continue;
        }
        match launcher.poll(&handles).await {
            Ok(replicas) => {
                last_error.clear();
                let known: ReplicaStates = handles.into_iter().zip(replicas).collect();
                state.known.send_if_modified(|seen| {
                    let differs = *seen != known;
                    *seen = known;
                    differs
                });
            }
            Err(error) => {
                // Said once: a manager may be away for long, and replicas go on meanwhile.
                let error = causes::in_one_line(&error);
                if error != last_error {
                    tracing::warn!(error, "the launcher does not say how replicas are");
                    last_error = error;
                }
            }
        }
    }
}

/// Cancels what is left of the replicas when it is dropped, however that comes about.
pub(super) struct Guard(Arc<Replicas>);

impl Guard {
    pub(super) fn new(replicas: Arc<Replicas>) -> Self {
        Self(replicas)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let left: Vec<Handle> = std::mem::take(&mut *self.0.state.live()).into_iter().collect();
        if left.is_empty() {
            return;
        }
        tracing::warn!(
            replicas = left.len(),
            "the executor was not closed: its replicas are ended"
        );
        // All of it: the folder that the launcher reads goes with the last who needs it.
        let replicas = Arc::clone(&self.0);
        let cancel = move || {
            let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = built.map(|runtime| {
                let cancelled = async {
                    tokio::time::timeout(GUARD_LIMIT, replicas.launcher.cancel(&left)).await
                };
                runtime.block_on(cancelled)
            });
            match ended {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => {
                    tracing::error!(%error, "replicas are left to their owner's grace");
                }
                _ => tracing::error!("replicas are left to their owner's grace"),
            }
        };
        // A drop in async code must not wait; a thread of its own sees to it, and where the process
        // ends before it is done, the replicas miss their owner.
        let thread = std::thread::Builder::new().name("replicas' end".to_owned()).spawn(cancel);
        let outside = tokio::runtime::Handle::try_current().is_err();
        if let (Ok(thread), true) = (thread, outside) {
            drop(thread.join());
        }
    }
}
