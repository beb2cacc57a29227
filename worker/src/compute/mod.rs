//! The computing half: threads that own the sessions and never wait for a caller.
//!
//! [`plan`] decides, and is pure. [`inbox`] has the lock around it, where callers and threads meet.
//! The threads carry out: one computes (`thread.rs`), one loads models (`loader.rs`), one encodes
//! results (`encoder.rs`), one prepares requests that came before their model (`preparer.rs`), one
//! writes down what is computed (`suspects/journal.rs`).

mod calls;
mod desk;
mod encoder;
mod gauge;
mod guard;
mod inbox;
mod infer;
mod item_data;
mod load_error;
mod loader;
mod memory;
mod opener;
mod order;
mod plan;
mod preparer;
mod profile;
mod run_error;
mod task;
mod thread;
mod threads;

pub(crate) use calls::{PendingOrder, Subscription};
pub(crate) use gauge::Gauge;
pub(crate) use inbox::Inbox;
pub(crate) use load_error::LoadError;
pub(crate) use order::{Infer, Profile, Reply};
pub(crate) use plan::{Bounds, FreedMemory, OrderRequest, Plan};
pub(crate) use task::Preparation;
pub(crate) use threads::Threads;
