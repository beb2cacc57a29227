//! What names a replica across processes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no handle: handles are LAUNCHER/LAUNCH/RANK, as `hearth replicas list` prints them"
)]
pub struct InvalidHandle {
    /// The text.
    pub text: String,
}

/// Names one launch: the spec's name and 12 random hexadecimal digits, as in `workers-1f0c9e77a2b4`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LaunchId(String);

impl LaunchId {
    /// A fresh one for a spec of this name.
    #[must_use]
    pub fn draw(name: &str) -> Self {
        let random = Uuid::new_v4().simple().to_string();
        Self(format!("{name}-{}", &random[..12]))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LaunchId {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, InvalidHandle> {
        let clean = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(clean);
        if fits && !text.starts_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidHandle { text: text.to_owned() })
    }
}

impl TryFrom<String> for LaunchId {
    type Error = InvalidHandle;

    fn try_from(text: String) -> Result<Self, InvalidHandle> {
        text.parse()
    }
}

impl From<LaunchId> for String {
    fn from(id: LaunchId) -> Self {
        id.0
    }
}

impl fmt::Display for LaunchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Names a replica: `LAUNCHER/LAUNCH/RANK`, as in `process/workers-1f0c9e77a2b4/0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle {
    /// The launcher that started it.
    pub launcher: String,
    /// The launch it belongs to.
    pub launch: LaunchId,
    /// Its rank.
    pub rank: u32,
}

impl FromStr for Handle {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, InvalidHandle> {
        let unfit = || InvalidHandle { text: text.to_owned() };
        let mut parts = text.split('/');
        let (launcher, launch, rank) = (parts.next(), parts.next(), parts.next());
        let (Some(launcher), Some(launch), Some(rank), None) =
            (launcher, launch, rank, parts.next())
        else {
            return Err(unfit());
        };
        Ok(Self {
            launcher: launcher.to_owned(),
            launch: launch.parse().map_err(|_| unfit())?,
            rank: rank.parse().map_err(|_| unfit())?,
        })
    }
}

impl TryFrom<String> for Handle {
    type Error = InvalidHandle;

    fn try_from(text: String) -> Result<Self, InvalidHandle> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.to_string()
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}/{}", self.launcher, self.launch, self.rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_as_it_is_written() {
        let launch = LaunchId::draw("workers");
        let handle = Handle { launcher: "slurm".to_owned(), launch, rank: 3 };
        assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
    }

    #[test]
    fn what_is_no_handle_is_refused_with_the_form() {
        for text in ["", "process", "process/x", "process/x/y", "process/../0", "a/b/0/1", "p//0"] {
            let error = text.parse::<Handle>().unwrap_err().to_string();
            assert!(error.contains("LAUNCHER/LAUNCH/RANK"), "{text}: {error}");
        }
    }
}
