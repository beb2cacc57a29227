//! What each built-in method is called, takes and gives.
//!
//! Arguments and values are flat MessagePack maps. A program that embeds the worker registers
//! methods of its own under other names.

pub mod call;
mod control;
mod generate;
mod infer;
mod models;
mod status;

use std::fmt;
use std::str::FromStr;

pub use call::{Call, NoArgs};
pub use control::{CancelArgs, CancelValue, DrainValue, RequestList, RequestState, RequestSummary};
pub use generate::{AttachArgs, AttachValue, AttachedPart, GenerateArgs, Generated, Part};
pub use infer::{InferArgs, InferValue, ProfileArgs, ProfileValue};
pub use models::{
    LoadModelArgs, LoadModelValue, SleepArgs, SleepValue, UnloadModelArgs, UnloadModelValue,
    WakeArgs, WakeValue,
};
pub use status::{
    GetRank, Health, ModelInfo, ModelList, ModelState, SequenceLength, Stats, TaskDefaults,
};

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
    /// [`AttachArgs`] → [`AttachValue`] and an attachment per result.
    Attach,
    /// [`InferArgs`] and tensors → [`InferValue`] and tensors.
    Infer,
    /// [`CancelArgs`] → [`CancelValue`].
    Cancel,
    /// `{}` → [`DrainValue`]; new requests are refused, those accepted are finished.
    Drain,
    /// `{}` → [`DrainValue`]; takes requests again.
    Resume,
    /// [`SleepArgs`] → [`SleepValue`]; gives the models' memory back.
    Sleep,
    /// [`WakeArgs`] → [`WakeValue`]; loads them again.
    WakeUp,
    /// [`LoadModelArgs`] → [`LoadModelValue`].
    LoadModel,
    /// [`UnloadModelArgs`] → [`UnloadModelValue`].
    UnloadModel,
    /// [`ProfileArgs`] → [`ProfileValue`] and an attachment per graph.
    Profile,
    /// `{}` → [`DrainValue`]; drains and ends the process.
    Shutdown,
}

impl Method {
    /// All built-in methods.
    pub const ALL: [Self; 17] = [
        Self::GetRank,
        Self::CheckHealth,
        Self::Stats,
        Self::ListModels,
        Self::ListRequests,
        Self::Generate,
        Self::Attach,
        Self::Infer,
        Self::Cancel,
        Self::Drain,
        Self::Resume,
        Self::Sleep,
        Self::WakeUp,
        Self::LoadModel,
        Self::UnloadModel,
        Self::Profile,
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
            Self::Attach => "attach",
            Self::Infer => "infer",
            Self::Cancel => "cancel",
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Sleep => "sleep",
            Self::WakeUp => "wake_up",
            Self::LoadModel => "load_model",
            Self::UnloadModel => "unload_model",
            Self::Profile => "profile",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether only an administrator may call it: what ends a worker, or changes what it serves to
    /// all others.
    #[must_use]
    pub fn is_administrative(self) -> bool {
        match self {
            Self::LoadModel | Self::UnloadModel | Self::Profile | Self::Shutdown => true,
            Self::GetRank
            | Self::CheckHealth
            | Self::Stats
            | Self::ListModels
            | Self::ListRequests
            | Self::Generate
            | Self::Attach
            | Self::Infer
            | Self::Cancel
            | Self::Drain
            | Self::Resume
            | Self::Sleep
            | Self::WakeUp => false,
        }
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
        // Worker, coordinator, administrator.
        let table = [
            ("get_rank", [false, true, true]),
            ("check_health", [false, true, true]),
            ("stats", [false, true, true]),
            ("list_models", [false, true, true]),
            ("list_requests", [false, true, true]),
            ("generate", [false, true, true]),
            ("attach", [false, true, true]),
            ("infer", [false, true, true]),
            ("cancel", [false, true, true]),
            ("drain", [false, true, true]),
            ("resume", [false, true, true]),
            ("sleep", [false, true, true]),
            ("wake_up", [false, true, true]),
            ("load_model", [false, false, true]),
            ("unload_model", [false, false, true]),
            ("profile", [false, false, true]),
            ("shutdown", [false, false, true]),
        ];
        let names: Vec<_> = Method::ALL.map(Method::name).into();
        assert_eq!(names, table.map(|(name, _)| name), "every method has its row");
        for (name, allowed) in table {
            let method: Method = name.parse().unwrap();
            assert_eq!(Role::ALL.map(|role| role.may_call(method)), allowed, "{name}");
        }
    }
}
