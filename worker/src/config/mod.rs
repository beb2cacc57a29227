//! The worker's config: defaults, then the file, then the environment, then flags.

mod sections;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

pub use hearth_base::config::Error as ConfigError;
pub use hearth_fabric::config::{RegistrySection, TlsSection};

use hearth_api::{OwnerId, WorkerId};
use hearth_base::config;
use hearth_fabric::registry::RegistryUrl;
use hearth_telemetry::log::LogSettings;
use serde::{Deserialize, Serialize};

pub use sections::{HttpSection, ModelSection, RuntimeSection, WorkerSection};
pub use values::{Advertise, MaxBatch, RankSetting};

/// All that a worker is told at its start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the worker is and what it takes on.
    pub worker: WorkerSection,
    /// The models, by the name that requests use.
    pub models: BTreeMap<String, ModelSection>,
    /// Where it announces itself.
    pub registry: RegistrySection,
    /// Its certificate.
    pub tls: TlsSection,
    /// Its probe.
    pub http: HttpSection,
    /// ONNX Runtime.
    pub runtime: RuntimeSection,
    /// Its log.
    pub log: LogSettings,
}

/// What the command line sets.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overrides {
    /// `[worker]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub worker: BTreeMap<&'static str, String>,
    /// `[registry]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registry: BTreeMap<&'static str, String>,
    /// `[http]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub http: BTreeMap<&'static str, String>,
    /// `[tls]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tls: BTreeMap<&'static str, String>,
    /// `[models.NAME]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, BTreeMap<&'static str, String>>,
}

const SECTIONS: [&str; 7] = ["worker", "models", "registry", "tls", "http", "runtime", "log"];

