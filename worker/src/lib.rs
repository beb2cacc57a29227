//! The worker daemon: announces itself, keeps models warm, serves calls over QUIC.
//!
//! A program that embeds the worker builds a [`Worker`] from a [`Config`], registers
//! [`methods`] of its own and runs it; `hearth-worker` is that program without any.
//!
//! Two halves meet in `compute/inbox.rs`. The network's half ([`service`], [`admission`],
//! [`methods`]) is async and never computes; the [`compute`] half is threads that own the sessions
//! and never wait for a caller. So health, cancel and drain answer while a model runs.

mod admission;
mod advertise;
mod announce;
mod app;
mod compute;
pub mod config;
mod control_loop;
mod error;
mod items;
pub mod methods;
mod metrics;
mod models;
pub mod owner;
mod report;
mod service;
mod setup;
mod shared;
mod suspects;
pub mod watchdog;

use tokio::runtime::{Builder, Runtime};

pub use app::Worker;
pub use config::{Config, ConfigError, Overrides};
pub use error::Error;

/// The runtime that the network's half of a worker runs on: one thread.
///
/// A control call is read, answered and sent within some tens of microseconds. A second thread
/// would be woken for each, and a wake costs as much as the call. Nothing that takes long may run
/// here: compute, loading and encoding have threads of their own, and so must a
/// [method](methods) of an embedding program that computes.
///
/// # Errors
/// When the system gives no thread.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
