//! A name that an engine holds in the registry for as long as it lives, so that workers which
//! belong to it can tell when it is gone.

use hearth_api::OwnerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::announcement::WITHDRAWAL;
use hearth_base::task::OwnedTask;

/// Whether an owner's name is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// The registry has not answered yet, or doesn't answer at the moment.
    Unknown,
    /// Somebody holds it.
    Held,
    /// Nobody does.
    Free,
}

/// Keeps an owner's name. Dropping it gives nothing back, as a crash would: the name is just no
/// longer kept.
#[derive(Debug)]
pub struct OwnerClaim {
    held: watch::Receiver<bool>,
    withdraw: CancellationToken,
    task: OwnedTask,
}

/// What the background task of a claim works with.
pub(super) struct Holder {
    pub(super) owner: OwnerId,
    /// Whether the name is held, as far as is known.
    pub(super) held: watch::Sender<bool>,
    /// Asks for the withdrawal.
    pub(super) withdraw: CancellationToken,
}

impl OwnerClaim {
    pub(super) fn spawn<F>(owner: &OwnerId, keeper: impl FnOnce(Holder) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, held) = watch::channel(false);
        let withdraw = CancellationToken::new();
        let holder = Holder { owner: owner.clone(), held: sender, withdraw: withdraw.clone() };
        let future = keeper(holder);
        let task = OwnedTask::spawn("registry owner", |_| future);
        Self { held, withdraw, task }
    }

    /// Waits until the name is held for the first time.
    pub async fn held(&self) {
        if self.held.clone().wait_for(|held| *held).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives the name back, and waits until that is done, at most three seconds.
    pub async fn withdraw(mut self) {
        self.withdraw.cancel();
        if tokio::time::timeout(WITHDRAWAL, self.task.join()).await.is_err() {
            tracing::warn!("the owner's name could not be given back in time: it will expire");
        }
    }
}

/// Follows whether an owner's name is held until it is dropped.
#[derive(Debug)]
pub struct OwnerWatch {
    state: watch::Receiver<OwnerState>,
    _task: OwnedTask,
}

impl OwnerWatch {
    pub(super) fn spawn<F>(
        watcher: impl FnOnce(watch::Sender<OwnerState>, CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, state) = watch::channel(OwnerState::Unknown);
        let task = OwnedTask::spawn("registry owner watch", |cancel| watcher(sender, cancel));
        Self { state, _task: task }
    }

    /// The state, and its changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<OwnerState> {
        self.state.clone()
    }
}

/// Sets the state if it differs.
pub(super) fn tell(sender: &watch::Sender<OwnerState>, state: OwnerState) {
    sender.send_if_modified(|known| {
        let differs = *known != state;
        *known = state;
        differs
    });
}
