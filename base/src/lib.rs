//! What every Hearth crate may build on, and what is about nothing in particular.
//!
//! [`task`] owns background tasks, [`files`] replaces small files whole and keeps slow disks away
//! from the network, [`config`] reads configs, [`causes`] says an error with its causes in one
//! line, [`failure`] as a program's last words, [`text`] escapes what comes from outside, [`repeats`]
//! bounds what others can have logged. This crate knows no other crate of the workspace.

pub mod causes;
pub mod config;
pub mod failure;
pub mod files;
pub mod repeats;
pub mod task;
pub mod text;
