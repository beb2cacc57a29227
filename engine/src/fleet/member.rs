//! One worker: what its record, its connection and its owner say, put together.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use hearth_api::{Rank, WorkerId};
use hearth_protocol::record::{WorkerRecord, WorkerState};

use super::input::{Condition, Description, Introduction, Key};
use super::view::{Backlog, InFlight, WorkerStatus, WorkerView};

#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) listed: bool,
    /// The last one, even after the registry has dropped it.
    pub(super) record: Option<Arc<WorkerRecord>>,
    pub(super) link: Link,
    /// The last one, even after the connection is lost.
    pub(super) introduction: Option<Introduction>,
    pub(super) description: Option<Description>,
    pub(super) in_flight: InFlight,
    pub(super) backlog: Backlog,
    pub(super) owned: Option<Ownership>,
    /// The view of it, until something changes.
    seen: OnceLock<Option<Arc<WorkerView>>>,
}

/// A worker whose process this executor owns: it counts whether the registry lists it or not.
#[derive(Debug)]
pub(super) struct Ownership {
    pub(super) rank: Option<Rank>,
    pub(super) condition: Condition,
    /// Why its last run ended.
    pub(super) last_exit: Option<String>,
}

#[derive(Debug)]
pub(super) enum Link {
    Connecting { error: Option<String> },
    Up,
    Lost { reason: String },
}

impl Default for Link {
    fn default() -> Self {
        Self::Connecting { error: None }
    }
}

impl Member {
    /// For a change: the cached view is dropped.
    pub(super) fn changed(&mut self) -> &mut Self {
        self.seen.take();
        self
    }

    /// Whether there is still a reason to keep it.
    pub(super) fn stays(&self) -> bool {
        self.listed || matches!(self.link, Link::Up) || self.owned.is_some()
    }

    /// The view of it; `None` while nobody knows who it is.
    pub(super) fn seen(&self, key: &Key, stale: bool) -> Option<&Arc<WorkerView>> {
        self.seen.get_or_init(|| self.view(key, stale).map(Arc::new)).as_ref()
    }

    pub(super) fn is(&self, worker: &WorkerId) -> bool {
        self.introduction.as_ref().is_some_and(|introduction| introduction.worker == *worker)
    }

    /// The record, if it is of the run that is connected.
    fn record_of_this_run(&self) -> Option<&WorkerRecord> {
        let record = self.record.as_deref()?;
        let introduced = self.introduction.as_ref();
        introduced.is_none_or(|i| i.incarnation == record.incarnation).then_some(record)
    }

    pub(super) fn has_fresh_record(&self, stale: bool) -> bool {
        self.listed && !stale && self.record_of_this_run().is_some()
    }

    pub(super) fn status(&self, stale: bool) -> WorkerStatus {
        let condition = self.owned.as_ref().map(|owned| &owned.condition);
        match (&self.link, condition) {
            (Link::Up, _) => self.connected_status(stale),
            (Link::Connecting { .. } | Link::Lost { .. }, Some(Condition::Down { reason })) => {
                WorkerStatus::Lost { reason: reason.clone() }
            }
            (Link::Connecting { .. } | Link::Lost { .. }, Some(Condition::Failed { reason })) => {
                WorkerStatus::Failed { reason: reason.clone() }
            }
            (Link::Connecting { error }, None | Some(Condition::Started)) => {
                WorkerStatus::Connecting { error: error.clone() }
            }
            (Link::Lost { reason }, None | Some(Condition::Started)) => {
                WorkerStatus::Lost { reason: reason.clone() }
            }
        }
    }

    fn connected_status(&self, stale: bool) -> WorkerStatus {
        match self.state(stale) {
            WorkerState::Loading => WorkerStatus::Loading,
            WorkerState::Ready => WorkerStatus::Ready,
            WorkerState::Draining => WorkerStatus::Draining,
            WorkerState::Sleeping => WorkerStatus::Sleeping,
            WorkerState::Unhealthy => WorkerStatus::Unhealthy,
            WorkerState::Unknown => WorkerStatus::Unknown,
        }
    }

    /// What a connected worker does: a fresh record counts first, then what the worker said last, then
    /// an old record of the same run.
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
        let suspects = said.map(|said| &said.suspects).or(record.map(|record| &record.suspects));
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
            backlog: self.backlog.clone(),
            certificate: introduced.and_then(|introduced| introduced.certificate),
            last_exit: self.owned.as_ref().and_then(|owned| owned.last_exit.clone()),
            suspects: suspects.cloned().unwrap_or_default(),
            in_registry: self.listed && record.is_some(),
            incarnation: match (&self.link, introduced) {
                (Link::Up, Some(introduced)) => Some(introduced.incarnation),
                (Link::Up, None) | (Link::Connecting { .. } | Link::Lost { .. }, _) => {
                    record.map(|record| record.incarnation)
                }
            },
        })
    }
}

/// Where a worker may be.
pub(super) fn addresses(key: &Key, record: Option<&WorkerRecord>) -> Vec<SocketAddr> {
    match (key, record) {
        (_, Some(record)) => record.endpoints.clone(),
        (Key::Endpoint(address), None) => vec![*address],
        (Key::Worker(_), None) => Vec::new(),
    }
}
