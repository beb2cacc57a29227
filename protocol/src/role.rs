//! Who may call what.
//!
//! The role is in the certificate's one URI SAN, a SPIFFE id:
//! `spiffe://<cluster>/hearth/<role>/<name>`. What no row allows is denied.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::methods::Method;

/// What a certificate's holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves calls.
    Worker,
    /// Makes calls that serve requests.
    Coordinator,
    /// Makes every call, those that end or change workers too.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Worker, Self::Coordinator, Self::Admin];

    /// Whether the holder may call `method` on a worker.
    #[must_use]
    pub fn may_call(self, method: Method) -> bool {
        match self {
            Self::Worker => false,
            Self::Coordinator => !method.is_administrative(),
            Self::Admin => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
            Self::Admin => "admin",
        })
    }
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role {0:?} is unknown: use worker, coordinator or admin")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.to_string() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}
