//! The config files of a local fleet's daemons.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::install::Model;
use crate::exit::Failure;

/// `worker.toml`.
#[derive(Debug, Serialize)]
pub(super) struct WorkerConfig<'a> {
    pub(super) worker: Worker<'a>,
    pub(super) models: BTreeMap<&'a str, ModelEntry<'a>>,
    pub(super) registry: Registry<'a>,
    pub(super) tls: Tls,
    pub(super) http: Listen,
    pub(super) runtime: Runtime,
    pub(super) log: Log,
}

#[derive(Debug, Serialize)]
pub(super) struct Worker<'a> {
    pub(super) id: &'a str,
    pub(super) rank: u32,
    pub(super) device: &'a str,
    pub(super) listen: &'static str,
    pub(super) state_dir: PathBuf,
    pub(super) drain_timeout: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ModelEntry<'a> {
    path: &'a Path,
    preload: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Registry<'a> {
    pub(super) url: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Tls {
    pub(super) dir: PathBuf,
}

#[derive(Debug, Serialize)]
pub(super) struct Listen {
    listen: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Runtime {
    library: &'static str,
    threads: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Log {
    level: &'static str,
    format: &'static str,
}

/// `coordinator.toml`.
#[derive(Debug, Serialize)]
pub(super) struct CoordinatorConfig<'a> {
    pub(super) executor: Executor,
    pub(super) http: Listen,
    pub(super) registry: Registry<'a>,
    pub(super) tls: Tls,
    pub(super) log: Log,
}

#[derive(Debug, Serialize)]
pub(super) struct Executor {
    pub(super) backend: &'static str,
}

impl Listen {
    pub(super) fn off() -> Self {
        Self { listen: "off".to_owned() }
    }

    pub(super) fn on(address: SocketAddr) -> Self {
        Self { listen: address.to_string() }
    }
}

impl Runtime {
    /// Workers on one host share its cores.
    pub(super) fn shared(cores: usize, workers: u32) -> Self {
        let threads = match workers {
            1 => 0,
            many => (cores / many as usize).max(1),
        };
        Self { library: "auto", threads }
    }
}

impl Log {
    /// Text, for people read it when a daemon failed.
    pub(super) fn text() -> Self {
        Self { level: "info", format: "text" }
    }
}

pub(super) fn models(models: &[Model]) -> BTreeMap<&str, ModelEntry<'_>> {
    let mut entries = BTreeMap::new();
    for model in models {
        entries.insert(model.name.as_str(), ModelEntry { path: &model.dir, preload: true });
    }
    entries
}

pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Writes a config file.
pub(super) fn write(path: &Path, config: &impl Serialize) -> Result<(), Failure> {
    let text = toml::to_string(config).map_err(anyhow::Error::from)?;
    std::fs::write(path, text).map_err(|error| {
        Failure::failed(format!("{} can't be written", path.display())).caused_by(Some(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared() {
        assert_eq!(Runtime::shared(8, 1).threads, 0, "0 is the worker's own choice");
        assert_eq!(Runtime::shared(8, 3).threads, 2);
        assert_eq!(Runtime::shared(2, 8).threads, 1);
    }
}
