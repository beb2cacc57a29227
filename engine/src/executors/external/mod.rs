//! The external executor: connects to workers that others started, and does nothing to them.
//!
//! [`discovery`] follows the registry and keeps one [`supervise`] task per worker, which connects
//! ([`dial`]), learns who is there and holds the connection as long as the worker answers
//! ([`heartbeat`]); [`link`] carries calls. All of them tell the pure
//! [`Fleet`](crate::fleet::Fleet) in [`shared`] what they see.

mod dial;
mod discovery;
mod heartbeat;
mod link;
mod shared;
mod supervise;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hearth_api::{CallError, Rank, WorkerId};
use hearth_base::task::OwnedTask;
use hearth_fabric::identity::CurrentIdentity;
use hearth_fabric::quic::{Connector, Settings};
use hearth_fabric::registry::Registry;
use tokio::sync::watch;

use super::Error;
use crate::executor::{CallStream, Executor, OutgoingCall};
use crate::fleet::{Condition, Fleet, FleetView};
use shared::Shared;

/// How long closing may take: a frozen worker does not say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What an external executor needs.
#[derive(Clone)]
#[non_exhaustive]
pub struct ExternalOptions {
    /// Where workers are found.
    pub registry: Arc<dyn Registry>,
    /// Who connects: a coordinator, or an administrator. Once renewed, it counts for new connections.
    pub identity: CurrentIdentity,
    /// Program and version, for the workers' logs.
    pub agent: String,
    /// The transport's timers.
    pub settings: Settings,
    /// The workers to connect to; none for all of the registry's.
    pub only: Option<Vec<WorkerId>>,
}

impl ExternalOptions {
    /// All workers of a registry, with the usual timers. `agent` is program and version.
    pub fn new(
        registry: Arc<dyn Registry>,
        identity: impl Into<CurrentIdentity>,
        agent: impl Into<String>,
    ) -> Self {
        Self {
            registry,
            identity: identity.into(),
            agent: agent.into(),
            settings: Settings::default(),
            only: None,
        }
    }

    /// Other timers of the transport.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Only these workers; none for all of the registry's.
    #[must_use]
    pub fn only(mut self, workers: Option<Vec<WorkerId>>) -> Self {
        self.only = workers;
        self
    }
}

/// Connects to the workers of a registry, keeps the connections, and disconnects when it is closed.
/// It never ends, drains or unloads a worker.
///
/// Losing the registry ends no connection; the view says that it is stale.
pub struct ExternalExecutor {
    connector: Connector,
    shared: Arc<Shared>,
    discovery: Mutex<Option<OwnedTask>>,
}

impl ExternalExecutor {
    /// Starts to observe the registry and to connect, in the background.
    ///
    /// # Errors
    /// [`Error::Transport`] and [`Error::Registry`] for what can't come right by waiting; all else
    /// is in the view. Must be called on a tokio runtime.
    pub fn start(options: ExternalOptions) -> Result<Self, Error> {
        let ExternalOptions { registry, identity, agent, settings, only } = options;
        let connector = Connector::new(identity, settings, &agent)?;
        let observation = registry.observe()?;
        let shared = Arc::new(Shared::new(Fleet::new(registry.target(), only)));
        let discovery = OwnedTask::spawn("discovery", |cancel| {
            discovery::follow(observation, connector.clone(), Arc::clone(&shared), cancel)
        });
        Ok(Self { connector, shared, discovery: Mutex::new(Some(discovery)) })
    }

    /// For an executor that owns the workers' processes.
    pub(super) fn wards(&self) -> Wards {
        Wards(Arc::clone(&self.shared))
    }
}

/// Tells the fleet how the processes of owned workers do.
#[derive(Clone)]
pub(super) struct Wards(Arc<Shared>);

impl Wards {
    /// A process was started or has ended. The calls of one that has ended fail at once, with the
    /// reason.
    pub(super) fn tell(&self, id: &WorkerId, rank: Option<Rank>, condition: Condition) {
        let cause = match &condition {
            Condition::Started => None,
            Condition::Down { reason } | Condition::Failed { reason } => Some(reason.clone()),
        };
        self.0.update(|fleet| fleet.owned(id, rank, condition));
        // Its connection's task is made with the fleet's next look.
        self.0.lost.notify_one();
        if let Some(cause) = cause {
            self.0.end(id, cause);
        }
    }
}

#[async_trait]
impl Executor for ExternalExecutor {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.shared.view()
    }

    async fn call(
        &self,
        worker: &WorkerId,
        call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        let link = self.shared.link(worker)?;
        Ok(Box::new(link.call(call).await?))
    }

    async fn close(&self) {
        let discovery = self.discovery.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(discovery) = discovery {
            discovery.stop_within(CLOSE_LIMIT).await;
        }
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.connector.close()).await;
    }
}
