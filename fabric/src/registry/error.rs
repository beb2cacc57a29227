//! Why a registry can't be used.

use std::io;
use std::path::PathBuf;

use hearth_api::{Group, Rank, WorkerId};

use super::{MAX_RECORD_BYTES, MAX_WORKERS};

/// What went wrong, with the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL can't be read.
    #[error(
        "registry {url:?}: {problem}. Known are etcd://HOST:PORT[,…]/GROUP, etcds://HOST:PORT[,…]/GROUP, dir:PATH and static:HOST:PORT[,…]"
    )]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting is missing or out of range.
    #[error("registry setting {name}: {problem}")]
    Settings {
        /// The setting.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A file that a setting names can't be read.
    #[error("registry setting {name}: {path} can't be read")]
    File {
        /// The setting.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record belongs to another group than the registry's URL names.
    #[error(
        "the worker is in group {record}, the registry serves group {registry}: name the same group in [worker] group and in the registry's URL"
    )]
    Group {
        /// The record's group.
        record: Group,
        /// The registry's.
        registry: Group,
    },
    /// The record is beyond its limit.
    #[error(
        "the worker's record has {bytes} bytes, at most {MAX_RECORD_BYTES} are announced: serve fewer models, or shorten their names"
    )]
    RecordTooLarge {
        /// Its size as JSON.
        bytes: usize,
    },
    /// The record can't be put into JSON.
    #[error("the worker's record can't be written as JSON")]
    Encode {
        /// Why.
        source: serde_json::Error,
    },
    /// The worker's state folder can't be used.
    #[error(
        "state folder {path} can't be used: make it writable, or name another [worker] state_dir"
    )]
    State {
        /// The folder or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses the worker's state folder.
    #[error(
        "worker {worker_id} runs already on this host (its state folder {path} is locked): stop it, or give this one another [worker] id"
    )]
    StateInUse {
        /// The worker.
        worker_id: WorkerId,
        /// The folder.
        path: PathBuf,
    },
    /// Another live worker is announced under the same id.
    #[error(
        "worker id {worker_id} is in use in {target}: stop that worker, or give this one another [worker] id"
    )]
    WorkerIdInUse {
        /// The id.
        worker_id: WorkerId,
        /// The registry.
        target: String,
    },
    /// Another worker has the rank.
    #[error(
        "rank {rank} is held by worker {holder} in {target}: stop that worker, or use another [worker] rank, or \"auto\""
    )]
    DuplicateRank {
        /// The rank.
        rank: Rank,
        /// Who has it.
        holder: String,
        /// The registry.
        target: String,
    },
    /// All ranks are taken.
    #[error("{target} has no free rank: a group holds at most {MAX_WORKERS} workers")]
    Full {
        /// The registry.
        target: String,
    },
    /// The registry does not answer.
    #[error(
        "{target} can't be reached ({reason}): check that it runs and that the address is right"
    )]
    Unreachable {
        /// The registry.
        target: String,
        /// What happened.
        reason: String,
    },
    /// The registry refuses us.
    #[error(
        "{target} refuses access ({reason}): check the user, the password, and the user's right to read and write /hearth/v1/"
    )]
    Auth {
        /// The registry.
        target: String,
        /// What it said.
        reason: String,
    },
    /// No TLS connection can be made.
    #[error(
        "{target} can't be reached over TLS ({reason}): check etcds:// or etcd:// in the URL, and the authority, certificate and key in the settings"
    )]
    Tls {
        /// The registry.
        target: String,
        /// What happened.
        reason: String,
    },
    /// Announcements were lost, by expiry or by hand, and are being renewed.
    #[error("the announcement in {target} was lost: it is being renewed")]
    Lost {
        /// The registry.
        target: String,
    },
    /// The announcement's task ended without reporting why.
    #[error("the announcement ended by a fault of the program: the log says more")]
    Ended,
    /// A `dir` registry's folder is not there.
    #[error("{path} is not there: no worker was announced in it yet (`hearth up` starts a fleet)")]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A `dir` registry's folder does not answer.
    #[error(
        "{path} does not answer: mend the file system that it is on, or name a folder of this host's own"
    )]
    Silent {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a `dir` registry can't be used.
    #[error("{path} can't be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A host of a `static` registry has no address.
    #[error("{host} has no address ({reason}): check the name")]
    Resolve {
        /// Host and port.
        host: String,
        /// What happened.
        reason: String,
    },
}

impl Error {
    /// Whether it may pass by itself: the registry does not answer, which says nothing of what it
    /// would say.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. } | Self::Resolve { .. })
    }

    /// Whether two workers are in conflict, so that one of them has to give way.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::StateInUse { .. }
                | Self::WorkerIdInUse { .. }
                | Self::DuplicateRank { .. }
                | Self::Full { .. }
        )
    }
}
