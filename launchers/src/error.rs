//! What can go wrong, with what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Handle, InvalidHandle};

/// Why a launcher can't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No launcher has this name.
    #[error("launcher {name:?} is unknown: use {}", known.join(", "))]
    UnknownLauncher {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// A field of the spec.
    #[error("{field} is {value}: {remedy}")]
    Spec {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        remedy: String,
    },
    /// The spec asks for what the launcher can't do.
    #[error("{field}: the launcher {launcher} can't do that: {remedy}")]
    Unsupported {
        /// The launcher.
        launcher: &'static str,
        /// The field.
        field: &'static str,
        /// What to do instead.
        remedy: String,
    },
    /// The program doesn't exist or can't be run.
    #[error("the program {} can't be run: {remedy}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// What the launcher works with is not here.
    #[error("the launcher {launcher} can't work here: {reason}")]
    ManagerAbsent {
        /// The launcher.
        launcher: &'static str,
        /// What is missing, and how to get it.
        reason: String,
    },
    /// The engine below refused or failed.
    #[error("{launcher}: {reason}")]
    Manager {
        /// The launcher.
        launcher: &'static str,
        /// What it said.
        reason: String,
    },
    /// A text that is no handle.
    #[error(transparent)]
    Handle(#[from] InvalidHandle),
    /// A handle of another launcher.
    #[error("{handle} is a handle of the launcher {}: ask that one, not {asked}", handle.launcher)]
    ForeignHandle {
        /// The handle.
        handle: Handle,
        /// The launcher that was asked.
        asked: &'static str,
    },
    /// Nothing is known of this replica.
    #[error(
        "{handle} is not known in this state folder: `hearth replicas list` prints those that are"
    )]
    UnknownReplica {
        /// The handle.
        handle: Handle,
    },
    /// Replicas still run when the time is over.
    #[error("after {timeout:?} {} still run", list(running))]
    CollectTimeout {
        /// The time.
        timeout: Duration,
        /// Those that run.
        running: Vec<Handle>,
    },
    /// A file of the state folder.
    #[error("{} can't be used", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call must fail again until the config or the machine is changed.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::UnknownLauncher { .. }
                | Self::Spec { .. }
                | Self::Unsupported { .. }
                | Self::Program { .. }
                | Self::ManagerAbsent { .. }
                | Self::Handle(_)
                | Self::ForeignHandle { .. }
        )
    }
}

fn list(handles: &[Handle]) -> String {
    handles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
