//! What is known of a request's items, and what the request comes to.

use std::collections::BTreeMap;

use hearth_api::{CallError, ErrorKind, FinishReason, RequestId};
use tokio::time::Instant;

use super::mailbox::Mailbox;
use super::output::{ItemOutput, RequestEvent, RequestOutput};

/// The results of a request's items.
pub(super) struct Results {
    items: Vec<Option<Result<ItemOutput, CallError>>>,
    /// The first error.
    error: Option<CallError>,
}

impl Results {
    pub(super) fn new(items: u32) -> Self {
        Self { items: (0..items).map(|_| None).collect(), error: None }
    }

    /// Sets an item's result, and says so.
    pub(super) fn set(
        &mut self,
        index: u32,
        result: Result<ItemOutput, CallError>,
        mailbox: &Mailbox,
    ) {
        mailbox.push(match &result {
            Ok(output) => RequestEvent::Item(output.clone()),
            Err(error) => RequestEvent::ItemFailed { item: index, error: error.clone() },
        });
        if let Err(error) = &result {
            self.error.get_or_insert_with(|| error.clone());
        }
        self.items[index as usize] = Some(result);
    }

    /// The items that have no result yet fail with `error`.
    pub(super) fn fill(&mut self, error: &CallError, mailbox: &Mailbox) {
        for index in 0..self.items.len() {
            if self.items[index].is_none() {
                // `limits::IMAGES` fits.
                let item = u32::try_from(index).unwrap_or(u32::MAX);
                self.set(item, Err(error.clone()), mailbox);
            }
        }
    }

    /// What came of the request.
    pub(super) fn output(self, id: &RequestId, seed: u64, started: Instant) -> RequestOutput {
        let missing = || Err(CallError::new(ErrorKind::Internal, "the item has no result"));
        let items: Vec<_> =
            self.items.into_iter().map(|item| item.unwrap_or_else(missing)).collect();
        let mut timings: BTreeMap<String, f64> = BTreeMap::new();
        let mut warnings = Vec::new();
        for item in items.iter().flatten() {
            for (phase, &ms) in &item.timings {
                let longest = timings.entry(phase.clone()).or_default();
                *longest = longest.max(ms);
            }
            for warning in &item.warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
        timings.insert("total".to_owned(), started.elapsed().as_secs_f64() * 1e3);
        let finish_reason = match self.error.as_ref().map(|error| error.kind) {
            None => FinishReason::Done,
            Some(ErrorKind::Cancelled) => FinishReason::Cancelled,
            Some(ErrorKind::DeadlineExceeded) => FinishReason::Deadline,
            Some(_) => FinishReason::Error,
        };
        let (id, error) = (id.clone(), self.error);
        RequestOutput { id, seed, items, timings, warnings, finish_reason, error }
    }
}
