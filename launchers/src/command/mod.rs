//! Replicas on whatever the user's five programs reach: `launch`, `poll`, `logs`, `cancel` and
//! `collect`, each given JSON on standard input. So any service can be a backend without code here.
//!
//! `docs/launchers.md` has what the programs are told, what they print, and what their exit statuses
//! mean. What they say is not trusted before it has been read: a launch of which a part is named is
//! ended, a cancel is over when a poll has seen the end, and an end is kept when it is seen.

mod answer;
mod cancel;
mod collect;
mod config;
mod launch;
mod log;
mod memory;
mod poll;
mod programs;
mod request;
mod run;
mod target;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use crate::collect::{Pace, outcomes, wait};
use crate::{
    Capabilities, Error, Handle, LaunchSpec, Launcher, LogLines, LogOptions, Outcome, Replica,
    StateDir,
};
pub use config::Config;

use config::NAME;
use memory::Memory;
use target::LaunchTargets;

/// How often what is waited for is asked for: a service may count its calls.
const PACE: Pace = Pace { first: Duration::from_millis(200), last: Duration::from_secs(5) };

/// Launches by programs of the user's.
#[derive(Debug, Clone)]
pub struct CommandLauncher {
    state: StateDir,
    config: Config,
}

impl CommandLauncher {
    /// A launcher that keeps its launches in `state`, and begins new ones with the programs of
    /// `config`. Launches that were begun before go on with their own.
    #[must_use]
    pub fn new(state: StateDir, config: Config) -> Self {
        Self { state, config }
    }

    fn targets(&self, handles: &[Handle]) -> Result<Vec<LaunchTargets>, Error> {
        LaunchTargets::of(&self.state, handles)
    }
}

#[async_trait]
impl Launcher for CommandLauncher {
    fn name(&self) -> &'static str {
        NAME
    }

    /// What a launcher may be asked for: programs refuse what they can't keep.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            supports_inter_replica_network: true,
            supports_many_hosts: true,
            limits_cpus: true,
            limits_memory: true,
            supports_gpus: true,
            supports_owner: false,
            shares_files: false,
        }
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        launch::launch(&self.state, &self.config, spec).await
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        let launches = self.targets(handles)?;
        let seen = poll::look(&self.state, &launches).await?;
        Ok(handles.iter().filter_map(|handle| seen.get(handle).cloned()).collect())
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        let launches = self.targets(std::slice::from_ref(handle))?;
        log::lines(&self.state, &launches, options)
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        cancel::cancel(&self.state, &self.targets(handles)?).await
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        wait(self, handles, timeout, PACE).await?;
        let uncollected = collect::fetch(&self.state, &self.targets(handles)?).await?;
        // What has ended is kept: no program is asked again.
        let mut outcomes = outcomes(self, &self.state, handles, None, PACE).await?;
        for (handle, outcome) in handles.iter().zip(&mut outcomes) {
            outcome.error = outcome.error.take().or_else(|| uncollected.get(handle).cloned());
        }
        Ok(outcomes)
    }
}

/// When a replica was seen to have ended, in milliseconds since 1970; none where nobody has looked.
pub(crate) fn ended_at_ms(folder: &Path) -> Result<Option<u64>, Error> {
    Ok(Memory::load(folder)?.ended_at_ms)
}
