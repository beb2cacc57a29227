//! A fleet on this host: `hearth up`, and the one of `hearth generate --local`.
//!
//! [`RuntimeDir`] is where it lives and how other commands find it, [`Fleet`] its processes.

mod config;
mod daemon;
mod fleet;
mod install;
mod runtime_dir;

pub(crate) use fleet::{COORDINATOR, DaemonExit, Fleet, Spec, WORKER, worker_name};
pub(crate) use install::{Model, bundled_model, libraries, named_model, program, resolve_model};
pub(crate) use runtime_dir::{FleetRecord, RuntimeDir};
