//! The folder that keeps what must outlive the calling program.
//!
//! `LAUNCH/launch.json` is the launch's record, `LAUNCH/RANK/` a replica's own folder. Everything
//! is this user's alone: replicas find their keys there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hearth_base::files;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Files, Handle, LaunchId, LaunchSpec};

const RECORD: &str = "launch.json";
const FILES: &str = "files";
const RESULT: &str = "result.json";

/// Where launches are kept.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// A launch as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// The launch.
    pub id: LaunchId,
    /// The launcher's name.
    pub launcher: String,
    /// What was launched, without its files.
    pub spec: LaunchSpec,
    /// What the engine below calls it: Slurm's job, Kubernetes' namespace and Job, the systemd
    /// manager (`system` or `user`), the program that launched it; empty for plain processes.
    /// Slurm's and Kubernetes' jobs, and that program, are added once the engine has said that it
    /// has them.
    pub native: String,
    /// When, in milliseconds since 1970.
    pub created_at_ms: u64,
}

impl LaunchRecord {
    /// A record of a launch that begins now.
    #[must_use]
    pub fn new(id: LaunchId, launcher: &str, spec: &LaunchSpec, native: &str) -> Self {
        Self {
            id,
            launcher: launcher.to_owned(),
            spec: LaunchSpec { files: Vec::new(), ..spec.clone() },
            native: native.to_owned(),
            created_at_ms: now_ms(),
        }
    }

    /// How long ago it began, by the wall clock.
    #[must_use]
    pub fn age(&self) -> Duration {
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(self.created_at_ms);
        SystemTime::now().duration_since(began).unwrap_or_default()
    }

    /// Its replicas' handles, in rank order.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        (0..self.spec.replicas).map(|rank| Handle {
            launcher: self.launcher.clone(),
            launch: self.id.clone(),
            rank,
        })
    }
}

impl StateDir {
    /// The state in this folder, which is made when it is first written to.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // Replicas run elsewhere, and are told of files in it.
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a launch.
    #[must_use]
    pub fn launch_folder(&self, launch: &LaunchId) -> PathBuf {
        self.path.join(launch.as_str())
    }

    /// A replica's own folder.
    #[must_use]
    pub fn replica_folder(&self, launch: &LaunchId, rank: u32) -> PathBuf {
        self.launch_folder(launch).join(rank.to_string())
    }

    /// The folder that has a replica's files.
    #[must_use]
    pub fn files_folder(&self, launch: &LaunchId, rank: u32) -> PathBuf {
        self.replica_folder(launch, rank).join(FILES)
    }

    /// Where a replica leaves its result.
    #[must_use]
    pub fn result_file(&self, launch: &LaunchId, rank: u32) -> PathBuf {
        self.replica_folder(launch, rank).join(RESULT)
    }

    /// Makes the folders of a launch, each replica's with its files, and writes the record.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn create(&self, record: &LaunchRecord, files: &[Files]) -> Result<(), Error> {
        for rank in 0..record.spec.replicas {
            let folder = self.files_folder(&record.id, rank);
            make_folder(&folder)?;
            for (name, content) in files.get(rank as usize).into_iter().flatten() {
                replace(&folder.join(name), content)?;
            }
        }
        self.save(record)
    }

    /// Writes a launch's record in place of the one that is there.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn save(&self, record: &LaunchRecord) -> Result<(), Error> {
        write_json(&self.launch_folder(&record.id).join(RECORD), record)
    }

    /// A launch's record; none where there is no such launch.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn load(&self, launch: &LaunchId) -> Result<Option<LaunchRecord>, Error> {
        read_json(&self.launch_folder(launch).join(RECORD))
    }

    /// The launches that these handles of one launcher belong to.
    ///
    /// # Errors
    /// [`Error::ForeignHandle`] for a handle of another launcher, [`Error::UnknownReplica`] for
    /// one whose launch or rank there is not, [`Error::State`].
    pub fn launches_of(
        &self,
        launcher: &'static str,
        handles: &[Handle],
    ) -> Result<BTreeMap<LaunchId, LaunchRecord>, Error> {
        let foreign = |handle: &&Handle| handle.launcher != launcher;
        if let Some(handle) = handles.iter().find(foreign) {
            return Err(Error::ForeignHandle { handle: handle.clone(), asked: launcher });
        }
        let mut records: BTreeMap<LaunchId, LaunchRecord> = BTreeMap::new();
        for handle in handles {
            let unknown = || Error::UnknownReplica { handle: handle.clone() };
            if !records.contains_key(&handle.launch) {
                let record = self.load(&handle.launch)?.ok_or_else(unknown)?;
                records.insert(handle.launch.clone(), record);
            }
            let record = &records[&handle.launch];
            if record.launcher != launcher || handle.rank >= record.spec.replicas {
                return Err(unknown());
            }
        }
        Ok(records)
    }

    /// All launches, oldest first. A folder without a record is passed over: its launch has not
    /// come so far, or is being removed.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn list(&self) -> Result<Vec<LaunchRecord>, Error> {
        let state = |source| Error::State { path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(state(error)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let name = entry.map_err(state)?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            if let Some(id) = id {
                records.extend(self.load(&id)?);
            }
        }
        records.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        Ok(records)
    }

    /// Removes all that is kept of a launch.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn remove(&self, launch: &LaunchId) -> Result<(), Error> {
        let path = self.launch_folder(launch);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::State { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// The time in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Makes a folder, and those above it, for this user alone.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    files::private_folder(path).map_err(|source| Error::State { path: path.to_owned(), source })
}

/// Writes a value as JSON: a reader sees the old file or the new, never a part.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::State { path: path.to_owned(), source: error.into() })?;
    replace(path, &json)
}

/// Reads a value; none where there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let state = |source| Error::State { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| state(error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(state(error)),
    }
}

fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let written = files::replace(path, content, 0o600);
    written.map_err(|source| Error::State { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_kept_with_their_files_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().join("replicas"));
        assert_eq!(state.list().unwrap(), []);
        let spec = LaunchSpec::new("workers", 2, "true");
        let record = LaunchRecord::new(LaunchId::draw("workers"), "process", &spec, "");
        let files = |text: &str| Files::from([("tls.key".to_owned(), text.as_bytes().to_vec())]);
        state.create(&record, &[files("a"), files("b")]).unwrap();
        assert_eq!(state.list().unwrap(), std::slice::from_ref(&record));
        let key = state.files_folder(&record.id, 1).join("tls.key");
        assert_eq!(fs::read(&key).unwrap(), b"b");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let handles: Vec<_> = record.handles().map(|handle| handle.rank).collect();
        assert_eq!(handles, [0, 1]);
        state.remove(&record.id).unwrap();
        state.remove(&record.id).unwrap();
        assert_eq!(state.load(&record.id).unwrap(), None);
    }
}
