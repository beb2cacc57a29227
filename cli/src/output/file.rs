//! Result files: seen whole or not at all.

use std::ffi::OsStr;
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

/// Whether files can be made in the folder of this path: tried before work is done for them.
pub(crate) fn check_folder(path: &Path) -> io::Result<()> {
    let probe = beside(path, OsStr::new("probe"));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path, name: &OsStr) -> PathBuf {
    let unique = uuid::Uuid::new_v4().simple();
    path.with_file_name(format!(".{}.{unique}", name.to_string_lossy()))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
    };
    let temporary = beside(path, name);
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
        assert!(check_folder(&nowhere).is_err() && check_folder(&path).is_ok());
        assert!(write(&nowhere, b"x").unwrap_err().to_string().contains("no/out.png"));
    }
}
