//! The worker daemon: announces itself, keeps models warm, serves calls over QUIC.
//!
//! A program that embeds the worker builds a [`Worker`] from a [`Config`], registers
//! [`methods`] of its own and runs it; `hearth-worker` is that program without any.
//!
//! Two halves meet in the [`parts`] table. The network's half ([`service`], [`methods`]) is async
//! and never computes; the [`engine`]'s half is threads that own the sessions and never wait for a
//! caller. So health, cancel and drain answer while a model runs.

mod advertise;
mod announce;
mod app;
pub mod config;
mod engine;
pub mod methods;
mod models;
pub mod owner;
mod parts;
mod report;
mod service;
mod state;

pub use app::{Error, Worker};
pub use config::{Config, ConfigError, Overrides};
