//! Callers' hold on what they asked for: an item, or an order.

use std::sync::Arc;
use std::time::Instant;

use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::methods::{GenerateArgs, ItemIndex};
use tokio::sync::{oneshot, watch};

use super::inbox::Inbox;
use super::order::{Reply, Sender};
use super::plan::{OrderId, OrderRequest};
use super::task::Preparation;
use crate::items::{ItemId, ItemSpec, ItemView};

/// A caller's hold on an item. Dropped, the item knows that the caller has gone.
pub(crate) struct Subscription {
    inbox: Arc<Inbox>,
    item: ItemId,
    pub(crate) view: watch::Receiver<ItemView>,
}

impl Subscription {
    /// Takes an item on, attaches to it where it is there already, or finds its kept result.
    pub(crate) fn admit(
        inbox: &Arc<Inbox>,
        spec: ItemSpec,
        args: GenerateArgs,
        prepared: Option<Arc<Preparation>>,
    ) -> Result<Self, CallError> {
        let (item, view) = inbox.admit(spec, Arc::new(args), prepared)?;
        Ok(Self { inbox: Arc::clone(inbox), item, view })
    }

    /// Takes up a request's items again that run, wait or are kept: that of `index`, or all.
    pub(crate) fn attach(
        inbox: &Arc<Inbox>,
        request: &RequestId,
        index: Option<u32>,
    ) -> Result<Vec<(ItemIndex, Self)>, CallError> {
        let held = |(index, (item, view))| (index, Self { inbox: Arc::clone(inbox), item, view });
        Ok(inbox.attach(request, index)?.into_iter().map(held).collect())
    }

    /// Remembers whose the item is: whoever has asked for it may cancel it.
    pub(crate) fn note_caller(&self, caller: &str) {
        self.inbox.change(|plan, _| plan.note_caller(self.item, caller));
    }

    /// Ends the item for `kind`, unless another caller waits for it too.
    pub(crate) fn give_up(&self, kind: ErrorKind) {
        self.inbox.change(|plan, now| plan.give_up(self.item, kind, now));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inbox.change(|plan, now: Instant| plan.leave(self.item, now));
    }
}

/// An order that was taken on. Dropped, what serves nobody else is not begun.
pub(crate) struct PendingOrder<T> {
    inbox: Arc<Inbox>,
    order: OrderId,
    outcome: oneshot::Receiver<Result<T, CallError>>,
}

impl<T> PendingOrder<T> {
    /// Orders something whose outcome comes as `reply` says. None where nothing is to be done.
    pub(crate) fn place(
        inbox: &Arc<Inbox>,
        request: OrderRequest,
        reply: impl FnOnce(Sender<T>) -> Reply,
    ) -> Result<Option<Self>, CallError> {
        let (sender, outcome) = oneshot::channel();
        let order = inbox.order(request, reply(sender))?;
        Ok(order.map(|order| Self { inbox: Arc::clone(inbox), order, outcome }))
    }

    /// Waits for the outcome.
    pub(crate) async fn outcome(mut self) -> Result<T, CallError> {
        let ended = "the worker ended first: ask another one";
        let ended = || CallError::new(ErrorKind::Draining, ended);
        (&mut self.outcome).await.unwrap_or_else(|_| Err(ended()))
    }
}

impl<T> Drop for PendingOrder<T> {
    fn drop(&mut self) {
        self.inbox.withdraw(self.order);
    }
}
