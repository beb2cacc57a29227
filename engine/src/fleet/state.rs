//! The state behind the view: what the registry lists, and what each connection says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hearth_api::{Incarnation, Rank, WorkerId};
use hearth_protocol::record::{Capacity, ModelRecord, WorkerRecord, WorkerState};

use super::view::{EndpointView, FleetView, InFlight, WorkerStatus, WorkerView};

/// Whom a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The worker of a record.
    Worker(WorkerId),
    /// Whoever is at an address.
    Endpoint(SocketAddr),
}

/// What the registry says.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The records.
    pub workers: &'a BTreeMap<WorkerId, Arc<WorkerRecord>>,
    /// Addresses without a record.
    pub endpoints: &'a [SocketAddr],
    /// Whether a full list was had at least once.
    pub synced: bool,
    /// Since when the registry has not answered.
    pub stale_since: Option<Instant>,
    /// Why the listing is stale or empty.
    pub error: Option<&'a str>,
}

/// What a worker says of itself when a connection is made.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Its name.
    pub worker: WorkerId,
    /// Its rank, where it has one.
    pub rank: Option<Rank>,
    /// Its run.
    pub incarnation: Incarnation,
    /// Program and version.
    pub agent: String,
}

/// What a worker says of itself when it is asked, for want of a record that does.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its rank, where it has one.
    pub rank: Option<Rank>,
    /// What it does.
    pub state: WorkerState,
    /// What it serves.
    pub models: Vec<ModelRecord>,
    /// How much it takes on.
    pub capacity: Capacity,
    /// Start of its run, seconds since 1970 (UTC).
    pub started_at: u64,
}

/// What the connection of a key should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where the worker may be, best first.
    pub addresses: Vec<SocketAddr>,
    /// Its certificate's SHA-256, where that is known.
    pub fingerprint: Option<String>,
    /// The run that the registry knows.
    pub incarnation: Option<Incarnation>,
    /// Whether the registry still lists it; if not, a lost connection is not made again.
    pub listed: bool,
    /// Whether the registry has not answered lately.
    pub stale: bool,
}

/// How a worker's process does, told by the executor that owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It was started; whether it answers is the connection's to say.
    Started,
    /// It has ended, and is started again soon.
    Down {
        /// Why.
        reason: String,
    },
    /// It has ended and is not started again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The workers of one registry.
#[derive(Debug)]
pub struct Fleet {
    registry: String,
    /// The workers that count; none for all.
    only: Option<BTreeSet<WorkerId>>,
    synced: bool,
    stale_since: Option<Instant>,
    error: Option<String>,
    members: BTreeMap<Key, Member>,
}

#[derive(Debug, Default)]
struct Member {
    listed: bool,
    /// The last one, also after it has gone from the registry.
    record: Option<Arc<WorkerRecord>>,
    link: Link,
    /// The last one, also after the connection is lost.
    introduction: Option<Introduction>,
    description: Option<Description>,
    in_flight: InFlight,
    owned: Option<Owned>,
    /// The view of it, until something changes.
    seen: OnceLock<Option<Arc<WorkerView>>>,
}

/// A worker whose process this executor owns: it counts whether the registry lists it or not.
#[derive(Debug)]
struct Owned {
    rank: Option<Rank>,
    condition: Condition,
    /// Why its last run ended.
    last_exit: Option<String>,
}

#[derive(Debug)]
enum Link {
    Connecting { error: Option<String> },
    Up,
    Lost { reason: String },
}

impl Default for Link {
    fn default() -> Self {
        Self::Connecting { error: None }
    }
}

impl Fleet {
    /// An empty fleet. `only` names the workers that count; none stands for all.
    #[must_use]
    pub fn new(registry: String, only: Option<Vec<WorkerId>>) -> Self {
        Self {
            registry,
            only: only.map(BTreeSet::from_iter),
            synced: false,
            stale_since: None,
            error: None,
            members: BTreeMap::new(),
        }
    }

    /// The registry says something new. A connected worker that it lists no more stays: its record
    /// may have expired, which says nothing about the worker.
    pub fn listed(&mut self, listing: Listing<'_>) {
        let turned = self.stale_since.is_some() != listing.stale_since.is_some();
        self.synced = listing.synced;
        self.stale_since = listing.stale_since;
        self.error = listing.error.map(ToOwned::to_owned);
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
            // What was said for want of a record is older than the record.
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
        member.owned = Some(Owned { rank, condition, last_exit });
    }

    /// A connection is made. `description` may be none where the record of that run says it all.
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

    /// A connection has ended. A worker that the registry lists no more is gone with it.
    pub fn lost(&mut self, key: &Key, reason: String) {
        let Some(member) = self.members.get_mut(key) else { return };
        member.changed().link = Link::Lost { reason };
        if !member.stays() {
            self.members.remove(key);
        }
    }

