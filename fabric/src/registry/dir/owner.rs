//! Owners in a `dir` registry: whoever locks `owners/<name>.lock` holds the name.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::OwnerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::layout::{Layout, answered};
use crate::registry::OwnerState;
use crate::registry::lock::{self, Lock};
use crate::registry::owner::{Holder, tell};
use hearth_base::files;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Holds an owner's name until it is withdrawn; takes it again where somebody removed the file.
pub(super) async fn keep(layout: Arc<Layout>, holder: Holder) {
    let path = layout.owner(&holder.owner);
    let mut lock: Option<Lock> = None;
    loop {
        let (last, folder, at) = (lock.take(), layout.owners(), path.clone());
        let taken = tokio::select! {
            biased;
            () = holder.withdraw.cancelled() => return,
            taken = files::run_blocking(move || take(last, &folder, &at)) => taken.unwrap_or_else(Err),
        };
        lock = taken.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the owner's name is not held");
            None
        });
        holder.held.send_if_modified(|held| {
            let differs = *held != lock.is_some();
            *held = lock.is_some();
            differs
        });
        tokio::select! {
            biased;
            () = holder.withdraw.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// The lock we have if it is still on the file at this path, else a new one.
fn take(last: Option<Lock>, folder: &Path, path: &Path) -> io::Result<Option<Lock>> {
    if let Some(lock) = last.filter(|lock| lock.is_at(path)) {
        return Ok(Some(lock));
    }
    files::private_folder(folder)?;
    Lock::try_take(path)
}

/// Looks at an owner's lock until it is cancelled.
pub(super) async fn follow(
    layout: Arc<Layout>,
    owner: OwnerId,
    state: watch::Sender<OwnerState>,
    cancel: CancellationToken,
) {
    let path = layout.owner(&owner);
    loop {
        let at = path.clone();
        let looking = files::run_blocking(move || lock::is_held(&at));
        let held = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            held = answered(looking, || tell(&state, OwnerState::Unknown)) => held,
        };
        let now = match held {
            Ok(Ok(true)) => OwnerState::Held,
            Ok(Ok(false)) => OwnerState::Free,
            Ok(Err(_)) | Err(_) => OwnerState::Unknown,
        };
        tell(&state, now);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}