impl Config {
    /// Reads the config: the defaults, the file, variables such as `HEARTH_WORKER__LISTEN`, and
    /// the command line, each over the one before.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the key.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let config: Self = config::load(file, &SECTIONS, overrides)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !(1..=64).contains(&self.worker.slots) {
            return Err(ConfigError::value("worker.slots", "give 1 to 64"));
        }
        if self.worker.queue > 4096 {
            return Err(ConfigError::value("worker.queue", "give at most 4096"));
        }
        if self.models.is_empty() {
            let reason = "none is named: add [models.NAME] with path = \"DIR\"";
            return Err(ConfigError::value("models", reason));
        }
        let mut names: Vec<&String> = Vec::new();
        for (name, model) in &self.models {
            let bad = |error| ConfigError::value("models", format!("{name}.vae_tiling.{error}"));
            model.vae_tiling.check().map_err(bad)?;
            names.push(name);
            names.extend(&model.aliases);
        }
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = format!("two models are called {:?}", twice[0]);
            return Err(ConfigError::value("models", reason));
        }
        hearth_inference::session::Device::parse(&self.worker.device)
            .map_err(|error| ConfigError::value("worker.device", error))?;
        self.owner()?;
        // A free port is any.
        self.worker_id(self.worker.listen.port().max(1))?;
        self.log.check().map_err(|error| ConfigError::value("log", error))?;
        self.registry_url().map(drop)
    }

    /// Where the worker announces itself, with the group of `[worker]`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a URL that no registry has.
    pub fn registry_url(&self) -> Result<RegistryUrl, ConfigError> {
        let url = self.registry.url()?.in_group(&self.worker.group);
        url.map_err(|error| ConfigError::value("registry.url", error))
    }

    /// The engine that the worker belongs to; none for nobody.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a name with characters that names don't have.
    pub fn owner(&self) -> Result<Option<OwnerId>, ConfigError> {
        let name = &self.worker.owner;
        if name.is_empty() {
            return Ok(None);
        }
        let owner = OwnerId::new(name.as_str());
        owner.map(Some).map_err(|error| ConfigError::value("worker.owner", error))
    }

    /// The worker's name for the port that it listens on.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a name with characters that ids don't have.
    pub fn worker_id(&self, port: u16) -> Result<WorkerId, ConfigError> {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let id = self.worker.id.replace("{hostname}", &host).replace("{port}", &port.to_string());
        WorkerId::new(id).map_err(|error| ConfigError::value("worker.id", error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hearth_api::Rank;
    use hearth_daemon::probe::Listen;

    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), &Overrides::default())
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load("[worker]\nslotz = 2\n[models.a]\npath = \"/m\"\n").unwrap_err();
        assert!(error.to_string().contains("slotz"), "{error}");
    }

    #[test]
    fn values_are_read_in_their_forms() {
        let config = load(
            "[worker]\nrank = 3\nadvertise = \"10.0.0.1\"\ndrain_timeout = \"1m 30s\"\n\
             [http]\nlisten = \"off\"\n[models.a]\npath = \"/m\"\n",
        )
        .unwrap();
        assert_eq!(config.worker.rank, RankSetting::Fixed(Rank(3)));
        assert_eq!(config.worker.advertise, Advertise::Ip("10.0.0.1".parse().unwrap()));
        assert_eq!(config.worker.drain_timeout, Duration::from_secs(90));
        assert_eq!(config.http.listen, Listen::Off);
        assert!(config.models["a"].preload);
    }

    #[test]
    fn mistakes_have_a_remedy() {
        for (text, part) in [
            ("", "[models.NAME]"),
            (
                "[worker]\nlisten = \"here\"\n",
                "worker.toml: \"here\": give an IP address and a port",
            ),
            ("[worker]\nlisten = 7420\n", "7420: give an IP address and a port"),
            ("[worker]\nslots = \"two\"\n", "\"two\": give a whole number"),
            ("[worker]\nslots = -1\n", "-1: give a whole number, 0 or more"),
            ("[worker]\ndrain_timeout = 10\n", "10: give a time with its unit"),
            ("[worker]\nmodel_dirs = \"/m\"\n", "\"/m\": give a list"),
            ("[worker]\nslotz = 2\n", "worker.slotz"),
            ("[worker]\nslotz = 2\n", "known are id, group"),
            ("[log]\nformat = \"xml\"\n", "\"xml\" is not known: give auto, text, json"),
            ("[models.a]\npath = \"/m\"\npreload = \"no\"\n", "\"no\": give true or false"),
            ("[models.a]\n", "path is missing"),
            ("[models.a]\npath = \"/m\"\n[worker]\nid = \"a b\"\n", "worker.id"),
            ("[models.a]\npath = \"/m\"\naliases = [\"a\"]\n", "two models"),
            ("[models.a]\npath = \"/m\"\n[worker]\ndevice = \"tpu\"\n", "cuda"),
            ("[models.a]\npath = \"/m\"\n[registry]\nurl = \"zk://x\"\n", "etcd"),
            ("[models.a]\npath = \"/m\"\n[worker]\nslots = 0\n", "slots"),
            ("[worker]\nmax_batch = 0\n", "max_batch 0: give \"auto\" or 1 to 64"),
            ("[worker]\nmax_batch = \"many\"\n", "max_batch \"many\": give \"auto\" or 1 to 64"),
            ("[models.a]\npath = \"/m\"\n[log]\nlevel = \"inof\"\n", "log.level"),
            (
                "[models.a]\npath = \"/m\"\n[models.a.vae_tiling]\noverlap = 2.0\n",
                "a.vae_tiling.overlap 2: give a share above 0, up to 0.5",
            ),
            (
                "[models.a]\npath = \"/m\"\nvae_tiling = {above = \"large\"}\n",
                "above \"large\": give WIDTHxHEIGHT, or \"off\"",
            ),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_id_is_filled_in() {
        let config = load("[worker]\nid = \"w-{port}\"\n[models.a]\npath = \"/m\"\n").unwrap();
        assert_eq!(config.worker_id(7).unwrap().as_str(), "w-7");
    }
}
