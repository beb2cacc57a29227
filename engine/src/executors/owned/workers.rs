//! How a set of Hearth workers becomes a launch: flags, and each rank's certificate as a file.
//!
//! Workers listen on a free port and announce themselves; who they are (id, certificate) is fixed
//! here, before they start.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_fabric::identity::{self, Authority, CA_FILE, CERTIFICATE_FILE, KEY_FILE};
use hearth_fabric::registry::{RegistryUrl, Settings};
use hearth_launchers::{self as launchers, Files, LaunchSpec};
use hearth_protocol::role::Role;

use super::flags::{self, WorkerFlags};
use crate::executors::worker_program::WORKER;

/// The program, where none is named.
pub const PROGRAM: &str = WORKER;

/// A year: launched workers are not given new certificates.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

const ETCD_CA: &str = "etcd-ca.crt";
const ETCD_CERTIFICATE: &str = "etcd-tls.crt";
const ETCD_KEY: &str = "etcd-tls.key";
const ETCD_PASSWORD: &str = "etcd-password";

/// Why workers can't be described as a launch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The launch itself.
    #[error(transparent)]
    Launch(#[from] launchers::Error),
    /// A certificate can't be issued.
    #[error(transparent)]
    Identity(#[from] identity::Error),
}

/// Workers to launch.
#[derive(Debug)]
pub struct Workers<'a> {
    /// How the launch is called in lists.
    pub name: &'a str,
    /// How many.
    pub count: u32,
    /// `hearth-worker`, or a program that takes its flags.
    pub program: PathBuf,
    /// What their ids begin with; a hyphen and the rank follow.
    pub prefix: &'a str,
    /// Who issues their certificates.
    pub authority: &'a Authority,
    /// Where they announce themselves.
    pub registry: &'a RegistryUrl,
    /// How they reach it. Files and the password are handed over with the certificates.
    pub settings: &'a Settings,
    /// Which rank of the group each has.
    pub ranks: Ranks,
    /// UDP address with port 0: `127.0.0.1:0` keeps them to their host.
    pub listen: &'a str,
    /// Compute threads of each; 0 is their own choice.
    pub threads: usize,
    /// Further flags. One of these that is said here too (`--http`, `--device`, `--state-dir`)
    /// takes the place of this one.
    pub args: Vec<String>,
}

/// Which rank of its group a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranks {
    /// Its replica's: the group has no other workers.
    OfReplica,
    /// The lowest that is free: others serve in the group too.
    Free,
}

