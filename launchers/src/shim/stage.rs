//! The three processes of a replica, and how one of them starts another.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use super::Shim;

/// Which of the three processes this is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// The one that a launcher starts.
    #[default]
    Shim,
    /// The one that kills what is left when the shim was killed.
    Guard,
    /// The one that becomes the program.
    Program,
}

impl Stage {
    /// The value of `--stage`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shim => "shim",
            Self::Guard => "guard",
            Self::Program => "program",
        }
    }
}

impl FromStr for Stage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = [Self::Shim, Self::Guard, Self::Program].into_iter();
        all.find(|stage| stage.name() == text).ok_or("stages are shim, guard and program")
    }
}

/// A command that runs this program as another stage of the same replica.
pub(super) fn command(folder: &Path, stage: Stage) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(Shim::args(folder)).args(["--stage", stage.name()]);
    Ok(command)
}
