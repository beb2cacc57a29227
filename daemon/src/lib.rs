//! What both Hearth daemons are made of.
//!
//! [`lifecycle`] hears when to end or to reload, [`systemd`] tells the service manager, [`probe`]
//! serves readiness and metrics over HTTP. What a daemon does meanwhile is its own business.

pub mod lifecycle;
pub mod probe;
pub mod systemd;
