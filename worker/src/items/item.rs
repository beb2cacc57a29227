//! One item: what it is called, what the table has to know of it, where its time went.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hearth_api::{ErrorKind, RequestId};
use hearth_protocol::methods::ItemIndex;

use super::view::ItemView;

/// An item's number in this run of the worker. It is never used again, so a late caller of an item
/// that was forgotten can't touch its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ItemId(pub(crate) u64);

/// What callers know an item by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ItemKey {
    pub(crate) request: RequestId,
    pub(crate) index: u32,
}

/// An item as a caller asks for it.
#[derive(Debug, Clone)]
pub(crate) struct ItemSpec {
    pub(crate) key: ItemKey,
    pub(crate) item: ItemIndex,
    /// Of the request's content: the same id with another digest is a conflict.
    pub(crate) digest: String,
    /// Of the request; the item's own is this plus its index.
    pub(crate) seed: u64,
    pub(crate) model: String,
    /// Time that is left for it.
    pub(crate) deadline: Option<Duration>,
    /// Steps from one preview to the next.
    pub(crate) preview_every: Option<u32>,
    /// Most items that may run before it; none for as many as the queue holds.
    pub(crate) max_position: Option<u32>,
    /// Workers were lost to its request, so that nothing is computed with it.
    pub(crate) is_suspect: bool,
    /// How long its call had been here before it became an item: checked and prepared.
    pub(crate) preparation: Duration,
}

/// Where an item's time went before it computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// From its call's arrival until its turn came.
    pub(crate) queue: Duration,
    pub(crate) model_load: Duration,
    /// Since when it has waited for its model, while it does.
    pub(crate) loading_since: Option<Instant>,
    /// When it was first computed.
    pub(crate) started_at: Option<Instant>,
}

/// An item in the table.
pub(super) struct Item {
    pub(super) spec: ItemSpec,
    pub(super) view: ItemView,
    pub(super) times: Times,
    pub(super) subscribers: u32,
    /// Who has asked for it, by the id in their certificate.
    pub(super) callers: BTreeSet<String>,
    pub(super) orphaned_at: Option<Instant>,
    pub(super) accepted_at: Instant,
    pub(super) deadline: Option<Instant>,
    /// Why it is being stopped.
    pub(super) stopping: Option<ErrorKind>,
    pub(super) ended_at: Option<Instant>,
    pub(super) kept_bytes: usize,
}
