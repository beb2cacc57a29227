//! The sections of `worker.toml`, with their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hearth_api::Group;
use hearth_daemon::probe::Listen;
use hearth_inference::blueprint::folder::VaeTiling;
use serde::Deserialize;

use super::{Advertise, MaxBatch, RankSetting};

/// `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSection {
    /// The stable name; `{hostname}` and `{port}` are filled in.
    pub id: String,
    /// The group it serves in.
    pub group: Group,
    /// `auto`, or a number.
    pub rank: RankSetting,
    /// `cpu` or `cuda:I`.
    pub device: String,
    /// UDP address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address that others reach it under; `auto` takes the host's own.
    pub advertise: Advertise,
    /// What must survive a restart.
    pub state_dir: PathBuf,
    /// Folders that `load_model` may load models from; none allows configured models only.
    pub model_dirs: Vec<PathBuf>,
    /// Folders that links in models' folders may lead to.
    pub allow_links_to: Vec<PathBuf>,
    /// Requests that run at once, each with steps of its own.
    pub slots: u32,
    /// Requests that share a slot and its steps: `auto`, or at most so many.
    pub max_batch: MaxBatch,
    /// Requests that may wait.
    pub queue: u32,
    /// Time that a drain at the end may take.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Time that one run of a graph may take before the worker counts as hung.
    #[serde(with = "humantime_serde")]
    pub step_timeout: Duration,
    /// Time that a queued request waits for a caller whose connection was lost.
    #[serde(with = "humantime_serde")]
    pub orphan_grace: Duration,
    /// The name of the engine that the worker belongs to; empty for nobody.
    pub owner: String,
    /// Time that the worker outlives its owner's registry key and connection.
    #[serde(with = "humantime_serde")]
    pub owner_grace: Duration,
}

/// `[models.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// The model's folder.
    pub path: PathBuf,
    /// Other names that requests may use.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Load at start, not at the first request.
    #[serde(default = "yes")]
    pub preload: bool,
    /// How its VAE cuts large pictures; what isn't given is as the folder's `hearth.json` says.
    #[serde(default)]
    pub vae_tiling: VaeTiling,
}

fn yes() -> bool {
    true
}

/// `[http]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// TCP address of `/live`, `/ready` and `/metrics`; `off` for none.
    pub listen: Listen,
}

/// `[runtime]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSection {
    /// `libonnxruntime.so`, or `auto`.
    pub library: String,
    /// Compute threads; 0 for one per physical core that the process may use.
    pub threads: usize,
}

impl Default for WorkerSection {
    fn default() -> Self {
        Self {
            id: "{hostname}-{port}".to_owned(),
            group: Group::default(),
            rank: RankSetting::Auto,
            device: "cpu".to_owned(),
            listen: SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 7420)),
            advertise: Advertise::Auto,
            state_dir: PathBuf::from("/var/lib/hearth"),
            model_dirs: Vec::new(),
            allow_links_to: Vec::new(),
            slots: 1,
            max_batch: MaxBatch::Auto,
            queue: 16,
            drain_timeout: Duration::from_secs(600),
            step_timeout: Duration::from_secs(300),
            orphan_grace: Duration::from_secs(30),
            owner: String::new(),
            owner_grace: Duration::from_secs(30),
        }
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        Self { listen: Listen::At(SocketAddr::from(([127, 0, 0, 1], 7430))) }
    }
}

impl Default for RuntimeSection {
    fn default() -> Self {
        Self { library: "auto".to_owned(), threads: 0 }
    }
}
