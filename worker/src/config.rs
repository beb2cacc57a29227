//! The worker's config: defaults, then the file, then the environment, then flags.

mod sections;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use hearth_fabric::registry::{RegistryUrl, Settings as RegistrySettings};
use hearth_protocol::WorkerId;
use hearth_telemetry::log::LogSettings;
use serde::{Deserialize, Serialize};

pub use sections::{
    HttpSection, ModelSection, RegistrySection, RuntimeSection, TlsSection, WorkerSection,
};
pub use values::{Advertise, Listen, RankSetting};

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

/// Why a config can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path} can't be read")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A key or value is wrong.
    #[error("{0}")]
    Key(Box<figment::Error>),
    /// A value breaks a rule.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

const SECTIONS: [&str; 7] = ["worker", "models", "registry", "tls", "http", "runtime", "log"];

impl Config {
    /// Reads the config: the defaults, the file, variables such as `HEARTH_WORKER__LISTEN`, and
    /// the command line, each over the one before.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the key.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
            figment = figment.merge(Toml::string(&text));
        }
        let ours = |key: &str| {
            let section = key.split_once("__").map(|(section, _)| section.to_ascii_lowercase());
            section.is_some_and(|section| SECTIONS.contains(&section.as_str()))
        };
        let environment = Env::prefixed("HEARTH_").filter(move |key| ours(key.as_str()));
        let config: Self = figment
            .merge(environment.split("__"))
            .merge(Serialized::defaults(overrides))
            .extract()
            .map_err(|error| ConfigError::Key(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.to_owned() });
        if self.worker.slots == 0 || self.worker.slots > 64 {
            return wrong("worker.slots", "give 1 to 64");
        }
        if self.worker.queue > 4096 {
            return wrong("worker.queue", "give at most 4096");
        }
        if self.models.is_empty() {
            return wrong("models", "none is named: add [models.NAME] with path = \"DIR\"");
        }
        let mut names: Vec<&String> = Vec::new();
        for (name, model) in &self.models {
            names.push(name);
            names.extend(&model.aliases);
        }
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong("models", &format!("two models are called {:?}", twice[0]));
        }
        hearth_inference::session::Device::parse(&self.worker.device).map_err(|error| {
            ConfigError::Value { key: "worker.device", reason: error.to_string() }
        })?;
        self.registry_url()?;
        Ok(())
    }

    /// Where the worker announces itself, with the group of `[worker]`.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a URL that no registry has.
    pub fn registry_url(&self) -> Result<RegistryUrl, ConfigError> {
        RegistryUrl::parse(&self.registry.url)
            .and_then(|url| url.in_group(&self.worker.group))
            .map_err(|error| ConfigError::Value { key: "registry.url", reason: error.to_string() })
    }

    /// How the registry is reached.
    ///
    /// # Errors
    /// [`ConfigError::File`] for a password file that can't be read.
    pub fn registry_settings(&self) -> Result<RegistrySettings, ConfigError> {
        let section = &self.registry;
        let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
        let password = match path(&section.password_file) {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text.trim_end_matches('\n').to_owned()),
                Err(source) => return Err(ConfigError::File { path, source }),
            },
        };
        Ok(RegistrySettings {
            cacert: path(&section.cacert),
            cert: path(&section.cert),
            key: path(&section.key),
            user: (!section.user.is_empty()).then(|| section.user.clone()),
            password,
            ttl: section.ttl,
        })
    }

    /// The worker's name for the port that it listens on.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a name with characters that ids don't have.
    pub fn worker_id(&self, port: u16) -> Result<WorkerId, ConfigError> {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let id = self.worker.id.replace("{hostname}", &host).replace("{port}", &port.to_string());
        WorkerId::new(id)
            .map_err(|error| ConfigError::Value { key: "worker.id", reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hearth_protocol::Rank;

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
            ("[models.a]\npath = \"/m\"\naliases = [\"a\"]\n", "two models"),
            ("[models.a]\npath = \"/m\"\n[worker]\ndevice = \"tpu\"\n", "cuda"),
            ("[models.a]\npath = \"/m\"\n[registry]\nurl = \"zk://x\"\n", "etcd"),
            ("[models.a]\npath = \"/m\"\n[worker]\nslots = 0\n", "slots"),
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
