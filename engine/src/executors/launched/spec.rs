//! What is launched: the worker program with its certificate, registry and owner.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_launchers::{Capabilities, Gpus, LaunchSpec, Launcher, Owner, Placement, Resources};

use super::super::owned::workers::{Ranks, Workers};
use super::super::owned::{Home, flags};
use crate::config::{ConfigError, GpuWish, LaunchedSection, PlacementSection, Size};
use crate::executors::Error;
use crate::executors::worker_program::{WORKER, share_of_cores, worker_program};

/// Time that a replica has to leave in good order: the engine has ended its requests before.
const GRACE: Duration = Duration::from_secs(3);

/// Makes the specs of an engine's replicas.
pub(super) struct Plan {
    section: LaunchedSection,
    home: Arc<Home>,
    owner: Owner,
    capabilities: Capabilities,
    /// Where replicas run; none for the launcher's choice.
    working_dir: Option<PathBuf>,
    /// What they may use. The launcher's choices are made once, so that one that is started again
    /// is given what it had.
    resources: Resources,
}

impl Plan {
    /// Checks what a launch would not: replicas on other hosts need a registry that they reach.
    pub(super) fn new(
        section: &LaunchedSection,
        home: Arc<Home>,
        launcher: &dyn Launcher,
    ) -> Result<Self, Error> {
        let capabilities = launcher.capabilities();
        if capabilities.supports_many_hosts && home.fixed_ranks() {
            return Err(Error::PrivateRegistry { launcher: launcher.name() });
        }
        let owner = if capabilities.supports_owner { Owner::Caller } else { Owner::Nobody };
        // So that a model's path means what it means here.
        let here = || std::env::current_dir().ok();
        let working_dir = capabilities.shares_files.then(here).flatten();
        let mut asked = LaunchSpec::new(home.name(), section.owned.count, WORKER);
        asked.env.clone_from(&section.owned.env);
        asked.resources = resources(section)?;
        let resources = launcher.choose(&asked)?;
        Ok(Self { section: section.clone(), home, owner, capabilities, working_dir, resources })
    }

    /// All replicas.
    pub(super) fn all(&self) -> Result<LaunchSpec, Error> {
        self.launch(None)
    }

    /// One replica in place of one that has ended: as that one was, with a fresh certificate.
    pub(super) fn one(&self, rank: u32) -> Result<LaunchSpec, Error> {
        self.launch(Some(rank))
    }

    fn launch(&self, alone: Option<u32>) -> Result<LaunchSpec, Error> {
        let Self { section, home, capabilities, .. } = self;
        let private = home.fixed_ranks();
        let program = match &section.owned.program {
            None if capabilities.shares_files => worker_program(),
            None => PathBuf::from(WORKER),
            Some(program) => program.clone(),
        };
        let count = section.owned.count;
        // Replicas of one host share its cores, unless each has its own.
        let threads = match section.cpus {
            None if !capabilities.supports_many_hosts => share_of_cores(count),
            Some(_) | None => 0,
        };
        let workers = Workers {
            name: home.name(),
            count,
            program,
            prefix: home.name(),
            authority: home.authority(),
            registry: &home.section.url()?,
            settings: &home.section.settings()?,
            ranks: if private { Ranks::OfReplica } else { Ranks::Free },
            listen: if private { "127.0.0.1:0" } else { "[::]:0" },
            threads,
            args: self.args(),
        };
        let mut spec = workers.bare_spec()?;
        spec.env.extend(section.owned.env.clone());
        spec.working_dir.clone_from(&self.working_dir);
        spec.resources.clone_from(&self.resources);
        let PlacementSection { pool, hosts, labels, image } = section.placement.clone();
        spec.placement = Placement { pool, hosts, labels, image };
        (spec.grace, spec.owner) = (GRACE, self.owner);
        Ok(match alone {
            None => LaunchSpec { files: workers.files(0..count)?, ..spec },
            Some(rank) => LaunchSpec { files: workers.files(rank..rank + 1)?, ..spec.alone(rank) },
        })
    }

    /// What an owned worker is told beyond what every launched one is.
    fn args(&self) -> Vec<String> {
        let Self { section, home, .. } = self;
        let mut args: Vec<String> = flags::owner(&home.owner(), section.owner_grace).into();
        match (&section.owned.devices[..], &section.gpus) {
            ([one], _) => args.extend(flags::device(one)),
            // A replica sees its own card as the first.
            ([], Some(_)) => args.extend(flags::device("cuda:0")),
            ([], None) | ([_, _, ..], _) => {}
        }
        args.extend(section.owned.args.iter().cloned());
        args
    }
}

/// What the config asks for.
fn resources(section: &LaunchedSection) -> Result<Resources, Error> {
    let invalid = |error| ConfigError::value("executor.gpus", error);
    let gpus = match &section.gpus {
        None => None,
        Some(GpuWish::Count(count)) => Some(Gpus::Count(*count)),
        Some(GpuWish::Devices(devices)) => Some(Gpus::Devices(devices.clone())),
        Some(GpuWish::Typed(text)) => Some(Gpus::Typed(text.parse().map_err(invalid)?)),
    };
    let memory = section.memory.map(|Size(bytes)| bytes);
    Ok(Resources { cpus: section.cpus, gpus, memory, ..Resources::default() })
}
