//! Keeps the registry's record of this worker true: its state, its models, its rank, its
//! certificate, its addresses.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hearth_base::causes;
use hearth_fabric::registry::{AnnounceStatus, Announcement, Error};
use hearth_protocol::record::WorkerState;

use crate::shared::Shared;

/// Follows the worker's state and the registration. Ends only when the registry refuses the worker
/// for good.
pub(crate) async fn keep(announcement: &Announcement, shared: &Shared) -> Arc<Error> {
    let mut status = announcement.status();
    let mut state = shared.inbox.announced();
    let mut identity = shared.identity.subscribe();
    let mut record = shared.inbox.record_changed();
    let mut endpoints = shared.endpoints.subscribe();
    loop {
        if let Some(refusal) = note(&status.borrow_and_update(), shared) {
            return refusal;
        }
        let now = *state.borrow_and_update();
        let certificate = identity.borrow_and_update().fingerprint();
        record.borrow_and_update();
        let addresses = endpoints.borrow_and_update().clone();
        let updated = announcement.update(|record| {
            record.state = now;
            record.percent = (now == WorkerState::Loading)
                .then(|| shared.inbox.look(|plan| plan.models().percent()));
            record.certificate = certificate;
            record.endpoints = addresses;
            record.suspects = shared.journal.suspects();
            record.models = shared.inbox.look(|plan| plan.models().records());
        });
        if let Err(error) = updated {
            tracing::error!(%error, "the registry's record can't be brought up to date");
        }
        tokio::select! {
            biased;
            changed = status.changed() => if changed.is_err() {
                return Arc::new(Error::Ended);
            },
            _ = state.changed() => {}
            _ = identity.changed() => {}
            _ = record.changed() => {}
            _ = endpoints.changed() => {}
        }
    }
}

/// Takes note of how the registration stands; gives a refusal back.
fn note(status: &AnnounceStatus, shared: &Shared) -> Option<Arc<Error>> {
    match status {
        AnnounceStatus::Registered { rank } => {
            *shared.pending() = None;
            shared.registered.store(true, Ordering::Relaxed);
            if shared.rank.send_replace(Some(*rank)) != Some(*rank) {
                tracing::info!(%rank, "registered");
            }
        }
        AnnounceStatus::Pending { reason } => {
            let reason = reason.as_deref().map(|error| causes::in_one_line(error));
            let mut known = shared.pending();
            // The same one comes again with each try.
            if let Some(error) = &reason
                && *known != reason
            {
                tracing::warn!(error, "not registered");
            }
            *known = reason;
            shared.registered.store(false, Ordering::Relaxed);
            // The rank stays: callers that are connected go on as before.
        }
        AnnounceStatus::Refused(error) => return Some(Arc::clone(error)),
        AnnounceStatus::Withdrawn => {}
    }
    None
}
