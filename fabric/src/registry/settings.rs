//! What is needed to reach a registry besides its URL.

use std::path::PathBuf;
use std::time::Duration;

/// How a registry is reached, besides its URL. `dir` and `static` use none of it.
#[derive(Clone)]
pub struct Settings {
    /// Authorities (PEM) for `etcds://`.
    pub cacert: Option<PathBuf>,
    /// Client certificate (PEM) for `etcds://`.
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// User name.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<String>,
    /// How long an announcement outlives its worker: whole seconds, 2 to 3600.
    pub ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cacert: None,
            cert: None,
            key: None,
            user: None,
            password: None,
            ttl: Duration::from_secs(10),
        }
    }
}

/// Omits the password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cacert, cert, key, user, password, ttl } = self;
        f.debug_struct("Settings")
            .field("cacert", cacert)
            .field("cert", cert)
            .field("key", key)
            .field("user", user)
            .field("password", &password.as_ref().map(|_| "…"))
            .field("ttl", ttl)
            .finish()
    }
}
