//! Owners in a `dir` registry: whoever locks `owners/<name>.lock` holds the name.

use std::sync::Arc;
use std::time::Duration;

use hearth_protocol::OwnerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Layout;
use crate::files;
use crate::registry::OwnerState;
use crate::registry::lock::{self, Lock};
use crate::registry::owner::{Holder, tell};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Holds an owner's name until it is withdrawn; takes it again where somebody removed the file.
pub(super) async fn keep(layout: Arc<Layout>, holder: Holder) {
    let path = layout.owner(&holder.owner);
    let mut lock: Option<Lock> = None;
    loop {
        if lock.as_ref().is_none_or(|lock| !lock.is_at(&path)) {
            let made = files::private_folder(&layout.owners());
            lock = match made.and_then(|()| Lock::try_take(&path)) {
                Ok(lock) => lock,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the owner's name is not held");
                    None
                }
            };
            holder.held.send_replace(lock.is_some());
        }
        tokio::select! {
            biased;
            () = holder.withdraw.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
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
        tell(
            &state,
            match lock::is_held(&path) {
                Ok(true) => OwnerState::Held,
                Ok(false) => OwnerState::Free,
                Err(_) => OwnerState::Unknown,
            },
        );
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}