impl Workers<'_> {
    /// The id of a worker.
    #[must_use]
    pub fn id(&self, rank: u32) -> String {
        format!("{}-{rank}", self.prefix)
    }

    /// The launch, with a fresh certificate for each rank.
    ///
    /// # Errors
    /// [`launchers::Error::Spec`] for a registry that nobody can join, [`Error::Identity`] where a
    /// certificate can't be issued, [`launchers::Error::State`] where a file of the settings can't be read.
    pub fn spec(&self) -> Result<LaunchSpec, Error> {
        let mut spec = self.bare_spec()?;
        spec.files = self.files(0..self.count)?;
        Ok(spec)
    }

    /// The launch without the files of its ranks, for one that is to have but some of them.
    ///
    /// # Errors
    /// [`launchers::Error::Spec`] for a registry that nobody can join.
    pub fn bare_spec(&self) -> Result<LaunchSpec, Error> {
        if let RegistryUrl::Static(_) = self.registry {
            return Err(launchers::Error::Spec {
                field: "registry",
                value: self.registry.to_string(),
                remedy: "launched workers announce themselves: name an etcd:// or dir: registry"
                    .to_owned(),
            }
            .into());
        }
        let mut spec = LaunchSpec::new(self.name, self.count, &self.program);
        spec.args = self.flags();
        spec.env = self.variables();
        Ok(spec)
    }

    /// The files of these ranks, in which each has a fresh certificate.
    ///
    /// # Errors
    /// [`Error::Identity`] where a certificate can't be issued, [`launchers::Error::State`] where a file of the
    /// settings can't be read.
    pub fn files(&self, ranks: Range<u32>) -> Result<Vec<Files>, Error> {
        let shared = self.registry_files()?;
        ranks.map(|rank| self.files_of(rank, &shared)).collect()
    }

    fn flags(&self) -> Vec<String> {
        let rank = match self.ranks {
            Ranks::OfReplica => "{rank}",
            Ranks::Free => "auto",
        };
        let flags = WorkerFlags {
            id: format!("{}-{{rank}}", self.prefix),
            rank: rank.to_owned(),
            listen: self.listen,
            registry: self.registry.to_string(),
            pki: "{files}".to_owned(),
            state_dir: "{folder}/state".to_owned(),
            further: &self.args,
        };
        flags.args()
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let Settings { cacert, cert, key, user, password, ttl } = self.settings;
        let files = [
            ("CACERT", cacert.is_some(), ETCD_CA),
            ("CERT", cert.is_some(), ETCD_CERTIFICATE),
            ("KEY", key.is_some(), ETCD_KEY),
            ("PASSWORD_FILE", password.is_some(), ETCD_PASSWORD),
        ];
        let files = files.into_iter().filter(|(_, given, _)| *given);
        let files = files.map(|(key, _, file)| (key, format!("{{files}}/{file}")));
        let user = user.iter().map(|user| ("USER", user.clone()));
        flags::variables(self.threads, self.registry, *ttl, files.chain(user))
    }

    /// What a worker of another host needs for the registry.
    fn registry_files(&self) -> Result<Files, Error> {
        let Settings { cacert, cert, key, password, .. } = self.settings;
        let mut files = Files::new();
        for (name, path) in [(ETCD_CA, cacert), (ETCD_CERTIFICATE, cert), (ETCD_KEY, key)] {
            if let Some(path) = path {
                files.insert(name.to_owned(), read(path)?);
            }
        }
        if let Some(password) = password {
            files.insert(ETCD_PASSWORD.to_owned(), password.clone().into_bytes());
        }
        Ok(files)
    }

    fn files_of(&self, rank: u32, shared: &Files) -> Result<Files, Error> {
        let issued = self.authority.issue(Role::Worker, &self.id(rank), VALIDITY, &[])?;
        let own = [
            (CA_FILE, issued.ca_pem),
            (CERTIFICATE_FILE, issued.cert_pem),
            (KEY_FILE, issued.key_pem),
        ];
        let own = own.map(|(name, pem)| (name.to_owned(), pem.into_bytes()));
        Ok(shared.clone().into_iter().chain(own).collect())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path)
        .map_err(|source| launchers::Error::State { path: path.to_owned(), source }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(registry: &str, settings: &Settings, args: &[&str]) -> Result<LaunchSpec, Error> {
        let authority = Authority::create("test", VALIDITY).unwrap();
        let workers = Workers {
            name: "workers",
            count: 2,
            program: PathBuf::from(PROGRAM),
            prefix: "workers-1f",
            authority: &authority,
            registry: &RegistryUrl::parse(registry).unwrap(),
            settings,
            ranks: Ranks::Free,
            listen: "[::]:0",
            threads: 3,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        workers.spec()
    }

    #[test]
    fn each_rank_has_a_certificate_of_its_own_name() {
        let spec = spec("dir:/run/r", &Settings::default(), &["--http=127.0.0.1:0"]).unwrap();
        let line = spec.args_of(1, Path::new("/f"), Path::new("/o")).join(" ");
        assert!(line.starts_with("--id workers-1f-1 --rank auto --listen [::]:0"), "{line}");
        assert!(line.contains("--registry dir:/run/r --pki /f --state-dir /o/state"), "{line}");
        assert!(line.ends_with("--http=127.0.0.1:0") && !line.contains("off"), "{line}");
        assert_eq!(spec.env["HEARTH_RUNTIME__THREADS"], "3");
        assert_ne!(spec.files[0]["tls.key"], spec.files[1]["tls.key"]);
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &spec.files[1] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let identity = hearth_fabric::identity::Identity::load(folder.path()).unwrap();
        assert_eq!(identity.id.name(), "workers-1f-1");
        spec.check().unwrap();
    }

    #[test]
    fn what_the_registry_needs_goes_along_as_files() {
        let settings = Settings {
            user: Some("hearth".to_owned()),
            password: Some("secret".to_owned()),
            ..Settings::default()
        };
        let with_password = spec("etcd://10.0.0.1:2379/blue", &settings, &[]).unwrap();
        assert_eq!(with_password.files[1][ETCD_PASSWORD], b"secret");
        let env = with_password.env_of(0, Path::new("/f"), Path::new("/o"));
        assert_eq!(env["HEARTH_REGISTRY__PASSWORD_FILE"], "/f/etcd-password");
        assert_eq!(env["HEARTH_WORKER__GROUP"], "blue");
        assert!(!with_password.args.iter().any(|arg| arg.contains("secret")));
        let absent = Settings { cacert: Some("/no/ca.crt".into()), ..Settings::default() };
        assert!(spec("etcds://h:1", &absent, &[]).unwrap_err().to_string().contains("/no/ca.crt"));
        let error = spec("static:h:1", &Settings::default(), &[]).unwrap_err().to_string();
        assert!(error.contains("announce themselves"), "{error}");
    }
}
