//! What the table knows of a request: its parts, listed or taken up again.

use std::time::Instant;

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::methods::{Part, RequestSummary};

use super::{Admitted, Entry, KEPT_FOR, Table, stopped};
use crate::parts::PartKey;

impl Table {
    /// The parts of a request, by index, each with a place for a caller.
    pub(in crate::parts) fn attach(
        &mut self,
        request: &RequestId,
        index: Option<u32>,
    ) -> Result<Vec<(PartKey, Part, Admitted)>, CallError> {
        let meant =
            |key: &PartKey| key.request == *request && index.is_none_or(|index| key.index == index);
        let mut parts: Vec<(&PartKey, &mut Entry)> =
            self.entries.iter_mut().filter(|(key, _)| meant(key)).collect();
        parts.sort_by_key(|(key, _)| key.index);
        if parts.is_empty() {
            let what = index.map(|index| format!("image {index} of ")).unwrap_or_default();
            let message = format!(
                "{what}request {request} is not here: hearth requests lists those that are, and results \
                 are kept for {} minutes",
                KEPT_FOR.as_secs() / 60
            );
            return Err(CallError::new(ErrorKind::UnknownRequest, message));
        }
        for (key, entry) in &parts {
            if let (None, Some(kind)) = (entry.ended_at, entry.stopping) {
                let why = stopped(kind);
                let message = format!("image {} is being stopped: {}", key.index, why.message);
                return Err(CallError { message, ..why });
            }
        }
        let take = |(key, entry): (&PartKey, &mut Entry)| {
            entry.subscribers += 1;
            entry.orphaned_at = None;
            let admitted = Admitted { view: entry.view.subscribe(), ticket: entry.ticket };
            (key.clone(), entry.args.part, admitted)
        };
        Ok(parts.into_iter().map(take).collect())
    }

    pub(in crate::parts) fn list(&self, now: Instant) -> Vec<RequestSummary> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| (entry.ended_at.is_some(), entry.accepted_at));
        let summary = |(key, entry): (&PartKey, &Entry)| {
            let view = entry.view.borrow();
            let age = now.saturating_duration_since(entry.accepted_at);
            RequestSummary {
                request_id: key.request.clone(),
                part: entry.args.part,
                model: entry.model.clone(),
                state: view.state,
                step: view.step,
                steps: view.steps,
                age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                seed: entry.args.request.seed.unwrap_or(0),
            }
        };
        entries.into_iter().map(summary).collect()
    }
}
