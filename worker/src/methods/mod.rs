//! What each method does. Those that look or steer never wait for compute; the others only listen
//! for what it says.
//!
//! A new method has a file here, or a function in the file of its kind, and a row in [`route`]. A
//! program that embeds the worker adds methods of its own with [`Methods::register`].

mod arguments;
mod attach;
mod call;
mod control;
mod generate;
mod graphs;
mod logs;
mod models;
mod registered;
mod relay;
mod reply;
mod route;
mod status;

pub use call::{Answer, Call};
pub(crate) use registered::denied;
pub use registered::{Handler, Methods, NameConflict};
pub(crate) use reply::respond;
pub(crate) use route::{CallFuture, Route, route};
