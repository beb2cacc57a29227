//! A request's items found by its id: to be taken up again, or listed.

use std::time::Instant;

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::methods::RequestSummary;

use super::item::{Item, ItemId};
use super::refusals::stopped;
use super::table::{Items, KEPT_FOR};

impl Items {
    /// Takes up a request's items, by index, each with one more caller: that of `index`, or all.
    pub(crate) fn attach(
        &mut self,
        request: &RequestId,
        index: Option<u32>,
    ) -> Result<Vec<ItemId>, CallError> {
        let ids: Vec<ItemId> = self
            .ids_of(request)
            .filter(|(key, _)| index.is_none_or(|index| key.index == index))
            .map(|(_, id)| id)
            .collect();
        if ids.is_empty() {
            let what = index.map(|index| format!("image {index} of ")).unwrap_or_default();
            let message = format!(
                "{what}request {request} is not here: hearth requests lists those that are, and results \
                 are kept for {} minutes",
                KEPT_FOR.as_secs() / 60
            );
            return Err(CallError::new(ErrorKind::UnknownRequest, message));
        }
        for item in ids.iter().filter_map(|&id| self.item(id)) {
            if let (None, Some(kind)) = (item.ended_at, item.stopping) {
                let why = stopped(kind);
                let message =
                    format!("image {} is being stopped: {}", item.spec.key.index, why.message);
                return Err(CallError { message, ..why });
            }
        }
        ids.iter().for_each(|&id| self.subscribe(id));
        Ok(ids)
    }

    /// All items: those that wait or run, then those that ended.
    pub(crate) fn list(&self, now: Instant) -> Vec<RequestSummary> {
        let mut items: Vec<&Item> = self.all().collect();
        items.sort_by_key(|item| (item.ended_at.is_some(), item.accepted_at));
        let summary = |item: &Item| {
            let age = now.saturating_duration_since(item.accepted_at);
            RequestSummary {
                request_id: item.spec.key.request.clone(),
                item: item.spec.item,
                model: item.spec.model.clone(),
                state: item.view.state,
                step: item.view.step,
                steps: item.view.steps,
                age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                seed: item.spec.seed,
            }
        };
        items.into_iter().map(summary).collect()
    }
}
