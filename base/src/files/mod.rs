//! Small files that must never be seen half written, and work on files that must never keep the
//! network waiting.

mod kept;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub use kept::KeptFile;

/// Works on files on a thread that may wait: a folder on a network may not answer for minutes, and
/// calls must not wait with it. The work goes on where its caller does not.
///
/// # Errors
/// The work panicked, or the runtime ends.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Replaces the file at `path` in one step: a reader sees the old content or the new.
///
/// # Errors
/// The folder is not there, or can't be written to; nothing is left of the new content.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_by(path, content, mode, File::sync_all)
}

/// As [`replace`], without waiting for the disk: the content survives the end of the process, and
/// not that of the machine.
///
/// # Errors
/// As [`replace`].
pub fn replace_at_once(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_by(path, content, mode, |_| Ok(()))
}

fn replace_by(
    path: &Path,
    content: &[u8],
    mode: u32,
    sync: fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file's path"));
    };
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let temporary = folder.join(format!(".{}.{process}.{unique}", name.to_string_lossy()));
    let written = write_new(&temporary, content, mode).and_then(|file| sync(&file));
    let written = written.and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<File> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    Ok(file)
}

/// Makes a folder, and those above it, that only this user can enter. One that is there is kept.
///
/// # Errors
/// One above it is no folder, or can't be written to.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes a folder of this user away from all others.
///
/// # Errors
/// It is not this user's.
pub fn restrict_folder(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(path, fs::Permissions::from_mode(0o700)),
    }
}
