//! The external executor: connects to workers that others started, and to nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_fabric::identity::Identity;
use hearth_fabric::quic::{Connector, Settings};
use hearth_fabric::registry::Registry;
use hearth_protocol::{CallError, ErrorKind, WorkerId};
use tokio::sync::watch;

use super::Error;
use crate::executor::{CallStream, Executor, OutgoingCall};
use crate::fleet::FleetView;

/// What an external executor needs.
#[derive(Clone)]
pub struct ExternalOptions {
    /// Where workers are found.
    pub registry: Arc<dyn Registry>,
    /// Who connects: a coordinator, or an administrator.
    pub identity: Arc<Identity>,
    /// Program and version, for the workers' logs.
    pub agent: String,
    /// The transport's timers.
    pub settings: Settings,
    /// The workers to connect to; none for all of the registry's.
    pub only: Option<Vec<WorkerId>>,
}

/// Connects to the workers of a registry, keeps the connections, and disconnects when it is closed.
/// It never ends, drains or unloads a worker.
pub struct ExternalExecutor {
    connector: Connector,
    view: watch::Sender<Arc<FleetView>>,
}

impl ExternalExecutor {
    /// Starts to observe the registry and to connect, in the background.
    ///
    /// # Errors
    /// [`Error::Transport`] and [`Error::Registry`] for what can't come right by waiting; all else
    /// is in the view. Must be called on a tokio runtime.
    pub fn start(options: ExternalOptions) -> Result<Self, Error> {
        let connector = Connector::new(options.identity, options.settings, &options.agent)?;
        Ok(Self { connector, view: watch::Sender::default() })
    }
}

#[async_trait]
impl Executor for ExternalExecutor {
    fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.view.subscribe()
    }

    async fn call(
        &self,
        _worker: &WorkerId,
        _call: &OutgoingCall,
    ) -> Result<Box<dyn CallStream>, CallError> {
        Err(CallError::new(ErrorKind::WorkerLost, "not yet"))
    }

    async fn close(&self) {
        self.connector.close().await;
    }
}
