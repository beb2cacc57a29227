//! Starts replicas of a program somewhere, and follows them to their end.
//!
//! One trait, [`Launcher`], over engines that exist already: plain processes, systemd, Slurm,
//! Kubernetes, and whatever five programs of the user's reach. A launcher starts, polls, reads logs,
//! cancels and collects; it neither routes requests nor knows what its replicas do. What must
//! outlive the calling program is in a [`StateDir`], so another process goes on with the same
//! [`Handle`]s.
//!
//! ```no_run
//! # async fn example() -> Result<(), hearth_launchers::Error> {
//! use hearth_launchers::{LaunchSpec, Launchers, Options, StateDir};
//!
//! let launchers = Launchers::new(StateDir::new("/var/lib/jobs"), Options::default());
//! let launcher = launchers.by_name("process")?;
//! let mut spec = LaunchSpec::new("job", 3, "./job.sh");
//! spec.args = vec!["--part={rank}".to_owned()];
//! let handles = launcher.launch(&spec).await?;
//! for outcome in launcher.collect(&handles, None).await? {
//!     println!("{}: {} {:?}", outcome.rank, outcome.status, outcome.result);
//! }
//! # Ok(())
//! # }
//! ```

mod cards;
mod collect;
pub mod command;
mod draft;
mod error;
mod gpu_type;
mod handle;
pub mod kubernetes;
mod launcher;
mod launchers;
mod log_stream;
mod logs;
mod process;
mod replica;
pub mod shim;
pub mod slurm;
mod spec;
mod state;
pub mod systemd;

pub use error::Error;
pub use gpu_type::{GpuType, InvalidGpuType};
pub use handle::{Handle, InvalidHandle, LaunchId};
pub use launcher::{Capabilities, Launcher, LogLines, LogOptions};
pub use launchers::{Launchers, Options};
pub use process::ProcessLauncher;
pub use replica::{Outcome, Replica, Status};
pub use spec::{
    Files, Gpus, LaunchSpec, Owner, Placement, RANK_VARIABLE, RESULT_VARIABLE, Resources,
};
pub use state::{LaunchRecord, StateDir};
pub use systemd::SystemdLauncher;
