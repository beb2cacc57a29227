//! What the launcher is called, and where it finds Slurm's commands.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The launcher's name.
pub(super) const NAME: &str = "slurm";

/// Where Slurm's commands are, and what they are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The folder that has them; as found on PATH when none.
    pub commands: Option<PathBuf>,
    /// Variables for them beside the caller's, such as `SLURM_CONF`.
    pub env: BTreeMap<String, String>,
}
