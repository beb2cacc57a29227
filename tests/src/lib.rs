//! What the end-to-end tests share: real processes, a real etcd, a fleet of real workers.
//!
//! The programs are those that cargo built beside the tests (`cargo build --workspace --bins`).
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod etcd;
mod fleet;
mod picture;
mod process;
mod relay;
mod scrape;
mod skip;
mod slurm;
mod sshd;
mod turn;
mod user_manager;

pub use etcd::Etcd;
pub use fleet::{Fleet, FleetOptions, Run, source};
pub use picture::{Picture, family, reference, references, unpacked};
pub use process::{Process, program, signal, until};
pub use relay::{Loss, Relay};
pub use scrape::{MetricTypes, assert_shows, documented_metrics, shown_metrics};
pub use skip::skip;
pub use slurm::SlurmCluster;
pub use sshd::Sshd;
pub use turn::Turn;
pub use user_manager::{UserManager, under_user_manager};
