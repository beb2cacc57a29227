//! What compute is asked for besides items, in the order in which it was asked.

use std::collections::VecDeque;

use hearth_api::{CallError, ErrorKind};

/// Most orders that wait for their time.
const ORDERS: usize = 16;

/// An order's number in this run of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OrderId(pub(crate) u64);

/// Something to be done between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Drop a model, once no item needs it.
    Unload { model: String },
    /// Drop all models, once no item is left.
    Sleep { level: u8 },
    /// Run a graph of a model.
    Infer { model: String },
    /// Profile a model, once no item needs it.
    Profile { model: String },
}

/// The orders that wait.
#[derive(Default)]
pub(super) struct Orders {
    waiting: VecDeque<(OrderId, Order)>,
    next_id: u64,
}

/// Memory that was given back, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FreedMemory {
    /// Of the process.
    pub(crate) resident: u64,
    /// Weights that were in the device's own memory.
    pub(crate) device: u64,
}

impl Orders {
    /// A number for one more order.
    ///
    /// # Errors
    /// `queue_full`.
    pub(super) fn number(&mut self) -> Result<OrderId, CallError> {
        if self.waiting.len() >= ORDERS {
            let message = format!("{ORDERS} such calls wait, the most at once: try again later");
            return Err(CallError::new(ErrorKind::QueueFull, message));
        }
        let id = OrderId(self.next_id);
        self.next_id += 1;
        Ok(id)
    }

    pub(super) fn push(&mut self, id: OrderId, order: Order) {
        self.waiting.push_back((id, order));
    }

    /// Puts orders that have waited for a model before all others.
    pub(super) fn push_front(&mut self, orders: impl DoubleEndedIterator<Item = (OrderId, Order)>) {
        orders.rev().for_each(|order| self.waiting.push_front(order));
    }

    /// Takes the oldest that `is_due`.
    pub(super) fn take(&mut self, is_due: impl Fn(&Order) -> bool) -> Option<(OrderId, Order)> {
        let position = self.waiting.iter().position(|(_, order)| is_due(order))?;
        self.waiting.remove(position)
    }

    /// Takes all of a kind.
    pub(super) fn take_all(&mut self, of: impl Fn(&Order) -> bool) -> Vec<(OrderId, Order)> {
        let (taken, left): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, order)| of(order));
        self.waiting = left;
        taken.into()
    }

    pub(super) fn remove(&mut self, id: OrderId) -> Option<Order> {
        let position = self.waiting.iter().position(|(other, _)| *other == id)?;
        self.waiting.remove(position).map(|(_, order)| order)
    }

    pub(super) fn get(&self, id: OrderId) -> Option<&Order> {
        self.waiting.iter().find(|(other, _)| *other == id).map(|(_, order)| order)
    }
}
