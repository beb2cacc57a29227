//! An engine's private folder on disk: locked for as long as the engine lives, and removed by the
//! next engine of the same host where one was killed.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

const PREFIX: &str = "hearth-engine-";
const LOCK: &str = "lock";

/// What the folder of an engine of this name is called.
pub(super) fn name(engine: &str) -> String {
    format!("{PREFIX}{engine}")
}

/// Makes the folder, under a lock that is held until the file is dropped.
pub(super) fn make(base: &Path, folder: &Path) -> io::Result<File> {
    fs::create_dir_all(base)?;
    // Locked before it has the name by which another engine would take it for a left one.
    let making = folder.with_extension("making");
    DirBuilder::new().mode(0o700).create(&making)?;
    let mut lock = File::create(making.join(LOCK))?;
    lock.lock()?;
    lock.write_all(Host::own().to_string().as_bytes())?;
    fs::rename(&making, folder)?;
    Ok(lock)
}

/// Removes what killed engines of this user left on this host. What can't be is left: it is in
/// nobody's way.
pub(super) fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    let me = rustix::process::getuid().as_raw();
    let here = Host::own();
    for entry in entries.flatten() {
        let ours = is_left(&entry.file_name().to_string_lossy())
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        let path = entry.path();
        // Open for writing: over NFS no other descriptor can be locked.
        if ours
            && let Ok(mut lock) = File::options().read(true).write(true).open(path.join(LOCK))
            && Host::read(&mut lock).is_some_and(|host| here.may_clear(&host))
            && lock.try_lock().is_ok()
        {
            drop(fs::remove_dir_all(&path));
        }
    }
}

fn is_left(name: &str) -> bool {
    name.starts_with(PREFIX) && !name.ends_with(".making")
}

/// The host that a folder's engine runs on. A shared file system may keep locks to each host, so
/// that a free lock says nothing of an engine elsewhere.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    name: String,
    /// New at each start of the host's kernel, and the same in its containers.
    boot: String,
}

/// Longest lock file that is read.
const HOST_BYTES: u64 = 1024;

impl Host {
    fn own() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { name, boot: boot.trim().to_owned() }
    }

    /// What a lock file says; none where it says nothing.
    fn read(lock: &mut File) -> Option<Self> {
        let mut text = String::new();
        lock.take(HOST_BYTES).read_to_string(&mut text).ok()?;
        let (name, boot) = text.trim().split_once('\n')?;
        Some(Self { name: name.to_owned(), boot: boot.to_owned() })
    }

    /// Whether the lock of that host's engine says here whether it lives: the same kernel has it,
    /// or an earlier one of this host had. Many hosts may be called localhost.
    fn may_clear(&self, other: &Self) -> bool {
        let same_kernel = !self.boot.is_empty() && self.boot == other.boot;
        same_kernel || self.name == other.name && self.name != "localhost"
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.name, self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_engines_of_this_host_left_is_removed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let here = Host::own();
        let left = |name: &str, lock: &str| {
            let folder = base.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(LOCK), lock).unwrap();
            folder
        };
        let host = |name: &str, boot: &str| format!("{name}\n{boot}\n");
        let killed = left("mp-0", &here.to_string());
        let before_a_reboot = left("mp-1", &host(&here.name, "another"));
        let elsewhere = left("mp-2", &host("another", "another"));
        let unknown = left("mp-3", "");
        let live = base.path().join(name("mp-4"));
        let _lock = make(base.path(), &live).unwrap();
        sweep(base.path());
        assert!(!killed.exists() && (here.name == "localhost" || !before_a_reboot.exists()));
        assert!(elsewhere.exists() && unknown.exists() && live.exists());
    }
}
