//! Methods that change which models a worker holds in memory.

use serde::{Deserialize, Serialize};

use super::ModelInfo;
use crate::record::WorkerState;

/// The arguments of `load_model`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadModelArgs {
    /// The name that requests use: a configured one, or a new one with `path`.
    pub name: String,
    /// The model's folder on the worker's host, beneath one of its `worker.model_dirs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Other names that requests may use; only with `path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// The value of `load_model`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadModelValue {
    /// The model as it is now.
    pub model: ModelInfo,
    /// Whether this call has loaded it; false where it was in memory already.
    pub loaded: bool,
    /// Milliseconds that it took.
    pub took_ms: f64,
}

/// The arguments of `unload_model`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnloadModelArgs {
    /// The model's name.
    pub name: String,
}

/// The value of `unload_model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloadModelValue {
    /// Whether this call has taken it out of memory; false where it was not there.
    pub unloaded: bool,
    /// Resident memory of the process that was given back, in bytes.
    pub freed_bytes: u64,
    /// Bytes of weights that left the device's own memory; 0 on the processor.
    pub device_bytes: u64,
}

/// The arguments of `sleep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SleepArgs {
    /// 1 gives the models' memory back; 2 the system's cache of their files as well.
    #[serde(default = "one")]
    pub level: u8,
    /// Answer once the worker sleeps. Otherwise at once, if requests are still under way.
    #[serde(default = "yes")]
    pub wait: bool,
}

/// The value of `sleep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleepValue {
    /// The worker's state after the call.
    pub state: WorkerState,
    /// How deep it sleeps; none while it finishes what it has accepted.
    pub level: Option<u8>,
    /// Resident memory of the process that was given back, in bytes.
    pub freed_bytes: u64,
    /// Bytes of weights that left the device's own memory; 0 on the processor.
    pub device_bytes: u64,
    /// Requests that still run.
    pub running: u32,
    /// Requests that still wait.
    pub queued: u32,
}

/// The arguments of `wake_up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WakeArgs {
    /// Answer once the models are there. Otherwise at once.
    #[serde(default = "yes")]
    pub wait: bool,
}

/// The value of `wake_up`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WakeValue {
    /// The worker's state after the call.
    pub state: WorkerState,
    /// The models that were loaded again.
    pub models: Vec<String>,
    /// Milliseconds that it took.
    pub took_ms: f64,
}

fn one() -> u8 {
    1
}

fn yes() -> bool {
    true
}
