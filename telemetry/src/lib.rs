//! What a Hearth daemon tells the people and machines that look after it.
//!
//! [`log`] writes log lines, [`metrics`] counts, [`probe`] serves both readiness and metrics over
//! HTTP, [`systemd`] tells the service manager, [`lifecycle`] hears when to end, [`procinfo`] looks
//! at the own process. This crate
//! knows no other crate of the workspace, and it starts no task of its own: whoever builds a part
//! drives it.

pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod probe;
pub mod procinfo;
pub mod systemd;
