//! The small process above each replica: `hearth replica-shim --dir FOLDER`.
//!
//! It reads its [`Plan`] in the replica's folder, starts the program in a session of its own,
//! enforces its timeout, keeps its log within bounds, ends it when it is asked to, and writes a
//! [`Report`] that every launcher reads. So what a replica's status means is the same on each
//! engine, and is known without anybody having waited for it.

mod plan;
mod process_id;
mod program;
mod report;

pub use plan::{Binding, Log, Plan};
pub use process_id::ProcessId;
pub use program::{SUBCOMMAND, Shim, find};
pub use report::Report;
