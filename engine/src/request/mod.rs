//! An accepted request, from its admission to its one end.
//!
//! [`admission`] checks a request and gives it a place among those under way, [`drive`] runs its
//! items side by side, [`item`] one item's attempts, [`trial`] sees that it costs few workers their
//! lives, as [`losses`] counts them, [`dispatch`] gives each item a slot on a worker. An [`attempt`]
//! follows the item there, or where it begins sooner ([`queues`]); workers without a place are asked
//! again after a [`backoff`]. [`mailbox`] carries what happens to the caller, who holds a
//! [`submission`]. [`attach`] follows a
//! request that another caller submitted.

mod admission;
mod attach;
mod attempt;
mod backoff;
mod dispatch;
mod drive;
mod item;
mod job;
mod losses;
mod mailbox;
mod output;
mod queues;
mod reply;
mod results;
mod submission;
mod trial;

pub(crate) use admission::{Admission, WhenFull};
pub(crate) use attach::attach;
pub(crate) use dispatch::Dispatcher;
pub use output::{ItemOutput, RequestEvent, RequestOutput};
pub use submission::Submission;