    /// Which connections there should be.
    pub fn wanted(&self) -> impl Iterator<Item = (&Key, Wanted)> {
        let stale = self.stale_since.is_some();
        self.members.iter().map(move |(key, member)| {
            let record = member.record.as_deref();
            let wanted = Wanted {
                addresses: addresses(key, record),
                fingerprint: record.map(|r| r.certificate.clone()).filter(|f| !f.is_empty()),
                incarnation: record.map(|r| r.incarnation),
                listed: member.listed,
                stale: stale || !member.listed,
            };
            (key, wanted)
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
            workers,
            endpoints,
        }
    }
}

fn addresses(key: &Key, record: Option<&WorkerRecord>) -> Vec<SocketAddr> {
    match (key, record) {
        (_, Some(record)) => record.endpoints.clone(),
        (Key::Endpoint(address), None) => vec![*address],
        (Key::Worker(_), None) => Vec::new(),
    }
}

impl Member {
    /// For a change: what was seen of it is of the past.
    fn changed(&mut self) -> &mut Self {
        self.seen.take();
        self
    }

    /// Whether there is still a reason to know of it.
    fn stays(&self) -> bool {
        self.listed || matches!(self.link, Link::Up) || self.owned.is_some()
    }

    /// The view of it; none while nobody knows who it is.
    fn seen(&self, key: &Key, stale: bool) -> Option<&Arc<WorkerView>> {
        self.seen.get_or_init(|| self.view(key, stale).map(Arc::new)).as_ref()
    }

    fn is(&self, worker: &WorkerId) -> bool {
        self.introduction.as_ref().is_some_and(|introduction| introduction.worker == *worker)
    }

    /// The record, if it is of the run that is connected.
    fn record_of_this_run(&self) -> Option<&WorkerRecord> {
        let record = self.record.as_deref()?;
        let introduced = self.introduction.as_ref();
        introduced.is_none_or(|i| i.incarnation == record.incarnation).then_some(record)
    }

    fn has_fresh_record(&self, stale: bool) -> bool {
        self.listed && !stale && self.record_of_this_run().is_some()
    }

    fn status(&self, stale: bool) -> WorkerStatus {
        let condition = self.owned.as_ref().map(|owned| &owned.condition);
        match (&self.link, condition) {
            (Link::Up, _) => {}
            (_, Some(Condition::Down { reason })) => {
                return WorkerStatus::Lost { reason: reason.clone() };
            }
            (_, Some(Condition::Failed { reason })) => {
                return WorkerStatus::Failed { reason: reason.clone() };
            }
            _ => {}
        }
        match &self.link {
            Link::Connecting { error } => WorkerStatus::Connecting { error: error.clone() },
            Link::Lost { reason } => WorkerStatus::Lost { reason: reason.clone() },
            Link::Up => match self.state(stale) {
                WorkerState::Loading => WorkerStatus::Loading,
                WorkerState::Ready => WorkerStatus::Ready,
                WorkerState::Draining => WorkerStatus::Draining,
                WorkerState::Sleeping => WorkerStatus::Sleeping,
                WorkerState::Unknown => WorkerStatus::Unknown,
            },
        }
    }

    /// What a connected worker does: a fresh record knows best, then the worker's own last word,
    /// then an old record of the same run.
    fn state(&self, stale: bool) -> WorkerState {
        let record = self.record_of_this_run().map(|record| record.state);
        let said = self.description.as_ref().map(|said| said.state);
        let best = if self.has_fresh_record(stale) { record.or(said) } else { said.or(record) };
        best.unwrap_or(WorkerState::Loading)
    }

    fn view(&self, key: &Key, stale: bool) -> Option<WorkerView> {
        let record = self.record.as_deref();
        let introduced = self.introduction.as_ref();
        let said = self.description.as_ref();
        let id = match (key, introduced) {
            (Key::Worker(id), _) => id.clone(),
            (Key::Endpoint(_), introduced) => introduced?.worker.clone(),
        };
        let rank = said.and_then(|said| said.rank).or(record.map(|record| record.rank));
        let models = match (said, record) {
            (Some(said), _) => said.models.clone(),
            (None, record) => record.map(|record| record.models.clone()).unwrap_or_default(),
        };
        Some(WorkerView {
            id,
            rank: rank
                .or(introduced.and_then(|introduced| introduced.rank))
                .or(self.owned.as_ref().and_then(|owned| owned.rank)),
            device: record.map(|record| record.device.clone()),
            status: self.status(stale),
            percent: record.and_then(|record| record.percent),
            addresses: addresses(key, record),
            models,
            capacity: said.map(|s| s.capacity).or(record.map(|record| record.capacity)),
            version: match record {
                Some(record) => Some(record.version.clone()),
                // An agent is called program/version.
                None => introduced.and_then(|i| i.agent.rsplit('/').next()).map(str::to_owned),
            },
            started_at: said.map(|s| s.started_at).or(record.map(|record| record.started_at)),
            in_flight: self.in_flight.clone(),
            last_exit: self.owned.as_ref().and_then(|owned| owned.last_exit.clone()),
            in_registry: self.listed && record.is_some(),
            incarnation: match (&self.link, introduced) {
                (Link::Up, Some(introduced)) => Some(introduced.incarnation),
                _ => record.map(|record| record.incarnation),
            },
        })
    }
}
