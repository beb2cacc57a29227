//! Starts replicas of a program somewhere, and follows them to their end.
//!
//! One trait, [`Launcher`], over engines that exist already: plain processes, systemd, Slurm,
//! Kubernetes. A launcher starts, polls, reads logs, cancels and collects; it neither routes
//! requests nor knows what its replicas do. What must outlive the calling program is in a
//! [`StateDir`], so another process goes on with the same [`Handle`]s.

mod collect;
mod error;
mod handle;
pub mod kubernetes;
mod launcher;
mod launchers;
mod logs;
mod process;
mod replica;
pub mod shim;
pub mod slurm;
mod spec;
mod state;
pub mod systemd;
pub mod workers;

pub use error::Error;
pub use handle::{Handle, LaunchId};
pub use launcher::{Capabilities, Launcher, LogLines, LogOptions};
pub use launchers::{Launchers, Options};
pub use process::ProcessLauncher;
pub use replica::{Outcome, Replica, Status};
pub use spec::{
    Files, Gpus, LaunchSpec, Owner, Placement, RANK_VARIABLE, RESULT_VARIABLE, Resources,
};
pub use state::{LaunchRecord, StateDir};
pub use systemd::SystemdLauncher;
