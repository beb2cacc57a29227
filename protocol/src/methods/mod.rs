//! What each built-in method is called, takes and gives.
//!
//! Arguments and values are flat MessagePack maps. A program that embeds the worker registers
//! methods of its own under other names.

pub mod call;
mod control;
mod generate;
mod infer;
mod logs;
mod models;
mod status;

use std::fmt;
use std::str::FromStr;

pub use call::{Call, NoArgs};
pub use control::{CancelArgs, CancelValue, DrainValue, RequestList, RequestState, RequestSummary};
pub use generate::{AttachArgs, AttachValue, AttachedItem, GenerateArgs, GenerateValue, ItemIndex};
pub use infer::{InferArgs, InferValue, ProfileArgs, ProfileValue};
pub use logs::{LogLevel, LogLine, LogsArgs, LogsValue};
pub use models::{
    LoadModelArgs, LoadModelValue, SleepArgs, SleepValue, UnloadModelArgs, UnloadModelValue,
    WakeArgs, WakeValue,
};
pub use status::{
    GetRank, Health, ModelInfo, ModelList, ModelState, SequenceLength, Stats, TaskDefaults,
};

/// Makes [`Method`] of one row a method: its variant, its name on the wire, who may call it. What
/// ends a worker, or changes what it serves to all others, is for administrators alone.
macro_rules! methods {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal, $who:ident;)+) => {
        /// A built-in method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])+ $variant,)+
        }

        impl Method {
            /// All built-in methods.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Whether only an administrator may call it: what ends a worker, or changes what it
            /// serves to all others.
            #[must_use]
            pub fn is_administrative(self) -> bool {
                match self {
                    $(Self::$variant => methods!(@ $who),)+
                }
            }
        }
    };
    (@ coordinators) => { false };
    (@ administrators) => { true };
}

methods! {
    /// `{}` → [`GetRank`].
    GetRank = "get_rank", coordinators;
    /// `{}` → [`Health`].
    CheckHealth = "check_health", coordinators;
    /// `{}` → [`Stats`].
    Stats = "stats", coordinators;
    /// `{}` → [`ModelList`].
    ListModels = "list_models", coordinators;
    /// `{}` → [`RequestList`].
    ListRequests = "list_requests", coordinators;
    /// [`LogsArgs`] → [`LogsValue`].
    Logs = "logs", coordinators;
    /// [`GenerateArgs`] → [`GenerateValue`] and one attachment.
    Generate = "generate", coordinators;
    /// [`AttachArgs`] → [`AttachValue`] and an attachment per result.
    Attach = "attach", coordinators;
    /// [`InferArgs`] and tensors → [`InferValue`] and tensors.
    Infer = "infer", coordinators;
    /// [`CancelArgs`] → [`CancelValue`]; of a coordinator, what it has sent or attached to.
    Cancel = "cancel", coordinators;
    /// `{}` → [`DrainValue`]; new requests are refused, those accepted are finished.
    Drain = "drain", administrators;
    /// `{}` → [`DrainValue`]; takes requests again.
    Resume = "resume", administrators;
    /// [`SleepArgs`] → [`SleepValue`]; gives the models' memory back.
    Sleep = "sleep", administrators;
    /// [`WakeArgs`] → [`WakeValue`]; loads them again.
    WakeUp = "wake_up", administrators;
    /// [`LoadModelArgs`] → [`LoadModelValue`].
    LoadModel = "load_model", administrators;
    /// [`UnloadModelArgs`] → [`UnloadModelValue`].
    UnloadModel = "unload_model", administrators;
    /// [`ProfileArgs`] → [`ProfileValue`] and an attachment per graph.
    Profile = "profile", administrators;
    /// `{}` → [`DrainValue`]; drains and ends the process.
    Shutdown = "shutdown", administrators;
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
            ("logs", [false, true, true]),
            ("generate", [false, true, true]),
            ("attach", [false, true, true]),
            ("infer", [false, true, true]),
            ("cancel", [false, true, true]),
            ("drain", [false, false, true]),
            ("resume", [false, false, true]),
            ("sleep", [false, false, true]),
            ("wake_up", [false, false, true]),
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
