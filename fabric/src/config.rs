//! The sections of a config that say where the registry is and which certificate to present.

use std::path::PathBuf;
use std::time::Duration;

use hearth_base::config::Error;
use serde::Deserialize;

use crate::registry::{RegistryUrl, Settings};

/// `[registry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySection {
    /// `etcd://`, `etcds://`, `dir:` or `static:`.
    pub url: String,
    /// Authority of `etcds://` (PEM file).
    pub cacert: String,
    /// Client certificate (PEM file).
    pub cert: String,
    /// Its key (PEM file).
    pub key: String,
    /// User name.
    pub user: String,
    /// File that holds the password.
    pub password_file: String,
    /// How long a record outlives its worker; of use to workers only.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
}

impl Default for RegistrySection {
    fn default() -> Self {
        Self {
            url: "etcd://127.0.0.1:2379".to_owned(),
            cacert: String::new(),
            cert: String::new(),
            key: String::new(),
            user: String::new(),
            password_file: String::new(),
            ttl: Settings::default().ttl,
        }
    }
}

impl RegistrySection {
    /// Which registry.
    ///
    /// # Errors
    /// [`Error::Value`] for a URL that no registry has.
    pub fn url(&self) -> Result<RegistryUrl, Error> {
        RegistryUrl::parse(&self.url).map_err(|error| Error::value("registry.url", error))
    }

    /// How the registry is reached.
    ///
    /// # Errors
    /// [`Error::File`] for a password file that can't be read.
    pub fn settings(&self) -> Result<Settings, Error> {
        let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
        let password = match path(&self.password_file) {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
                Err(source) => return Err(Error::File { path, source }),
            },
        };
        Ok(Settings {
            cacert: path(&self.cacert),
            cert: path(&self.cert),
            key: path(&self.key),
            user: (!self.user.is_empty()).then(|| self.user.clone()),
            password,
            ttl: self.ttl,
        })
    }
}

/// `[tls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// Folder of `ca.crt`, `tls.crt` and `tls.key`.
    pub dir: PathBuf,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self { dir: PathBuf::from("/etc/hearth/pki") }
    }
}
