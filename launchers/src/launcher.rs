//! The one seam: what every launcher can do.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::{Error, Handle, LaunchSpec, Outcome, Replica, Resources};

/// Starts replicas on one kind of engine, and follows them.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Its name, as configs and handles have it.
    fn name(&self) -> &'static str;

    /// What it can do beyond starting a program.
    fn capabilities(&self) -> Capabilities;

    /// What a spec asks for with this launcher's own choices made: cards and cores by their names.
    /// So a replica that takes the place of one of these ([`LaunchSpec::alone`]) is given what that
    /// one had. It is as it was asked for where the choice is the engine's.
    ///
    /// # Errors
    /// [`Error::Spec`]: the host has not so many.
    fn choose(&self, spec: &LaunchSpec) -> Result<Resources, Error> {
        Ok(spec.resources.clone())
    }

    /// Starts all replicas of a spec; the handles are in rank order. Where one can't be started,
    /// those started before are ended, and none is left.
    ///
    /// # Errors
    /// [`Error`]: the manager is absent, the spec asks for what this launcher can't do, the
    /// program doesn't exist.
    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error>;

    /// Where the replicas are now, in the order of the handles. One question to the engine,
    /// however many they are.
    ///
    /// # Errors
    /// [`Error::ForeignHandle`], [`Error::UnknownReplica`], or the manager's own.
    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error>;

    /// A replica's output, oldest line first.
    ///
    /// # Errors
    /// As [`Launcher::poll`].
    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error>;

    /// Ends replicas: asks at first, and kills what is left after the spec's grace. Returns once
    /// they have ended. One that has ended already stays as it is.
    ///
    /// # Errors
    /// As [`Launcher::poll`].
    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error>;

    /// Waits until all have ended and returns how, in the order of the handles.
    ///
    /// # Errors
    /// [`Error::CollectTimeout`] names those that still run after `timeout`; they go on. Else as
    /// [`Launcher::poll`].
    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error>;
}

/// Lines of output; ends when the replica has, or at once where nobody follows.
pub type LogLines = BoxStream<'static, Result<String, Error>>;

/// Which lines of a replica's output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The last so many lines; all that are kept when none.
    pub tail: Option<usize>,
    /// Goes on with new lines until the replica ends.
    pub follow: bool,
}

/// What a launcher can do beyond starting a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Capabilities {
    /// Replicas can reach one another over the network.
    pub supports_inter_replica_network: bool,
    /// Replicas can run on other hosts than the caller's.
    pub supports_many_hosts: bool,
    /// A limit on cores is kept.
    pub limits_cpus: bool,
    /// A limit on memory is kept.
    pub limits_memory: bool,
    /// Graphics cards can be asked for.
    pub supports_gpus: bool,
    /// Replicas can be bound to the life of the process that launches them.
    pub supports_owner: bool,
    /// Replicas see the caller's files: its programs, its working folder, its state folder.
    pub shares_files: bool,
}
