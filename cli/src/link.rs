//! A connection to a fleet, for as long as one command takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind};
use hearth_engine::{Engine, EngineOptions, ExternalExecutor, ExternalOptions, FleetView};
use hearth_fabric::identity::Identity;
use hearth_fabric::quic;
use hearth_fabric::registry::{self, Registry};

use crate::context::Context;
use crate::exit::{Failure, Status};

const AGENT: &str = concat!("hearth/", env!("CARGO_PKG_VERSION"));
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
        Self::open_with(context, EngineOptions::new())
    }

    /// [`Self::open`] with an engine of other bounds.
    pub(crate) fn open_with(context: &Context, bounds: EngineOptions) -> Result<Self, Failure> {
        let identity = Arc::new(context.identity()?);
        let registry = registry::open(&context.registry, &context.settings)?;
        let target = format!("{} ({})", context.registry, context.origin);
        let options = ExternalOptions::new(Arc::clone(&registry), Arc::clone(&identity), AGENT);
        let executor = ExternalExecutor::start(options)
            .map_err(|error| Failure::of(Status::Failed, &error))?;
        let engine = Engine::with_options(Arc::new(executor), bounds);
        Ok(Self { engine, target, registry, identity })
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
        let view = self.engine.wait_for_answers().await;
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

    /// As [`Self::workers`], waiting for a registry that can't be reached where there is a limit.
    pub(crate) async fn workers_within(
        &self,
        limit: Option<Duration>,
    ) -> Result<Arc<FleetView>, Failure> {
        let Some(limit) = limit else { return self.workers().await };
        let start = Instant::now();
        self.engine.wait_for_registry(limit, |_| ()).await;
        self.workers().await.map_err(|mut failure| {
            if start.elapsed() >= limit {
                failure.status = Status::Deadline;
            }
            failure
        })
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
}
