//! The name in a certificate: `spiffe://<cluster>/hearth/<role>/<name>`.
//!
//! The form is SPIFFE's, so that SPIRE can issue such certificates; exactly this shape is taken and
//! nothing is normalised.

use std::fmt;
use std::str::FromStr;

use hearth_protocol::role::Role;

/// Longest cluster name, in bytes (a SPIFFE trust domain's limit).
const MAX_CLUSTER: usize = 255;
/// Longest name of a process, in bytes (as long as a worker id).
const MAX_NAME: usize = 128;

/// Who a process is: cluster, role and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    cluster: String,
    role: Role,
    name: String,
}

/// Why a text or a name does not make a [`SpiffeId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpiffeId {
    /// Another shape of text.
    #[error("{0:?} is not of the form spiffe://<cluster>/hearth/<role>/<name>")]
    Shape(String),
    /// The cluster's name.
    #[error(
        "cluster {0:?} is not valid: use 1 to {MAX_CLUSTER} of lower-case letters, digits, '-', '_' and '.'"
    )]
    Cluster(String),
    /// The role.
    #[error(transparent)]
    Role(#[from] hearth_protocol::role::UnknownRole),
    /// The process's name.
    #[error("name {0:?} is not valid: use 1 to {MAX_NAME} of letters, digits, '-', '_' and '.'")]
    Name(String),
}

impl SpiffeId {
    /// Checks the parts.
    ///
    /// # Errors
    /// [`InvalidSpiffeId`] says which part is wrong and what is allowed.
    pub fn new(
        cluster: impl Into<String>,
        role: Role,
        name: impl Into<String>,
    ) -> Result<Self, InvalidSpiffeId> {
        let (cluster, name) = (cluster.into(), name.into());
        check_cluster(&cluster)?;
        let clean = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        // SPIFFE forbids the relative path segments.
        let relative = name == "." || name == "..";
        if name.is_empty() || name.len() > MAX_NAME || !clean || relative {
            return Err(InvalidSpiffeId::Name(name.chars().take(MAX_NAME).collect()));
        }
        Ok(Self { cluster, role, name })
    }

    /// The cluster, SPIFFE's trust domain.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What the process is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The process's name; a worker's is its worker id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Checks a cluster's name.
pub(super) fn check_cluster(cluster: &str) -> Result<(), InvalidSpiffeId> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if (1..=MAX_CLUSTER).contains(&cluster.len()) && cluster.bytes().all(allowed) {
        return Ok(());
    }
    Err(InvalidSpiffeId::Cluster(cluster.chars().take(MAX_CLUSTER).collect()))
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/hearth/{}/{}", self.cluster, self.role, self.name)
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        let shape = || InvalidSpiffeId::Shape(text.chars().take(512).collect());
        let rest = text.strip_prefix("spiffe://").ok_or_else(shape)?;
        let mut parts = rest.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(cluster), Some("hearth"), Some(role), Some(name), None) => {
                Self::new(cluster, role.parse()?, name)
            }
            _ => Err(shape()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_parts_agree() {
        let text = "spiffe://prod.example/hearth/worker/gpu-1.rack_2";
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!(
            (id.cluster(), id.role(), id.name()),
            ("prod.example", Role::Worker, "gpu-1.rack_2")
        );
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn any_other_shape_is_refused() {
        let long_name = format!("spiffe://c/hearth/worker/{}", "x".repeat(129));
        let long_cluster = format!("spiffe://{}/hearth/worker/x", "c".repeat(256));
        for bad in [
            "",
            "spiffe://",
            "spiffe://c",
            "spiffe://c/hearth/worker",
            "spiffe://c/hearth/worker/",
            "spiffe://c/hearth/worker/x/",
            "spiffe://c/hearth/worker/x/y",
            "spiffe://c//worker/x",
            "spiffe:///hearth/worker/x",
            "spiffe://c/other/worker/x",
            "spiffe://c/hearth/Worker/x",
            "spiffe://c/hearth/root/x",
            "spiffe://C/hearth/worker/x",
            "spiffe://user@c/hearth/worker/x",
            "spiffe://c:1/hearth/worker/x",
            "SPIFFE://c/hearth/worker/x",
            "https://c/hearth/worker/x",
            "spiffe://c/hearth/worker/..",
            "spiffe://c/hearth/worker/a b",
            "spiffe://c/hearth/worker/a%2f",
            "spiffe://c/hearth/worker/x?y",
            "spiffe://c/hearth/worker/x#y",
            "spiffe://c/hearth/worker/x\0",
            " spiffe://c/hearth/worker/x",
            &long_name,
            &long_cluster,
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad:?}");
        }
    }
}
