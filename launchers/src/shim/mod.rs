//! The small process above each replica: `hearth replica-shim --dir FOLDER`.
//!
//! It reads its [`Plan`] in the replica's folder, starts the program in a session of its own,
//! enforces its timeout, keeps its log within bounds, ends it when it is asked to, and writes a
//! [`Report`] that every launcher reads. So a replica's status means the same with each
//! launcher, and is known without anybody having waited for it.
//!
//! Three stages of the same program work together. The *shim* is the program's parent. The
//! *program* stage prepares its own process (session, cores, death with its parent) and becomes
//! the program. The *guard* stands aside and kills what the program has started, should the shim
//! be killed itself. Nothing here needs a runtime or a network from the caller.

mod guard;
mod members;
mod memory;
mod output;
mod owner;
mod plan;
mod process_id;
mod program;
mod program_stage;
mod report;
mod stage;
mod supervise;

use std::path::Path;
use std::process::ExitCode;

pub(crate) use guard::clear;
pub(crate) use output::aged;
pub use plan::{Binding, Log, Plan};
pub use process_id::ProcessId;
pub use program::{SUBCOMMAND, Shim, find};
pub use report::Report;
pub use stage::Stage;

/// Runs a stage of the replica in this folder to its end. To be called in `main` before any other
/// thread exists: the program dies with the thread that started it.
///
/// The shim's status is its program's (128 and the signal where one ended it), 124 after a
/// timeout, 143 when it was cancelled, 2 where it could not begin.
#[must_use]
pub fn run(folder: &Path, stage: Stage) -> ExitCode {
    match stage {
        Stage::Shim => supervise::run(folder),
        Stage::Guard => guard::run(folder),
        Stage::Program => program_stage::run(folder),
    }
}
