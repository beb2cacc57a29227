//! The coordinator daemon: an engine under a config, with probes, metrics and signals.
//!
//! What it does with a fleet is `hearth-engine`'s; `hearth-coordinator` is the program. A program
//! that makes requests of its own embeds the engine, not this.

pub mod app;
pub mod config;
