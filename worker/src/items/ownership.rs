//! Whose an item is: who has asked for it, or has taken it up, may cancel it.

use hearth_api::{CallError, RequestId};

use super::item::{Item, ItemId};
use super::refusals::not_yours;
use super::table::Items;

/// Most callers of an item that are remembered. One that comes later can attach and listen, and has an
/// administrator cancel.
const MOST_CALLERS: usize = 16;

impl Items {
    /// Remembers who has asked for an item, by the id in their certificate.
    pub(crate) fn note_caller(&mut self, id: ItemId, caller: &str) {
        if let Some(item) = self.item_mut(id)
            && item.callers.len() < MOST_CALLERS
        {
            item.callers.insert(caller.to_owned());
        }
    }

    /// Whether an item has this caller alone.
    pub(crate) fn has_one_caller(&self, id: ItemId) -> bool {
        self.item(id).is_some_and(|item| item.subscribers <= 1)
    }

    /// A request's items that `caller` may cancel; all of them for an administrator (`None`).
    ///
    /// # Errors
    /// `permission_denied` where it has items that go on, and none of them is the caller's.
    pub(crate) fn cancellable(
        &self,
        request: &RequestId,
        caller: Option<&str>,
    ) -> Result<Vec<ItemId>, CallError> {
        let is_own = |item: &Item| caller.is_none_or(|caller| item.callers.contains(caller));
        let of_request = || self.ids_of(request).filter_map(|(_, id)| Some((id, self.item(id)?)));
        let own: Vec<_> = of_request().filter(|(_, item)| is_own(item)).map(|(id, _)| id).collect();
        if own.is_empty() && of_request().any(|(_, item)| item.ended_at.is_none()) {
            return Err(not_yours(request));
        }
        Ok(own)
    }
}
