//! The state behind the view: the members, and how events change them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use hearth_api::{Rank, WorkerId};

use super::input::{Condition, Description, Introduction, Key, Listing, Target};
use super::member::{Link, Member, Ownership, addresses};
use super::view::{EndpointView, FleetView, WorkerView};

/// The workers of one registry.
#[derive(Debug)]
pub struct Fleet {
    registry: String,
    /// The workers that count; all if `None`.
    only: Option<BTreeSet<WorkerId>>,
    synced: bool,
    stale_since: Option<Instant>,
    error: Option<String>,
    unreachable: bool,
    members: BTreeMap<Key, Member>,
}

impl Fleet {
    /// An empty fleet. `only` names the workers that count; all if `None`.
    #[must_use]
    pub fn new(registry: String, only: Option<Vec<WorkerId>>) -> Self {
        Self {
            registry,
            only: only.map(BTreeSet::from_iter),
            synced: false,
            stale_since: None,
            error: None,
            unreachable: false,
            members: BTreeMap::new(),
        }
    }

    /// The registry has news. A connected worker that it no longer lists stays: its record may have
    /// expired, which says nothing about the worker.
    pub fn listed(&mut self, listing: Listing<'_>) {
        let turned = self.stale_since.is_some() != listing.stale_since.is_some();
        self.synced = listing.synced;
        self.stale_since = listing.stale_since;
        self.error = listing.error.map(ToOwned::to_owned);
        self.unreachable = listing.unreachable;
        for (id, record) in listing.workers {
            if self.counts(id) {
                let member = self.members.entry(Key::Worker(id.clone())).or_default();
                let known = member.record.as_ref().is_some_and(|known| Arc::ptr_eq(known, record));
                if !known {
                    member.changed().record = Some(Arc::clone(record));
                }
            }
        }
        for &address in listing.endpoints {
            self.members.entry(Key::Endpoint(address)).or_default();
        }
        let stale = self.stale_since.is_some();
        let is_listed = |key: &Key| match key {
            Key::Worker(id) => listing.workers.contains_key(id),
            Key::Endpoint(address) => listing.endpoints.contains(address),
        };
        self.members.retain(|key, member| {
            let listed = is_listed(key);
            if turned || listed != member.listed {
                member.changed().listed = listed;
            }
            // A description that stood in for a record is older than the record.
            if member.description.is_some() && member.has_fresh_record(stale) {
                member.changed().description = None;
            }
            member.stays()
        });
    }

    /// Whether a worker of this name is one of those asked for.
    fn counts(&self, id: &WorkerId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(id))
    }

    /// The process of a worker that this executor owns was started or has ended.
    pub fn owned(&mut self, id: &WorkerId, rank: Option<Rank>, condition: Condition) {
        let member = self.members.entry(Key::Worker(id.clone())).or_default().changed();
        let last_exit = match &condition {
            Condition::Started => member.owned.take().and_then(|owned| owned.last_exit),
            Condition::Down { reason } | Condition::Failed { reason } => Some(reason.clone()),
        };
        member.owned = Some(Ownership { rank, condition, last_exit });
    }

    /// A connection was made. `description` may be `None` if the record of that run says everything.
    ///
    /// # Errors
    /// Why the connection is of no use: it leads to another worker than it should, to one that does
    /// not count, or to one that is connected already.
    pub fn connected(
        &mut self,
        key: &Key,
        introduction: Introduction,
        description: Option<Description>,
    ) -> Result<(), String> {
        let found = &introduction.worker;
        if let Key::Worker(wanted) = key
            && wanted != found
        {
            return Err(format!("worker {found} answers in its place"));
        }
        if !self.counts(found) {
            return Err(format!("worker {found} is not among those asked for"));
        }
        let is_twin = |(other, member): (&Key, &Member)| {
            other != key && matches!(member.link, Link::Up) && member.is(found)
        };
        if self.members.iter().any(is_twin) {
            return Err(format!("worker {found} is connected already, under another address"));
        }
        let Some(member) = self.members.get_mut(key) else {
            return Err("it left the registry".to_owned());
        };
        let member = member.changed();
        member.link = Link::Up;
        if let Some(load) = introduction.load {
            member.backlog.note(load.items(), member.in_flight.get(), introduction.at);
        }
        member.introduction = Some(introduction);
        member.description = description;
        Ok(())
    }

    /// A connected worker was asked.
    pub fn described(&mut self, key: &Key, description: Description) {
        if let Some(member) = self.members.get_mut(key)
            && matches!(member.link, Link::Up)
        {
            member.changed().description = Some(description);
        }
    }

    /// A connection could not be made.
    pub fn failed(&mut self, key: &Key, error: String) {
        let Some(member) = self.members.get_mut(key) else { return };
        match &mut member.changed().link {
            Link::Lost { reason } => *reason = error,
            link => *link = Link::Connecting { error: Some(error) },
        }
    }

    /// A connection has ended. A worker that the registry no longer lists is removed with it.
    pub fn lost(&mut self, key: &Key, reason: String) {
        let Some(member) = self.members.get_mut(key) else { return };
        member.changed().link = Link::Lost { reason };
        if !member.stays() {
            self.members.remove(key);
        }
    }

    /// The connections that there should be.
    pub fn targets(&self) -> impl Iterator<Item = (&Key, Target)> {
        let stale = self.stale_since.is_some();
        self.members.iter().map(move |(key, member)| {
            let record = member.record.as_deref();
            let target = Target {
                addresses: addresses(key, record),
                fingerprint: record.map(|r| r.certificate.clone()).filter(|f| !f.is_empty()),
                incarnation: record.map(|r| r.incarnation),
                listed: member.listed,
                stale: stale || !member.listed,
            };
            (key, target)
        })
    }

    /// The fleet at this instant.
    #[must_use]
    pub fn view(&self) -> FleetView {
        let stale = self.stale_since.is_some();
        let mut workers: BTreeMap<&WorkerId, &Arc<WorkerView>> = BTreeMap::new();
        let mut endpoints = Vec::new();
        for (key, member) in &self.members {
            match (member.seen(key, stale), key) {
                (Some(worker), _) => {
                    // Of two addresses of one worker the connected one counts.
                    let place = workers.entry(&worker.id).or_insert(worker);
                    if worker.status.is_connected() {
                        *place = worker;
                    }
                }
                (None, Key::Endpoint(address)) => {
                    let status = member.status(stale);
                    endpoints.push(EndpointView { address: *address, status });
                }
                (None, Key::Worker(_)) => {}
            }
        }
        let mut workers: Vec<_> = workers.into_values().map(Arc::clone).collect();
        workers.sort_by_key(|worker| worker.rank.map_or(u64::MAX, |rank| u64::from(rank.0)));
        FleetView {
            registry: self.registry.clone(),
            synced: self.synced,
            stale_since: self.stale_since,
            error: self.error.clone(),
            unreachable: self.unreachable,
            workers,
            endpoints,
        }
    }
}
