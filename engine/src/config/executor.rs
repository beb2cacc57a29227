//! `[executor]` as it is written: the keys of all backends. What each has a use for is told by
//! [`backend`](super::backend).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hearth_api::WorkerId;
use serde::Deserialize;

use super::ConfigError;
use super::size::Size;
use crate::known_as;

/// `[executor]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutorSection {
    /// The executor's name: `external`, `mp`, `launched`, or one that the program registered.
    #[serde(alias = "distributed_executor_backend")]
    pub backend: String,
    /// Ready workers without which the coordinator is not ready.
    pub min_workers: usize,
    /// How long a start waits for them, and then goes on with those that are there.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// `external`: the names of the workers to connect to; all of the registry's when empty.
    /// `mp`, `launched`: how many workers there are to be.
    #[serde(alias = "replicas")]
    pub workers: Workers,

    /// `mp`, `launched`: the worker program; `hearth-worker` beside this program, or on PATH, when
    /// empty.
    pub program: PathBuf,
    /// `mp`: the workers' config file.
    pub worker_config: PathBuf,
    /// `mp`, `launched`: further arguments of each worker.
    pub args: Vec<String>,
    /// `mp`, `launched`: further variables of each worker.
    pub env: BTreeMap<String, String>,
    /// `mp`, `launched`: the device of each rank, or one for all.
    pub devices: Vec<String>,
    /// `mp`, `launched`: the folder of the authority that issues the certificates of the workers and
    /// of their engine; a throw-away one when empty.
    pub authority: PathBuf,
    /// `mp`, `launched`: where the engine's private folder is made.
    pub runtime_dir: PathBuf,
    /// `mp`, `launched`: how long workers may take to register at the start.
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,

    /// `launched`: the launcher's name.
    pub launcher: String,
    /// `launched`: cores of each replica.
    pub cpus: Option<f64>,
    /// `launched`: graphics cards of each replica.
    #[serde(alias = "num_gpus", alias = "gpu")]
    pub gpus: Option<GpuWish>,
    /// `launched`: what the launcher `kubernetes` is told.
    pub kubernetes: KubernetesSection,
    /// `launched`: memory of each replica.
    pub memory: Option<Size>,
    /// `launched`: where replicas may run.
    pub placement: PlacementSection,
    /// `launched`: the programs of the launcher `command`.
    #[cfg(feature = "launchers")]
    pub command: Option<hearth_launchers::command::Config>,
    /// `launched`: how long replicas outlive their owner's registry key and connection.
    #[serde(with = "humantime_serde")]
    pub owner_grace: Duration,

    /// What an executor that the program registered is told.
    pub options: BTreeMap<String, serde_json::Value>,
}

/// Which workers, or how many.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a number of workers, or a list of their names")]
pub enum Workers {
    /// So many.
    Count(u32),
    /// Those of these names.
    Names(Vec<WorkerId>),
}

/// Graphics cards of each replica.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a number of graphics cards, a list of their ids, or their type, as in \"A100\" or \"H100:2\""
)]
pub enum GpuWish {
    /// So many each.
    Count(u32),
    /// These, dealt out by rank.
    Devices(Vec<String>),
    /// So many of a type each, where the launcher can choose: `"A100"`, `"H100:2"`.
    Typed(String),
}

/// `[executor.kubernetes]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesSection {
    /// The labels of the nodes that have graphics cards of a type, by the type.
    pub gpu_node_selector: BTreeMap<String, BTreeMap<String, String>>,
}

/// `[executor.placement]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementSection {
    /// Slurm's partition, Kubernetes' namespace, systemd's manager (`user`, `system`).
    pub pool: Option<String>,
    /// Hosts by name.
    pub hosts: Vec<String>,
    /// Labels that a host must have.
    pub labels: BTreeMap<String, String>,
    /// The container image.
    pub image: Option<String>,
}

impl Default for ExecutorSection {
    fn default() -> Self {
        Self {
            backend: "external".to_owned(),
            min_workers: 0,
            wait: Duration::from_secs(30),
            workers: Workers::Names(Vec::new()),
            program: PathBuf::new(),
            worker_config: PathBuf::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            devices: Vec::new(),
            authority: PathBuf::new(),
            runtime_dir: PathBuf::new(),
            start_timeout: Duration::from_secs(300),
            launcher: "process".to_owned(),
            cpus: None,
            gpus: None,
            kubernetes: KubernetesSection::default(),
            memory: None,
            placement: PlacementSection::default(),
            #[cfg(feature = "launchers")]
            command: None,
            owner_grace: Duration::from_secs(30),
            options: BTreeMap::new(),
        }
    }
}

impl ExecutorSection {
    /// Takes the names of workers from the variable that other executors read them from.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for what is no worker's name.
    pub fn take_names_of_environment(&mut self) -> Result<(), ConfigError> {
        self.take_names(&std::env::var(known_as::ACTOR_NAMES).unwrap_or_default())
    }

    /// Takes the workers' names from a text with commas, where the config names none.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for what is no worker's name.
    pub(super) fn take_names(&mut self, text: &str) -> Result<(), ConfigError> {
        if self.owns_workers() || self.workers != Workers::Names(Vec::new()) {
            return Ok(());
        }
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names = names.map(WorkerId::new).collect::<Result<_, _>>();
        self.workers = Workers::Names(names.map_err(|error| {
            ConfigError::value("executor.workers", format!("{}: {error}", known_as::ACTOR_NAMES))
        })?);
        Ok(())
    }

    /// Whether the workers are processes that the engine starts, and ends.
    #[must_use]
    pub fn owns_workers(&self) -> bool {
        matches!(known_as::backend(&self.backend), "mp" | "launched")
    }

    /// How many workers the engine is to own.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self.workers {
            Workers::Count(count) => count,
            Workers::Names(_) => 0,
        }
    }

    /// The workers to connect to; none for all.
    #[must_use]
    pub fn names(&self) -> Option<Vec<WorkerId>> {
        match &self.workers {
            Workers::Names(names) if !names.is_empty() => Some(names.clone()),
            Workers::Names(_) | Workers::Count(_) => None,
        }
    }
}
