//! Where owned workers and their engine find each other: a private folder, an authority, a
//! registry.
//!
//! The folder is this user's alone and is locked for as long as the engine lives; those that killed
//! engines left are removed by the next one on their host. An engine's name is new at each start and
//! is in its certificate: workers of an engine that was killed take no other for their owner.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hearth_api::WorkerId;
use hearth_fabric::config::RegistrySection;
use hearth_fabric::identity::{Authority, Credentials, CurrentIdentity};
use hearth_fabric::registry::{self, Registry};
use hearth_protocol::role::Role;
use uuid::Uuid;

use super::{flags, folder};
use crate::config::OwnedSection;
use crate::executors::{Error, Start};

/// How long the certificates of owned workers are good for.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// What an engine's workers share.
pub(in crate::executors) struct Home {
    folder: PathBuf,
    /// Held for as long as the folder is in use.
    _lock: File,
    /// The engine's name, and how its workers are called, before their rank.
    name: String,
    authority: Authority,
    /// The engine's certificate, of its name.
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
    pub(in crate::executors) fn make(
        start: &Start,
        owned: &OwnedSection,
        kind: &str,
    ) -> Result<Self, Error> {
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("{kind}-{}", &random[..8]);
        let base = owned.runtime_dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = base.join(folder::name(&name));
        let authority = match &owned.authority {
            None => Authority::create("engine", VALIDITY)?,
            Some(folder) => Authority::load(folder)?,
        };
        // Never one from elsewhere: its name would be that of the next start too, or of another
        // engine, and workers would wait for an owner that is not theirs.
        let issued = authority.issue(Role::Coordinator, &name, VALIDITY, &[])?;
        let identity = issued.identity()?.into();
        let private = start.registry.is_none();
        let registry_section = start.registry.clone().unwrap_or_else(|| RegistrySection {
            url: format!("dir:{}", folder.join("registry").display()),
            ..RegistrySection::default()
        });
        let (url, settings) = (registry_section.url()?, registry_section.settings()?);

        // Last, so that a config that can't be used leaves none.
        folder::sweep(&base);
        let made = folder::make(&base, &folder);
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
    pub(in crate::executors) fn issue(&self, rank: u32) -> Result<Credentials, Error> {
        let name = self.worker_id(rank);
        Ok(self.authority.issue(Role::Worker, name.as_str(), VALIDITY, &[])?)
    }

    /// The engine's name, and how its workers are called, before their rank.
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
    #[cfg(feature = "launchers")]
    pub(in crate::executors) fn owner(&self) -> hearth_api::OwnerId {
        let owner = hearth_api::OwnerId::new(self.name.as_str());
        owner.unwrap_or_else(|_| unreachable!("letters, digits and hyphens"))
    }

    /// The private folder.
    pub(in crate::executors) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The variables of a worker on this host. `threads` is 0 for the worker's own choice.
    ///
    /// # Errors
    /// [`Error::Config`] for a registry that can't be used.
    pub(in crate::executors) fn variables(
        &self,
        threads: usize,
    ) -> Result<BTreeMap<String, String>, Error> {
        let RegistrySection { cacert, cert, key, user, password_file, ttl, .. } = &self.section;
        let keys = [
            ("CACERT", cacert),
            ("CERT", cert),
            ("KEY", key),
            ("USER", user),
            ("PASSWORD_FILE", password_file),
        ];
        let given = keys.into_iter().filter(|(_, value)| !value.is_empty());
        let given = given.map(|(key, value)| (key, value.clone()));
        Ok(flags::variables(threads, &self.section.url()?, *ttl, given))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backends, Config};

    fn home(base: &Path, identity: Option<CurrentIdentity>) -> Home {
        let text = format!("[executor]\nbackend = \"mp\"\nworkers = 1\nruntime_dir = {base:?}\n");
        let config = Config::parse(&text, &Backends::builtin()).unwrap();
        let start = Start::without_identity(&config, "test/0").identity(identity);
        Home::make(&start, &config.executor.mp().owned, "mp").unwrap()
    }

    #[test]
    fn each_start_has_a_name_of_its_own_and_its_certificate_has_it() {
        let base = tempfile::tempdir().unwrap();
        let elsewhere = Authority::create("engine", VALIDITY).unwrap();
        let issued = elsewhere.issue(Role::Coordinator, "coordinator", VALIDITY, &[]).unwrap();
        let given: CurrentIdentity = issued.identity().unwrap().into();
        let homes = [(); 2].map(|()| home(base.path(), Some(given.clone())));
        assert_ne!(homes[0].name, homes[1].name);
        for home in homes {
            assert_eq!(home.identity.get().id.name(), home.name);
            // Of the authority that its workers' certificates are of: else no handshake succeeds.
            let ca = home.issue(0).unwrap().ca_pem;
            assert_eq!(ca, home.authority.ca_pem());
            assert_ne!(home.identity.get().roots(), given.get().roots());
        }
    }
}
