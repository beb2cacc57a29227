//! How Hearth processes find and reach each other.
//!
//! [`identity`] says who a process is (certificates, roles), [`registry`] where workers announce
//! themselves, [`quic`] how calls travel, [`config`] which of these a config names. Nothing here
//! judges a worker's health or routes a request; that is the engine's.

pub mod config;
pub mod identity;
pub mod quic;
pub mod registry;
