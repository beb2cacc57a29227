//! What each built-in method is called, takes and gives.
//!
//! Arguments and values are flat MessagePack maps. A program that embeds the worker registers
//! methods of its own under other names.

mod control;
mod generate;
mod status;

use std::fmt;
use std::str::FromStr;

pub use control::{CancelArgs, CancelValue, DrainValue, RequestList, RequestState, RequestSummary};
pub use generate::{FinishReason, GenerateArgs, Generated, Part};
pub use status::{GetRank, Health, ModelInfo, ModelList, ModelState, Stats};

/// A built-in method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `{}` → [`GetRank`].
    GetRank,
    /// `{}` → [`Health`].
    CheckHealth,
    /// `{}` → [`Stats`].
    Stats,
    /// `{}` → [`ModelList`].
    ListModels,
    /// `{}` → [`RequestList`].
    ListRequests,
    /// [`GenerateArgs`] → [`Generated`] and one attachment.
    Generate,
    /// [`CancelArgs`] → [`CancelValue`].
    Cancel,
    /// `{}` → [`DrainValue`]; new requests are refused, those accepted are finished.
    Drain,
    /// `{}` → [`DrainValue`]; takes requests again.
    Resume,
    /// `{}` → [`DrainValue`]; drains and ends the process.
    Shutdown,
}

impl Method {
    /// All built-in methods.
    pub const ALL: [Self; 10] = [
        Self::GetRank,
        Self::CheckHealth,
        Self::Stats,
        Self::ListModels,
        Self::ListRequests,
        Self::Generate,
        Self::Cancel,
        Self::Drain,
        Self::Resume,
        Self::Shutdown,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GetRank => "get_rank",
            Self::CheckHealth => "check_health",
            Self::Stats => "stats",
            Self::ListModels => "list_models",
            Self::ListRequests => "list_requests",
            Self::Generate => "generate",
            Self::Cancel => "cancel",
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether only an administrator may call it.
    #[must_use]
    pub fn is_administrative(self) -> bool {
        matches!(self, Self::Shutdown)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no built-in method has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("method {0:?} is not built in")]
pub struct NotBuiltIn(pub String);

impl FromStr for Method {
    type Err = NotBuiltIn;
    fn from_str(name: &str) -> Result<Self, NotBuiltIn> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| NotBuiltIn(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn every_cell_of_the_role_table() {
        for method in Method::ALL {
            assert!(!Role::Worker.may_call(method), "{method}");
            assert_eq!(Role::Coordinator.may_call(method), method != Method::Shutdown, "{method}");
            assert!(Role::Admin.may_call(method), "{method}");
            assert_eq!(method.name().parse(), Ok(method));
        }
    }
}
