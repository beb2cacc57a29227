//! The seam between a model and whoever runs it: what a model is, and how it prepares, starts, steps
//! and finishes the work of a request.
//!
//! A model that generates has a [`Generator`] and what [prepares](Prepare) its requests; a bare graph
//! has neither. The caller drives a [`Run`] one step at a time, so that progress, previews,
//! cancelling, deadlines and the choice of what runs together lie in the caller's hands. Nothing here
//! knows pictures, model folders, threads or the network.

mod description;
mod error;
mod generator;
mod invalid;
mod prepare;
mod run;
mod snapshot;
mod warm;

use std::sync::Arc;

pub use self::description::{Defaults, Description, Pictures, SequenceLength};
pub use self::error::Error;
pub use self::generator::{Generator, Output, Turn};
pub use self::invalid::Invalid;
pub use self::prepare::{Prepare, PreparedRequest};
pub use self::run::{BatchKey, Run};
pub use self::snapshot::Snapshot;
pub use self::warm::warm_up;
use crate::session::Session;

/// A loaded model.
pub trait Model: Send {
    /// What it is and what it can be asked for.
    fn description(&self) -> &Arc<Description>;

    /// Its graphs, for callers that run one with tensors of their own.
    fn graphs(&mut self) -> Vec<&mut Session>;

    /// What starts, steps and finishes its requests; `None` for a model that generates nothing.
    fn generator(&mut self) -> Option<&mut dyn Generator>;

    /// What checks and prepares its requests, for any thread; `None` for a model that generates
    /// nothing.
    fn preparer(&self) -> Option<Arc<dyn Prepare>>;
}
