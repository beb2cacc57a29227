//! What a request can expect of a fleet: whether a worker takes it now, will soon, or never will.

use super::{FleetView, WorkerStatus, WorkerView};

/// What a request can expect of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// A worker can take it, and no further one will come up at once.
    Ready,
    /// A worker can take it; others are being connected.
    Growing,
    /// None can yet; some have not answered.
    Open,
    /// None can yet; one is loading its models.
    Loading,
    /// None can, and none will.
    Hopeless,
}

impl FleetView {
    /// What a request for a model can expect; none stands for any model.
    #[must_use]
    pub fn outlook(&self, model: Option<&str>) -> Outlook {
        let suits = self.ready().any(|worker| worker.serves(model));
        match (suits, self.is_open()) {
            (true, false) => Outlook::Ready,
            (true, true) => Outlook::Growing,
            (false, true) => Outlook::Open,
            (false, false) if self.workers.iter().any(|worker| may_serve(worker, model)) => {
                Outlook::Loading
            }
            (false, false) => Outlook::Hopeless,
        }
    }

    /// Whether the registry or a worker has not answered yet, one way or the other.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let trying = |status: &WorkerStatus| *status == WorkerStatus::Connecting { error: None };
        (!self.synced && self.error.is_none())
            || self.workers.iter().any(|worker| trying(&worker.status))
            || self.endpoints.iter().any(|endpoint| trying(&endpoint.status))
    }

    /// Whether so many workers that the engine owns have failed for good that `n` can't be ready.
    pub(crate) fn is_out_of_reach(&self, n: usize) -> bool {
        let failed = |status: &WorkerStatus| matches!(status, WorkerStatus::Failed { .. });
        let failed = self.workers.iter().filter(|worker| failed(&worker.status)).count();
        failed > 0 && self.workers.len() - failed < n
    }
}

impl WorkerView {
    /// Whether it serves a model of this name or alias; none stands for any model.
    #[must_use]
    pub fn serves(&self, model: Option<&str>) -> bool {
        let Some(model) = model else { return true };
        let is_it = |alias: &String| alias == model;
        self.models.iter().any(|known| known.name == model || known.aliases.iter().any(is_it))
    }
}

/// Whether it is loading its models, and the model may be one of them.
fn may_serve(worker: &WorkerView, model: Option<&str>) -> bool {
    worker.status == WorkerStatus::Loading && (worker.models.is_empty() || worker.serves(model))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hearth_protocol::record::ModelRecord;

    use super::*;
    use crate::fleet::{Backlog, InFlight};

    fn fleet(workers: &[(WorkerStatus, &[&str])]) -> FleetView {
        let worker = |(index, (status, models)): (usize, &(WorkerStatus, &[&str]))| WorkerView {
            id: format!("w{index}").parse().unwrap(),
            rank: None,
            device: None,
            status: status.clone(),
            percent: None,
            addresses: Vec::new(),
            models: models.iter().map(|name| model(name)).collect(),
            capacity: None,
            version: None,
            started_at: None,
            in_flight: InFlight::default(),
            backlog: Backlog::default(),
            in_registry: true,
            incarnation: None,
            certificate: None,
            last_exit: None,
            suspects: Vec::new(),
        };
        let workers = workers.iter().enumerate().map(worker).map(Arc::new).collect();
        FleetView { synced: true, workers, ..FleetView::default() }
    }

    fn model(name: &str) -> ModelRecord {
        ModelRecord { name: name.to_owned(), aliases: Vec::new(), digest: String::new() }
    }

    #[test]
    fn a_request_starts_when_it_can_and_spreads_when_that_is_soon() {
        let trying = WorkerStatus::Connecting { error: None };
        let refused = WorkerStatus::Connecting { error: Some("no".to_owned()) };
        let emoji: &[&str] = &["emoji"];
        let of = |workers: &[(WorkerStatus, &[&str])]| fleet(workers).outlook(Some("emoji"));
        assert_eq!(FleetView::default().outlook(None), Outlook::Open);
        assert_eq!(of(&[]), Outlook::Hopeless);
        assert_eq!(of(&[(WorkerStatus::Ready, emoji)]), Outlook::Ready);
        assert_eq!(of(&[(WorkerStatus::Ready, emoji), (trying.clone(), emoji)]), Outlook::Growing);
        assert_eq!(of(&[(WorkerStatus::Ready, emoji), (refused.clone(), emoji)]), Outlook::Ready);
        assert_eq!(of(&[(trying, emoji)]), Outlook::Open);
        assert_eq!(of(&[(refused, emoji)]), Outlook::Hopeless);
        assert_eq!(of(&[(WorkerStatus::Ready, &["other"])]), Outlook::Hopeless);
        assert_eq!(of(&[(WorkerStatus::Loading, emoji)]), Outlook::Loading);
        assert_eq!(of(&[(WorkerStatus::Draining, emoji)]), Outlook::Hopeless);
    }
}
