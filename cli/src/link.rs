//! A connection to a fleet, for as long as one command takes.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::{CallError, ErrorKind};
use hearth_engine::{
    Engine, ExternalExecutor, ExternalOptions, FleetView, WorkerStatus, WorkerView,
};
use hearth_fabric::identity::Identity;
use hearth_fabric::quic;
use hearth_fabric::registry::{self, Registry};
use tokio::time::{Instant, timeout_at};

use crate::context::Context;
use crate::exit::{Failure, Status};

const AGENT: &str = concat!("hearth/", env!("CARGO_PKG_VERSION"));
/// How long workers and registry have to answer at all; as long as a connection may take.
const CONNECT: Duration = Duration::from_millis(5_500);
/// How long a request that could start waits for further workers, so that it spreads over them.
const SPREAD: Duration = Duration::from_millis(50);
/// How long the reason of a failure is looked for.
const AGAIN: Duration = Duration::from_secs(1);
/// Workers are told good-bye; one that is frozen is not waited for.
const CLOSE: Duration = Duration::from_millis(500);

/// A fleet, and the engine that speaks to it.
pub(crate) struct Link {
    pub(crate) engine: Engine,
    /// Which fleet, for people.
    pub(crate) target: String,
    registry: Arc<dyn Registry>,
    identity: Arc<Identity>,
}

impl Link {
    /// Starts to find and connect the workers. Must be called on a tokio runtime.
    pub(crate) fn open(context: &Context) -> Result<Self, Failure> {
        let identity = Arc::new(context.identity()?);
        let registry = registry::open(&context.registry, &context.settings)?;
        let target = format!("{} ({})", context.registry, context.origin);
        let options = ExternalOptions {
            registry: Arc::clone(&registry),
            identity: Arc::clone(&identity).into(),
            agent: AGENT.to_owned(),
            settings: quic::Settings::default(),
            only: None,
        };
        let executor = ExternalExecutor::start(options)
            .map_err(|error| Failure::of(Status::Failed, &error))?;
        Ok(Self { engine: Engine::new(Arc::new(executor)), target, registry, identity })
    }

