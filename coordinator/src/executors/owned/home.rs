//! Where owned workers and their engine find each other: a private folder, an authority, a
//! registry.
//!
//! The folder is this user's alone and is locked for as long as the engine lives; those that killed
//! engines left are removed by the next one.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hearth_fabric::config::RegistrySection;
use hearth_fabric::identity::{Authority, CurrentIdentity, Issued};
use hearth_fabric::registry::{self, Registry, RegistryUrl};
use hearth_protocol::WorkerId;
use hearth_protocol::role::Role;
use uuid::Uuid;

use crate::executors::{Error, Start};

/// How long the certificates of owned workers are good for.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

const PREFIX: &str = "hearth-engine-";
const LOCK: &str = "lock";

/// What an engine's workers share.
pub(in crate::executors) struct Home {
    folder: PathBuf,
    /// Held for as long as the folder is in use.
    _lock: File,
    /// How this engine's workers are called, before their rank.
    name: String,
    authority: Authority,
    /// The engine's certificate.
    pub(in crate::executors) identity: CurrentIdentity,
    pub(in crate::executors) registry: Arc<dyn Registry>,
    /// `[registry]` of the workers.
    pub(in crate::executors) section: RegistrySection,
    /// Whether nobody else's workers are in the registry.
    private: bool,
}

impl Home {
    /// Makes the folder and what is missing of authority, certificate and registry.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::Identity`], [`Error::Registry`], [`Error::Config`].
    pub(in crate::executors) fn make(start: &Start, kind: &str) -> Result<Self, Error> {
        let section = &start.executor;
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("{kind}-{}", &random[..8]);
        let base = match section.runtime_dir.as_os_str().is_empty() {
            true => std::env::temp_dir(),
            false => section.runtime_dir.clone(),
        };
        let folder = base.join(format!("{PREFIX}{name}"));
        let authority = match section.authority.as_os_str().is_empty() {
            true => Authority::create("engine", VALIDITY)?,
            false => Authority::load(&section.authority)?,
        };
        let identity = match &start.identity {
            Some(identity) => identity.clone(),
            None => {
                let issued = authority.issue(Role::Coordinator, &name, VALIDITY, &[])?;
                issued.identity()?.into()
            }
        };
        let private = start.registry.is_none();
        let registry_section = start.registry.clone().unwrap_or_else(|| RegistrySection {
            url: format!("dir:{}", folder.join("registry").display()),
            ..RegistrySection::default()
        });
        let (url, settings) = (registry_section.url()?, registry_section.settings()?);

        // Last, so that a config that can't be used leaves none.
        sweep(&base);
        let made = make_folder(&base, &folder);
        let lock = made.map_err(|source| Error::Folder { path: folder.clone(), source })?;
        let registry = registry::open(&url, &settings)?;
        Ok(Self {
            folder,
            _lock: lock,
            name,
            authority,
            identity,
            registry,
            section: registry_section,
            private,
        })
    }

    /// The worker of a rank.
    pub(in crate::executors) fn worker_id(&self, rank: u32) -> WorkerId {
        let text = format!("{}-{rank}", self.name);
        WorkerId::new(text).unwrap_or_else(|_| unreachable!("letters, digits and hyphens"))
    }

    /// Whether a worker's rank in the group is its rank here: in a registry that others use too, it
    /// takes a free one.
    pub(in crate::executors) fn fixed_ranks(&self) -> bool {
        self.private
    }

    /// A fresh certificate for the worker of a rank.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub(in crate::executors) fn issue(&self, rank: u32) -> Result<Issued, Error> {
        let name = self.worker_id(rank);
        Ok(self.authority.issue(Role::Worker, name.as_str(), VALIDITY, &[])?)
    }

    /// How this engine's workers are called, before their rank.
    #[cfg(feature = "launchers")]
    pub(in crate::executors) fn name(&self) -> &str {
        &self.name
    }

    /// Who issues the workers' certificates.
    #[cfg(feature = "launchers")]
    pub(in crate::executors) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The engine, as its workers know it.
    ///
    /// # Errors
    /// [`Error::Config`] for a certificate whose name is longer than an owner's may be.
    #[cfg(feature = "launchers")]
    pub(in crate::executors) fn owner(&self) -> Result<hearth_protocol::OwnerId, Error> {
        let identity = self.identity.get();
        let owner = hearth_protocol::OwnerId::new(identity.id.name());
        Ok(owner.map_err(|error| hearth_fabric::config::Error::value("tls.dir", error))?)
    }

    /// The private folder.
    pub(in crate::executors) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The registry's keys as variables of a worker; flags say the rest.
    pub(in crate::executors) fn registry_variables(&self) -> Vec<(String, String)> {
        let RegistrySection { cacert, cert, key, user, password_file, ttl, .. } = &self.section;
        let keys = [
            ("CACERT", cacert),
            ("CERT", cert),
            ("KEY", key),
            ("USER", user),
            ("PASSWORD_FILE", password_file),
        ];
        let set = keys.into_iter().filter(|(_, value)| !value.is_empty());
        let mut variables: Vec<_> =
            set.map(|(key, value)| (format!("HEARTH_REGISTRY__{key}"), value.clone())).collect();
        let ttl = format!("{}s", ttl.as_secs());
        variables.push(("HEARTH_REGISTRY__TTL".to_owned(), ttl));
        if let Ok(url @ RegistryUrl::Etcd { .. }) = self.section.url() {
            variables.push(("HEARTH_WORKER__GROUP".to_owned(), url.group().to_string()));
        }
        variables
    }

    /// Removes the folder: nobody needs it any more.
    pub(in crate::executors) fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.folder.display(), %error, "not all could be removed");
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.remove();
    }
}

fn make_folder(base: &Path, folder: &Path) -> io::Result<File> {
    fs::create_dir_all(base)?;
    // Locked before it has the name by which another engine would take it for a left one.
    let making = folder.with_extension("making");
    DirBuilder::new().mode(0o700).create(&making)?;
    let lock = File::create(making.join(LOCK))?;
    lock.lock()?;
    fs::rename(&making, folder)?;
    Ok(lock)
}

fn is_left(name: &str) -> bool {
    name.starts_with(PREFIX) && !name.ends_with(".making")
}

/// Removes what killed engines of this user left. What can't be is left: it is in nobody's way.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    let me = rustix::process::getuid().as_raw();
    for entry in entries.flatten() {
        let ours = is_left(&entry.file_name().to_string_lossy())
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        let path = entry.path();
        if ours
            && let Ok(lock) = File::open(path.join(LOCK))
            && lock.try_lock().is_ok()
        {
            drop(fs::remove_dir_all(&path));
        }
    }
}
