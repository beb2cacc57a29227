//! What is launched: the worker program with its certificate, registry and owner.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_fabric::identity::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use hearth_launchers::{Files, Gpus, LaunchSpec, Launcher, Owner, Placement, Resources};

use super::super::owned::Home;
use crate::config::{ExecutorSection, GpuWish, PlacementSection, Size};
use crate::executors::Error;

/// Time that a replica has to leave in good order: the engine has ended its requests before.
const GRACE: Duration = Duration::from_secs(3);

/// The launcher that deals out graphics cards by itself, from the first one on.
const PROCESS: &str = "process";
const KUBERNETES: &str = "kubernetes";

/// Makes the specs of an engine's replicas.
pub(super) struct Plan {
    section: ExecutorSection,
    home: Arc<Home>,
    owner: Owner,
    launcher: &'static str,
    /// Where replicas run; none for the launcher's choice.
    working_dir: Option<PathBuf>,
}

impl Plan {
    /// Checks what a launch would not: replicas on other hosts need a registry that they reach.
    pub(super) fn new(
        section: &ExecutorSection,
        home: Arc<Home>,
        launcher: &dyn Launcher,
    ) -> Result<Self, Error> {
        let capabilities = launcher.capabilities();
        if capabilities.supports_many_hosts && home.fixed_ranks() {
            return Err(Error::PrivateRegistry { launcher: launcher.name() });
        }
        let owner = if capabilities.supports_owner { Owner::Caller } else { Owner::Nobody };
        let working_dir = match launcher.name() {
            KUBERNETES => None,
            _ => std::env::current_dir().ok(),
        };
        let (section, launcher) = (section.clone(), launcher.name());
        Ok(Self { section, home, owner, launcher, working_dir })
    }

    /// All replicas.
    pub(super) fn all(&self) -> Result<LaunchSpec, Error> {
        let ranks = 0..self.section.count();
        let files = ranks.map(|rank| self.files(rank)).collect::<Result<_, _>>()?;
        let gpus = self.section.gpus.as_ref().map(|wish| match wish {
            GpuWish::Count(count) => Gpus::Count(*count),
            GpuWish::Devices(devices) => Gpus::Devices(devices.clone()),
        });
        self.spec(None, self.section.count(), files, gpus)
    }

    /// One replica in place of one that has ended.
    pub(super) fn one(&self, rank: u32) -> Result<LaunchSpec, Error> {
        let (place, count) = (rank as usize, self.section.count() as usize);
        let gpus = self.section.gpus.as_ref().map(|wish| match wish {
            // Alone it would be given the first ones.
            GpuWish::Count(each) if self.launcher == PROCESS => {
                Gpus::Devices((rank * each..(rank + 1) * each).map(|i| i.to_string()).collect())
            }
            GpuWish::Count(each) => Gpus::Count(*each),
            GpuWish::Devices(devices) => {
                let each = devices.len() / count.max(1);
                Gpus::Devices(devices.iter().skip(place * each).take(each).cloned().collect())
            }
        });
        self.spec(Some(rank), 1, vec![self.files(rank)?], gpus)
    }

    fn spec(
        &self,
        rank: Option<u32>,
        replicas: u32,
        files: Vec<Files>,
        gpus: Option<Gpus>,
    ) -> Result<LaunchSpec, Error> {
        let Self { section, home, .. } = self;
        let program = match section.program.as_os_str().is_empty() {
            true if self.launcher == KUBERNETES => PathBuf::from(crate::executors::WORKER),
            true => crate::executors::worker_program(),
            false => section.program.clone(),
        };
        let mut spec = LaunchSpec::new(home.name(), replicas, program);
        // Launched alone, a replica's own rank is 0.
        let own = |text: String| match rank {
            Some(rank) => text.replace("{rank}", &rank.to_string()),
            None => text,
        };
        spec.args = self.args().into_iter().map(own).collect();
        spec.env = home.registry_variables().into_iter().collect();
        spec.env.extend(section.env.iter().map(|(key, value)| (key.clone(), own(value.clone()))));
        spec.working_dir.clone_from(&self.working_dir);
        let memory = section.memory.map(|Size(bytes)| bytes);
        spec.resources = Resources { cpus: section.cpus, gpus, memory };
        let PlacementSection { pool, hosts, labels, image } = section.placement.clone();
        spec.placement = Placement { pool, hosts, labels, image };
        (spec.grace, spec.owner, spec.files) = (GRACE, self.owner, files);
        Ok(spec)
    }

    fn args(&self) -> Vec<String> {
        let Self { section, home, .. } = self;
        let private = home.fixed_ranks();
        let listen = if private { "127.0.0.1:0" } else { "[::]:0" };
        let state = if self.launcher == KUBERNETES { "/tmp/hearth" } else { "{folder}/state" };
        let device = match (&section.devices[..], &section.gpus) {
            ([one], _) => Some(one.clone()),
            // A replica sees its own card as the first.
            ([], Some(_)) => Some("cuda:0".to_owned()),
            _ => None,
        };
        let grace = humantime::format_duration(section.owner_grace).to_string();
        let owner = home.identity.get().id.name().to_owned();
        let pairs = [
            ("--id", Some(format!("{}-{{rank}}", home.name()))),
            ("--rank", Some(if private { "{rank}" } else { "auto" }.to_owned())),
            ("--listen", Some(listen.to_owned())),
            ("--http", Some("off".to_owned())),
            ("--registry", Some(home.section.url.clone())),
            ("--pki", Some("{files}".to_owned())),
            ("--state-dir", Some(state.to_owned())),
            ("--owner", Some(owner)),
            ("--owner-grace", Some(grace)),
            ("--device", device),
        ];
        let pairs = pairs.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
        pairs.flatten().chain(section.args.iter().cloned()).collect()
    }

    fn files(&self, rank: u32) -> Result<Files, Error> {
        let issued = self.home.issue(rank)?;
        Ok(Files::from([
            (CA_FILE.to_owned(), issued.ca_pem.into_bytes()),
            (CERTIFICATE_FILE.to_owned(), issued.cert_pem.into_bytes()),
            (KEY_FILE.to_owned(), issued.key_pem.into_bytes()),
        ]))
    }
}
