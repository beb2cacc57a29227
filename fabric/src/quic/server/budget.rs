//! What each caller may take up of a worker, by the identity in its certificate, and what all may
//! together: connections, greetings under way, open calls, memory for requests. A part of the whole is
//! kept for administrators, who must get in while others crowd.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hearth_protocol::role::Role;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::identity::SpiffeId;
use crate::quic::memory::{Memory, Pool};

/// The bounds. One identity may be many processes: commands of one person, replicas of one program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections that a worker holds at once.
    pub(super) connections: usize,
    /// Of those, how many are for administrators alone.
    pub(super) reserve: usize,
    /// Connections of one identity.
    pub(super) own_connections: usize,
    /// Connections of one identity that have shown their certificate and not yet greeted.
    pub(super) own_greetings: usize,
    /// Calls of one identity that are open, over all its connections.
    pub(super) own_calls: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 512,
            reserve: 64,
            own_connections: 256,
            own_greetings: 64,
            own_calls: 2048,
        }
    }
}

/// The budgets of an endpoint.
pub(super) struct Budgets {
    bounds: Bounds,
    patience: Duration,
    own: Mutex<HashMap<SpiffeId, Weak<Budget>>>,
    connections: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    memory: Pool,
    reserved_memory: Pool,
}

/// What one identity has left.
pub(super) struct Budget {
    connections: Arc<Semaphore>,
    greetings: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    memory: Memory,
}

/// A connection's permits: of those of its identity, and of all.
pub(super) struct ConnectionPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Budgets {
    /// `patience` is how long a request waits for memory.
    pub(super) fn new(bounds: Bounds, patience: Duration) -> Self {
        Self {
            bounds,
            patience,
            own: Mutex::default(),
            connections: places(bounds.connections - bounds.reserve),
            reserve: places(bounds.reserve),
            memory: Pool::for_all(),
            reserved_memory: Pool::for_one(),
        }
    }

    /// The budget that all connections of an identity share.
    pub(super) fn of(&self, id: &SpiffeId) -> Arc<Budget> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = own.get(id).and_then(Weak::upgrade) {
            return budget;
        }
        // As many remain as there are connections and handshakes.
        own.retain(|_, budget| budget.strong_count() > 0);
        let all = match id.role() {
            Role::Admin => &self.reserved_memory,
            Role::Worker | Role::Coordinator => &self.memory,
        };
        let budget = Arc::new(Budget {
            connections: places(self.bounds.own_connections),
            greetings: places(self.bounds.own_greetings),
            calls: places(self.bounds.own_calls),
            memory: Memory::new(Pool::for_one(), all.clone(), self.patience),
        });
        own.insert(id.clone(), Arc::downgrade(&budget));
        budget
    }

    /// A place for one more connection of an identity.
    ///
    /// # Errors
    /// Which bound is reached.
    pub(super) fn connection(
        &self,
        id: &SpiffeId,
        budget: &Budget,
    ) -> Result<ConnectionPermit, String> {
        let Bounds { connections, own_connections, .. } = self.bounds;
        let own = take(&budget.connections).ok_or_else(|| {
            format!("{own_connections} connections of {id} are open: close some, or share one")
        })?;
        let reserve = || (id.role() == Role::Admin).then(|| take(&self.reserve)).flatten();
        let all = take(&self.connections).or_else(reserve).ok_or_else(|| {
            format!("{connections} connections are open, or reserved for administrators")
        })?;
        Ok(ConnectionPermit { _own: own, _all: all })
    }
}

impl Budget {
    /// A place for one more greeting.
    ///
    /// # Errors
    /// The bound is reached.
    pub(super) fn greeting(&self) -> Result<OwnedSemaphorePermit, String> {
        let full = "too many connections of this identity have not greeted yet";
        take(&self.greetings).ok_or_else(|| full.to_owned())
    }

    /// A place for one more call.
    ///
    /// # Errors
    /// The bound is reached.
    pub(super) fn call(&self) -> Result<OwnedSemaphorePermit, String> {
        let full = "this identity has as many calls open as one may: wait for some to end";
        take(&self.calls).ok_or_else(|| full.to_owned())
    }

    /// The memory of its requests.
    pub(super) fn memory(&self) -> Memory {
        self.memory.clone()
    }
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count))
}

fn take(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_leaves_room_and_administrators_have_a_reserve() {
        let bounds = Bounds {
            connections: 10,
            reserve: 2,
            own_connections: 4,
            own_greetings: 1,
            own_calls: 1,
        };
        let budgets = Budgets::new(bounds, Duration::ZERO);
        let id = |role, name| SpiffeId::new("c", role, name).unwrap();
        let (one, two) = (id(Role::Coordinator, "one"), id(Role::Coordinator, "two"));
        let (three, admin) = (id(Role::Coordinator, "three"), id(Role::Admin, "one"));
        let mut held = Vec::new();
        let mut connect = |id: &SpiffeId| match budgets.connection(id, &budgets.of(id)) {
            Ok(place) => {
                held.push((budgets.of(id), place));
                Ok(())
            }
            Err(error) => Err(error),
        };
        for _ in 0..4 {
            connect(&one).unwrap();
            connect(&two).unwrap();
        }
        assert!(
            connect(&one)
                .unwrap_err()
                .contains("4 connections of spiffe://c/hearth/coordinator/one")
        );
        assert!(connect(&three).unwrap_err().contains("10 connections"));
        connect(&admin).unwrap();
        connect(&admin).unwrap();
        assert!(connect(&admin).is_err());
        held.remove(0);
        assert_eq!(budgets.own.lock().unwrap().len(), 3, "of those that are gone nothing is kept");
        assert!(budgets.connection(&three, &budgets.of(&three)).is_ok(), "one has left");

        let budget = budgets.of(&three);
        let place = budget.call().unwrap();
        assert!(budgets.of(&three).call().is_err(), "a budget is the identity's");
        drop(place);
        assert!(budget.call().is_ok() && budget.greeting().is_ok());
    }
}
