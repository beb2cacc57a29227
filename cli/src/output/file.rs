//! Result files: seen whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Writes a file beside its place and moves it there. What stood there is replaced; a link that
/// stood there is replaced too, and not followed.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    replace(path, content).map_err(|error| {
        Failure::failed(format!("{} can't be written", path.display())).caused_by(Some(&error))
    })
}

/// Whether this file can be made: tried before work is done for it.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let probe = beside(path);
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}

/// A name in the same folder that nobody else has, however long the path's own is.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".hearth.{}", uuid::Uuid::new_v4().simple()))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
    }
    let temporary = beside(path);
    // `create_new` refuses a name that somebody prepared.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("out.png"), folder.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        write(&path, b"picture").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"picture");
        assert_eq!(fs::read(&other).unwrap(), b"precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
        let nowhere = folder.path().join("no/out.png");
        assert!(check(&nowhere).is_err() && check(&path).is_ok());
        assert!(write(&nowhere, b"x").unwrap_err().to_string().contains("no/out.png"));
        let long = |letters| folder.path().join("x".repeat(letters));
        write(&long(255), b"x").unwrap();
        assert!(check(&long(255)).is_ok() && check(&long(256)).is_err());
        assert!(check(folder.path()).is_err(), "a folder");
    }
}
