//! How Hearth processes find and reach each other.
//!
//! [`identity`] says who a process is (certificates, roles), [`registry`] where workers announce
//! themselves, [`quic`] how calls travel, [`config`] reads what a daemon is told of these. Nothing here judges a worker's health or routes a
//! request; that is the coordinator's. [`files`] keeps small
//! files that must never be seen half written.

pub mod causes;
pub mod config;
pub mod files;
pub mod identity;
pub mod quic;
pub mod registry;
pub mod task;
