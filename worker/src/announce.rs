//! Keeps the registry's record of this worker true: its state, its models, its rank.

use std::sync::Arc;

use hearth_fabric::registry::{AnnounceStatus, Announcement, Error};
use tokio_util::sync::CancellationToken;

use crate::state::Shared;

/// Follows the worker's state and the registration until `cancel`; a final refusal is the error.
pub(crate) async fn keep(
    announcement: &Announcement,
    shared: &Shared,
    cancel: &CancellationToken,
) -> Result<(), Arc<Error>> {
    let mut status = announcement.status();
    let mut state = shared.state.subscribe();
    loop {
        note(&status.borrow_and_update().clone(), shared)?;
        let now = *state.borrow_and_update();
        let updated = announcement.update(|record| {
            record.state = now;
            record.models = shared.models.records();
        });
        if let Err(error) = updated {
            tracing::error!(%error, "the registry's record can't be brought up to date");
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            changed = status.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            _ = state.changed() => {}
        }
    }
}

fn note(status: &AnnounceStatus, shared: &Shared) -> Result<(), Arc<Error>> {
    match status {
        AnnounceStatus::Registered { rank } => {
            if shared.rank.send_replace(Some(*rank)) != Some(*rank) {
                tracing::info!(%rank, "registered");
            }
        }
        AnnounceStatus::Pending { reason } => {
            if let Some(reason) = reason {
                tracing::warn!(error = &**reason as &dyn std::error::Error, "not registered");
            }
            // The rank stays: callers that are connected go on as before.
        }
        AnnounceStatus::Refused(error) => return Err(Arc::clone(error)),
        AnnounceStatus::Withdrawn => {}
    }
    Ok(())
}
