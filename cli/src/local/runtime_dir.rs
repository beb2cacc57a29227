//! The folder that a local fleet lives in.
//!
//! `up.lock` is held for as long as the fleet lives, `up.json` says how to reach it, and everything
//! else is in a folder of that run, so that a new fleet never meets an old one's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_base::files;
use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::environment::Environment;
use crate::exit::Failure;

const LOCK: &str = "up.lock";
const STATE: &str = "up.json";
const RUN: &str = "run-";

/// How long another command's look at the lock may take.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(20);

/// The content of `up.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FleetRecord {
    pub(crate) pid: u32,
    /// `dir:PATH`.
    pub(crate) registry: String,
    /// Folder of an admin's certificate.
    pub(crate) pki: PathBuf,
    /// The coordinator's URL.
    pub(crate) http: Option<String>,
}

/// Where local fleets of this user live.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// The folder that the flag or the environment names, or the user's own.
    pub(crate) fn locate(global: &Global, env: &Environment) -> Self {
        let given = global.runtime_dir.clone().or_else(|| env.runtime_dir.clone());
        let own = || match &env.xdg_runtime_dir {
            Some(dir) => dir.join("hearth"),
            None => PathBuf::from(format!("/tmp/hearth-{}", rustix::process::getuid().as_raw())),
        };
        Self { path: given.unwrap_or_else(own) }
    }

    /// The fleet that lives here now.
    pub(crate) fn running(&self) -> Option<FleetRecord> {
        // In /tmp anybody could have made the folder, and would be handed our requests.
        check_private(&self.path).ok()?;
        if !is_held(&self.path.join(LOCK)) {
            return None;
        }
        serde_json::from_slice(&fs::read(self.path.join(STATE)).ok()?).ok()
    }

    /// A folder that only this process knows, for a fleet that nobody else should find.
    pub(crate) fn private(env: &Environment) -> Result<Claim, Failure> {
        let base = env.xdg_runtime_dir.clone().unwrap_or_else(std::env::temp_dir);
        let path = base.join(format!("hearth-local-{}", uuid::Uuid::new_v4().simple()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            let path = path.display();
            Failure::usage(format!("the runtime folder {path} can't be made"))
                .caused_by(Some(&error))
        })?;
        Ok(Claim { run: path.clone(), path, lock: None })
    }

    /// Takes the folder for a new fleet.
    pub(crate) fn claim(&self) -> Result<Claim, Failure> {
        let path = &self.path;
        let unusable = |error: &io::Error| {
            let path = path.display();
            Failure::usage(format!("the runtime folder {path} can't be used"))
                .caused_by(Some(error))
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| check_private(path))
            .map_err(|error| unusable(&error))?;
        let path = &fs::canonicalize(path).map_err(|error| unusable(&error))?;
        let lock = hold(&path.join(LOCK)).map_err(|error| unusable(&error))?;
        let Some(lock) = lock else {
            let who = match self.running() {
                Some(running) => format!("pid {}", running.pid),
                None => "it is starting".to_owned(),
            };
            return Err(Failure::failed(format!(
                "hearth up runs already on this host ({who}, in {}): end it with Ctrl-C or kill, \
                 or set HEARTH_RUNTIME_DIR to another folder",
                path.display()
            )));
        };
        clear(path).map_err(|error| unusable(&error))?;
        let run = path.join(format!("{RUN}{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&run).map_err(|error| unusable(&error))?;
        Ok(Claim { path: path.clone(), run, lock: Some(lock) })
    }
}

/// A fleet's hold on its folder; what it left is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    run: PathBuf,
    /// Free when the process is gone, however it ends; none where nobody else knows the folder.
    lock: Option<File>,
}

impl Claim {
    /// The folder of this run.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    /// Lets other commands find the fleet.
    pub(crate) fn publish(&self, running: &FleetRecord) -> Result<(), Failure> {
        let path = self.path.join(STATE);
        let json = serde_json::to_vec_pretty(running).map_err(anyhow::Error::from)?;
        files::replace(&path, &json, 0o600).map_err(|error| {
            Failure::failed(format!("{} can't be written", path.display())).caused_by(Some(&error))
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A lock is still held: nobody else uses the folder.
        let cleared = match self.lock {
            Some(_) => clear(&self.path),
            None => fs::remove_dir_all(&self.path),
        };
        if let Err(error) = cleared {
            tracing::warn!(path = %self.path.display(), %error, "not all could be removed");
        }
    }
}

/// A directory, no link, of this user, that nobody else may enter.
fn check_private(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let own = metadata.uid() == rustix::process::getuid().as_raw();
    if metadata.is_dir() && own && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let message = "it has to be a folder of your own that nobody else may enter (chmod 700)";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn is_held(lock: &Path) -> bool {
    let Ok(file) = File::open(lock) else { return false };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

/// Locks the file; none where another fleet holds it.
fn hold(lock: &Path) -> io::Result<Option<File>> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Removes what a fleet leaves; the lock's file stays, for its place in the file system is the
/// lock.
fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(RUN) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if name == STATE {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn running() -> FleetRecord {
        FleetRecord {
            pid: 42,
            registry: "dir:/x".to_owned(),
            pki: PathBuf::from("/x/pki"),
            http: Some("http://127.0.0.1:8000".to_owned()),
        }
    }

    #[test]
    fn one_fleet_at_a_time_and_a_stale_one_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RuntimeDir { path: folder.path().join("hearth") };
        assert_eq!(dir.running(), None);
        let claim = dir.claim().unwrap();
        claim.publish(&running()).unwrap();
        assert_eq!(dir.running(), Some(running()));
        let refused = dir.claim().unwrap_err().to_string();
        assert!(refused.contains("pid 42"), "{refused}");

        fs::write(dir.path.join("run-1"), "a file of somebody else's").unwrap();
        fs::create_dir(dir.path.join("run-2")).unwrap();
        drop(claim);
        assert_eq!(dir.running(), None);
        assert!(!dir.path.join("run-2").exists() && !dir.path.join(STATE).exists());

        fs::write(dir.path.join(STATE), serde_json::to_vec(&running()).unwrap()).unwrap();
        assert_eq!(dir.running(), None, "nobody holds the lock");
        assert!(dir.claim().is_ok());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = RuntimeDir { path: folder.path().to_owned() };
        assert!(dir.claim().unwrap_err().to_string().contains("chmod 700"));
        let link = tempfile::tempdir().unwrap();
        let path = link.path().join("link");
        std::os::unix::fs::symlink(link.path(), &path).unwrap();
        assert!(RuntimeDir { path }.claim().is_err());
    }
}
