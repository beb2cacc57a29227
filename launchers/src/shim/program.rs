//! Finds programs: the shim itself, and what it is to run.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::Error;

/// The command that has the shim.
const HEARTH: &str = "hearth";
/// Its hidden subcommand.
pub const SUBCOMMAND: &str = "replica-shim";

/// The program that is each replica's shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    program: PathBuf,
}

impl Shim {
    /// This program; without one, the running one if it is `hearth`, else the `hearth` beside it
    /// or above it, else the one on PATH. Another program can be its own shim where it passes
    /// `replica-shim` on to [`crate::shim::run`].
    ///
    /// # Errors
    /// [`Error::Program`] where there is none.
    pub fn find(given: Option<&Path>) -> Result<Self, Error> {
        if let Some(given) = given {
            return Ok(Self { program: find(given, None)? });
        }
        let own = std::env::current_exe().unwrap_or_default();
        if own.file_name() == Some(OsStr::new(HEARTH)) {
            return Ok(Self { program: own });
        }
        let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(HEARTH));
        if let Some(program) = { beside }.find(|path| runs(path)) {
            return Ok(Self { program });
        }
        let remedy = "replicas run under it. Install it beside this program or on PATH";
        let program = find(Path::new(HEARTH), None).map_err(|_| Error::Program {
            program: PathBuf::from(HEARTH),
            remedy: remedy.to_owned(),
        })?;
        Ok(Self { program })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments for the replica in this folder.
    #[must_use]
    pub fn args(folder: &Path) -> [OsString; 3] {
        [SUBCOMMAND.into(), "--dir".into(), folder.into()]
    }
}

/// The file of a program: a path is taken from the working folder, a bare name looked up on
/// `path`, or where that is none on this process' PATH.
///
/// # Errors
/// [`Error::Program`]: it is not there, or can't be run.
pub fn find(program: &Path, path: Option<&OsStr>) -> Result<PathBuf, Error> {
    let refused = |remedy: &str| {
        Err(Error::Program { program: program.to_owned(), remedy: remedy.to_owned() })
    };
    if program.components().count() > 1 || program.has_root() {
        let found = std::path::absolute(program).unwrap_or_else(|_| program.to_owned());
        return match found.metadata() {
            Err(_) => refused("there is no such file"),
            Ok(metadata) if !metadata.is_file() => refused("it is no file"),
            Ok(_) if !runs(&found) => refused("it is not executable: chmod +x"),
            Ok(_) => Ok(found),
        };
    }
    let own = std::env::var_os("PATH");
    let path = path.map(OsStr::to_owned).or(own).unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    match places.find(|place| runs(place)) {
        Some(found) => Ok(std::path::absolute(&found).unwrap_or(found)),
        None => refused("no folder of PATH has it: give its path"),
    }
}

fn runs(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_refused_with_a_remedy() {
        assert!(find(Path::new("sh"), None).unwrap().is_absolute());
        assert!(find(Path::new("/bin/sh"), None).is_ok());
        let refused = |text: &str| find(Path::new(text), None).unwrap_err().to_string();
        assert!(refused("no-such-program").contains("PATH"));
        assert!(refused("./no-such-program").contains("no such file"));
        assert!(refused("/proc/self").contains("no file"));
        assert!(refused("/proc/self/stat").contains("chmod"));
        assert!(find(Path::new("sh"), Some(OsStr::new("/nowhere"))).is_err());
    }
}
