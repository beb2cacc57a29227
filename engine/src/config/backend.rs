//! `[executor]` by its backend: what each of them is told, and nothing of the others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hearth_api::WorkerId;

use super::ConfigError;
use super::executor::{ExecutorSection, GpuWish, KubernetesSection, PlacementSection, Workers};
use super::size::Size;
use crate::known_as;

/// An executor, with what it is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ExecutorBackend {
    /// `external`: connects to workers that are there.
    External(ExternalSection),
    /// `mp`: owns processes on its host.
    Mp(MpSection),
    /// `launched`: owns replicas of a launcher.
    Launched(Box<LaunchedSection>),
    /// One that the program registered.
    Custom(CustomSection),
}

/// What `external` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExternalSection {
    /// The workers to connect to; none for all of the registry's.
    pub workers: Option<Vec<WorkerId>>,
}

/// What an executor that owns its workers is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedSection {
    /// How many workers there are to be.
    pub count: u32,
    /// The worker program; none for the one that was installed with this program.
    pub program: Option<PathBuf>,
    /// Further arguments of each worker.
    pub args: Vec<String>,
    /// Further variables of each worker.
    pub env: BTreeMap<String, String>,
    /// The device of each rank, or one for all.
    pub devices: Vec<String>,
    /// The folder of the authority that issues the certificates; none for a throw-away one.
    pub authority: Option<PathBuf>,
    /// Where the engine's private folder is made; none for the system's temporary folder.
    pub runtime_dir: Option<PathBuf>,
    /// How long workers may take to register at the start.
    pub start_timeout: Duration,
}

/// What `mp` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MpSection {
    /// Its workers.
    pub owned: OwnedSection,
    /// The workers' config file.
    pub worker_config: Option<PathBuf>,
}

/// What `launched` is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LaunchedSection {
    /// Its workers.
    pub owned: OwnedSection,
    /// The launcher's name.
    pub launcher: String,
    /// Cores of each replica.
    pub cpus: Option<f64>,
    /// Graphics cards of each replica.
    pub gpus: Option<GpuWish>,
    /// What the launcher `kubernetes` is told.
    pub kubernetes: KubernetesSection,
    /// Memory of each replica.
    pub memory: Option<Size>,
    /// Where replicas may run.
    pub placement: PlacementSection,
    /// The programs of the launcher `command`.
    #[cfg(feature = "launchers")]
    pub command: Option<hearth_launchers::command::Config>,
    /// How long replicas outlive their owner's registry key and connection.
    pub owner_grace: Duration,
}

/// What an executor that the program registered is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CustomSection {
    /// Its name.
    pub name: String,
    /// `executor.options`. It may read all other keys as well.
    pub options: BTreeMap<String, serde_json::Value>,
}

/// Which backends have a use for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsedBy {
    Owning,
    Mp,
    Launched,
    Custom,
}

/// Most workers that one engine owns.
const MAX_OWNED: u32 = 4096;

impl ExecutorSection {
    /// The executor that the section names, with what it is told. A key that it would pass over is
    /// an error.
    ///
    /// # Errors
    /// [`ConfigError::Value`] names the key, the value and what would be right.
    pub fn resolve(&self) -> Result<ExecutorBackend, ConfigError> {
        let backend = match known_as::backend(&self.backend) {
            "external" => ExecutorBackend::External(ExternalSection { workers: self.names() }),
            "mp" => ExecutorBackend::Mp(self.mp()),
            "launched" => ExecutorBackend::Launched(Box::new(self.launched())),
            name => ExecutorBackend::Custom(CustomSection {
                name: name.to_owned(),
                options: self.options.clone(),
            }),
        };
        self.check_unused(&backend)?;
        self.check_workers(&backend)?;
        match &backend {
            ExecutorBackend::External(_) | ExecutorBackend::Custom(_) => {}
            ExecutorBackend::Mp(MpSection { owned, .. }) => {
                check_devices(owned)?;
                self.check_start(owned)?;
            }
            ExecutorBackend::Launched(launched) => {
                let owned = &launched.owned;
                check_devices(owned)?;
                if owned.devices.len() > 1 {
                    let reason =
                        "replicas of a launcher have one device: give gpus, or one device for all";
                    return Err(ConfigError::value("executor.devices", reason));
                }
                self.check_start(owned)?;
                self.check_launcher()?;
                self.check_cards()?;
            }
        }
        Ok(backend)
    }