    /// Leaves the workers as they are.
    pub(crate) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE, self.engine.close()).await;
    }

    /// Waits until it is known of every worker whether it answers.
    ///
    /// # Errors
    /// The registry does not answer.
    pub(crate) async fn settled(&self) -> Result<Arc<FleetView>, Failure> {
        let mut fleet = self.engine.fleet();
        let known = fleet.wait_for(|view| !is_open(view));
        let _ = tokio::time::timeout(CONNECT, known).await;
        let view = Arc::clone(&fleet.borrow());
        if view.synced {
            return Ok(view);
        }
        Err(self.registry_failure(&view).await)
    }

    /// As [`Self::settled`], for commands that need a worker to answer.
    pub(crate) async fn workers(&self) -> Result<Arc<FleetView>, Failure> {
        let view = self.settled().await?;
        if view.workers.iter().any(|worker| worker.status.is_connected()) {
            return Ok(view);
        }
        if let Some(refusal) = self.refusal(&view).await {
            return Err(refusal);
        }
        if !view.workers.is_empty() {
            return Ok(view);
        }
        let none =
            format!("{} has no worker: start one with hearth-worker or hearth up", self.target);
        let silent = view.endpoints.iter().map(|endpoint| {
            format!("{}: {}", endpoint.address, endpoint.status.reason().unwrap_or("no answer"))
        });
        Err(Failure::new(Status::NoWorker, none).because(silent))
    }

    /// Why the engine took a request on nowhere.
    pub(crate) async fn explain(&self, error: CallError) -> Failure {
        let view = Arc::clone(&self.engine.fleet().borrow());
        let connected = view.workers.iter().any(|worker| worker.status.is_connected());
        if error.kind != ErrorKind::NoWorker || connected {
            return error.into();
        }
        if !view.synced {
            return self.registry_failure(&view).await;
        }
        self.refusal(&view).await.unwrap_or_else(|| error.into())
    }

    /// Why the registry has given no list. The fleet's view has that as text, so it is asked again.
    async fn registry_failure(&self, view: &FleetView) -> Failure {
        if let Ok(observation) = self.registry.observe() {
            let mut again = observation.view();
            let told = again.wait_for(|view| view.error.is_some() || view.synced);
            let _ = tokio::time::timeout(AGAIN, told).await;
            if let Some(error) = &again.borrow().error {
                return Failure::from(&**error);
            }
        }
        let silent = || format!("{} does not answer", self.target);
        Failure::new(Status::NoWorker, view.error.clone().unwrap_or_else(silent))
    }

    /// Whether it is the certificates that keep this side from a worker: one is tried once more.
    async fn refusal(&self, view: &FleetView) -> Option<Failure> {
        let workers = view.workers.iter().map(|worker| worker.addresses.clone());
        let endpoints = view.endpoints.iter().map(|endpoint| vec![endpoint.address]);
        let addresses = workers.chain(endpoints).find(|addresses| !addresses.is_empty())?;
        let identity = Arc::clone(&self.identity);
        let connector = quic::Connector::new(identity, quic::Settings::default(), AGENT).ok()?;
        let target = quic::Target { addresses, fingerprint: None };
        let tried = tokio::time::timeout(AGAIN, connector.connect(&target)).await.ok()?;
        let error = CallError::from(tried.err()?);
        (error.kind == ErrorKind::PermissionDenied).then(|| error.into())
    }

    /// Waits until a request can start, and a moment longer for the workers that it could spread
    /// over. Returns as well when waiting is of no use: the engine says why best. `wait` bounds
    /// the time that loading models may take.
    pub(crate) async fn ready_for(
        &self,
        model: Option<&str>,
        wait: Duration,
        mut loading: impl FnMut(&FleetView),
    ) {
        let mut fleet = self.engine.fleet();
        let start = Instant::now();
        let mut first = None;
        loop {
            let deadline = {
                let view = fleet.borrow_and_update();
                match outlook(&view, model) {
                    Outlook::Whole | Outlook::Hopeless => return,
                    Outlook::Some => *first.get_or_insert_with(Instant::now) + SPREAD,
                    Outlook::Open => start + CONNECT.min(wait),
                    Outlook::Loading => {
                        loading(&view);
                        start + wait
                    }
                }
            };
            if !matches!(timeout_at(deadline, fleet.changed()).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

/// What a request can expect of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// A worker can take it, and no further one will come up at once.
    Whole,
    /// A worker can take it; others are being connected.
    Some,
    /// None can yet; some have not answered.
    Open,
    /// None can yet; one is loading its models.
    Loading,
    /// None can, and none will.
    Hopeless,
}

fn outlook(view: &FleetView, model: Option<&str>) -> Outlook {
    let suits = view.ready().any(|worker| serves(worker, model));
    match (suits, is_open(view)) {
        (true, false) => Outlook::Whole,
        (true, true) => Outlook::Some,
        (false, true) => Outlook::Open,
        (false, false) => {
            let loading = |worker: &WorkerView| {
                worker.status == WorkerStatus::Loading
                    && (worker.models.is_empty() || serves(worker, model))
            };
            match view.workers.iter().any(|worker| loading(worker)) {
                true => Outlook::Loading,
                false => Outlook::Hopeless,
            }
        }
    }
}

fn serves(worker: &WorkerView, model: Option<&str>) -> bool {
    let Some(model) = model else { return true };
    worker.models.iter().any(|m| m.name == model || m.aliases.iter().any(|alias| alias == model))
}

/// Whether the registry or a worker has not answered yet, one way or the other.
fn is_open(view: &FleetView) -> bool {
    let trying = |status: &WorkerStatus| *status == WorkerStatus::Connecting { error: None };
    (!view.synced && view.error.is_none())
        || view.workers.iter().any(|worker| trying(&worker.status))
        || view.endpoints.iter().any(|endpoint| trying(&endpoint.status))
}

#[cfg(test)]
mod tests {
    use hearth_engine::InFlight;
    use hearth_protocol::record::ModelRecord;

    use super::*;

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
            in_registry: true,
            incarnation: None,
            last_exit: None,
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
        let of = |workers: &[(WorkerStatus, &[&str])]| outlook(&fleet(workers), Some("emoji"));
        assert_eq!(outlook(&FleetView::default(), None), Outlook::Open);
        assert_eq!(of(&[]), Outlook::Hopeless);
        assert_eq!(of(&[(WorkerStatus::Ready, emoji)]), Outlook::Whole);
        assert_eq!(of(&[(WorkerStatus::Ready, emoji), (trying.clone(), emoji)]), Outlook::Some);
        assert_eq!(of(&[(WorkerStatus::Ready, emoji), (refused.clone(), emoji)]), Outlook::Whole);
        assert_eq!(of(&[(trying, emoji)]), Outlook::Open);
        assert_eq!(of(&[(refused, emoji)]), Outlook::Hopeless);
        assert_eq!(of(&[(WorkerStatus::Ready, &["other"])]), Outlook::Hopeless);
        assert_eq!(of(&[(WorkerStatus::Loading, emoji)]), Outlook::Loading);
        assert_eq!(of(&[(WorkerStatus::Draining, emoji)]), Outlook::Hopeless);
    }
}