    /// Checks the keys against the backend.
    ///
    /// # Errors
    /// As [`ExecutorSection::resolve`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.resolve().map(drop)
    }

    /// The keys of `mp`, whatever the backend is called: a registered one may be made of it.
    pub(crate) fn mp(&self) -> MpSection {
        MpSection { owned: self.owned(), worker_config: path(&self.worker_config) }
    }

    /// The keys of `launched`, likewise.
    pub(crate) fn launched(&self) -> LaunchedSection {
        LaunchedSection {
            owned: self.owned(),
            launcher: self.launcher.clone(),
            cpus: self.cpus,
            gpus: self.gpus.clone(),
            kubernetes: self.kubernetes.clone(),
            memory: self.memory,
            placement: self.placement.clone(),
            #[cfg(feature = "launchers")]
            command: self.command.clone(),
            owner_grace: self.owner_grace,
        }
    }

    fn owned(&self) -> OwnedSection {
        OwnedSection {
            count: self.count(),
            program: path(&self.program),
            args: self.args.clone(),
            env: self.env.clone(),
            devices: self.devices.clone(),
            authority: path(&self.authority),
            runtime_dir: path(&self.runtime_dir),
            start_timeout: self.start_timeout,
        }
    }

    fn check_unused(&self, backend: &ExecutorBackend) -> Result<(), ConfigError> {
        let is_used = |by: UsedBy| match backend {
            ExecutorBackend::External(_) => false,
            ExecutorBackend::Mp(_) => matches!(by, UsedBy::Owning | UsedBy::Mp),
            ExecutorBackend::Launched(_) => matches!(by, UsedBy::Owning | UsedBy::Launched),
            ExecutorBackend::Custom(_) => true,
        };
        for (by, key, given) in self.given() {
            if given && !is_used(by) {
                let reason =
                    format!("the backend {:?} makes no use of it: remove it", self.backend);
                return Err(ConfigError::value(key, reason));
            }
        }
        Ok(())
    }

    /// The keys that not all backends use, and whether each says something else than its default.
    fn given(&self) -> impl Iterator<Item = (UsedBy, &'static str, bool)> {
        use UsedBy as By;
        let plain = Self::default();
        [
            (By::Owning, "executor.program", self.program != plain.program),
            (By::Mp, "executor.worker_config", self.worker_config != plain.worker_config),
            (By::Owning, "executor.args", self.args != plain.args),
            (By::Owning, "executor.env", self.env != plain.env),
            (By::Owning, "executor.devices", self.devices != plain.devices),
            (By::Owning, "executor.authority", self.authority != plain.authority),
            (By::Owning, "executor.runtime_dir", self.runtime_dir != plain.runtime_dir),
            (By::Owning, "executor.start_timeout", self.start_timeout != plain.start_timeout),
            (By::Launched, "executor.launcher", self.launcher != plain.launcher),
            (By::Launched, "executor.cpus", self.cpus != plain.cpus),
            (By::Launched, "executor.gpus", self.gpus != plain.gpus),
            (By::Launched, "executor.kubernetes", self.kubernetes != plain.kubernetes),
            (By::Launched, "executor.memory", self.memory != plain.memory),
            (By::Launched, "executor.placement", self.placement != plain.placement),
            (By::Launched, "executor.command", self.has_programs()),
            (By::Launched, "executor.owner_grace", self.owner_grace != plain.owner_grace),
            (By::Custom, "executor.options", self.options != plain.options),
        ]
        .into_iter()
    }

    fn check_workers(&self, backend: &ExecutorBackend) -> Result<(), ConfigError> {
        let refuse = |reason: String| Err(ConfigError::value("executor.workers", reason));
        match (backend, &self.workers) {
            (ExecutorBackend::External(_), Workers::Count(_)) => refuse(
                "\"external\" connects to workers that are there: name them, as in \
                 [\"w0\", \"w1\"], or leave it out for all (min_workers says how many to wait for)"
                    .to_owned(),
            ),
            (ExecutorBackend::Mp(_) | ExecutorBackend::Launched(_), Workers::Names(_)) => {
                refuse(format!("{:?} starts workers: say how many, as in 2", self.backend))
            }
            (ExecutorBackend::Mp(_) | ExecutorBackend::Launched(_), Workers::Count(count))
                if !(1..=MAX_OWNED).contains(count) =>
            {
                refuse(format!("{count}: give 1 to {MAX_OWNED}"))
            }
            (ExecutorBackend::Mp(_) | ExecutorBackend::Launched(_), Workers::Count(_))
            | (ExecutorBackend::External(_), Workers::Names(_))
            | (ExecutorBackend::Custom(_), _) => Ok(()),
        }
    }

    /// What one launcher alone is told.
    fn check_launcher(&self) -> Result<(), ConfigError> {
        let told = [
            ("executor.kubernetes", "kubernetes", self.kubernetes != KubernetesSection::default()),
            ("executor.command", "command", self.has_programs()),
        ];
        for (key, launcher, given) in told {
            if given && self.launcher != launcher {
                let reason = format!(
                    "the launcher {:?} makes no use of it: remove it, or set executor.launcher = \
                     {launcher:?}",
                    self.launcher
                );
                return Err(ConfigError::value(key, reason));
            }
        }
        Ok(())
    }

    /// Whether the programs of the launcher `command` are named.
    fn has_programs(&self) -> bool {
        #[cfg(feature = "launchers")]
        let named = self.command.is_some();
        #[cfg(not(feature = "launchers"))]
        let named = false;
        named
    }

    /// A type of cards is read by the launchers; a wrong one is told before anything starts.
    fn check_cards(&self) -> Result<(), ConfigError> {
        #[cfg(feature = "launchers")]
        if let Some(GpuWish::Typed(text)) = &self.gpus {
            let parsed: Result<hearth_launchers::GpuType, _> = text.parse();
            parsed.map_err(|error| ConfigError::value("executor.gpus", error))?;
        }
        Ok(())
    }

    fn check_start(&self, owned: &OwnedSection) -> Result<(), ConfigError> {
        let count = owned.count as usize;
        if self.min_workers > count {
            let reason = format!("{} of {count} workers: give at most as many", self.min_workers);
            return Err(ConfigError::value("executor.min_workers", reason));
        }
        if owned.start_timeout.is_zero() {
            return Err(ConfigError::value("executor.start_timeout", "0s: give a time, as in 5m"));
        }
        Ok(())
    }
}

fn check_devices(owned: &OwnedSection) -> Result<(), ConfigError> {
    let (devices, count) = (owned.devices.len(), owned.count as usize);
    if devices > 1 && devices != count {
        let reason = format!("{devices} devices for {count} workers: name one each, or one");
        return Err(ConfigError::value("executor.devices", reason));
    }
    Ok(())
}

/// A path that was given.
fn path(path: &std::path::Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}
