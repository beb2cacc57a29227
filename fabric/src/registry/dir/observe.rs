//! Looks at a `dir` registry's files a few times a second.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::WorkerId;
use hearth_protocol::record::WorkerRecord;
use tokio_util::sync::CancellationToken;

use super::layout::{Layout, answered, failed};
use crate::registry::record::decode;
use crate::registry::view::Publisher;
use crate::registry::{Error, MAX_RECORD_BYTES, MAX_WORKERS, lock};
use hearth_base::files;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(200);

/// What was read of the files last time, so that an unchanged one is not read again.
type Entries = BTreeMap<WorkerId, Entry>;

#[derive(Clone)]
struct Entry {
    stamp: Stamp,
    /// None where the record can't be used.
    record: Option<Arc<WorkerRecord>>,
}

/// Changes whenever a file is replaced: inode, modification time (s, ns) and length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, i64, i64, u64);

/// Publishes the workers that are there until it is cancelled.
pub(super) async fn follow(layout: Arc<Layout>, publisher: Publisher, cancel: CancellationToken) {
    let mut seen = Arc::new(Entries::new());
    loop {
        let (of, last) = (Arc::clone(&layout), Arc::clone(&seen));
        let looking = files::run_blocking(move || look(&of, &last));
        let looked = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            looked = answered(looking, || publisher.stale(layout.silent())) => looked,
        };
        let workers = layout.workers();
        match looked.unwrap_or_else(Err) {
            Ok(now) => {
                let record = |(id, entry): (&WorkerId, &Entry)| {
                    entry.record.as_ref().map(|record| (id.clone(), Arc::clone(record)))
                };
                publisher.replace(now.iter().filter_map(record).collect());
                seen = Arc::new(now);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                publisher.empty(Error::NoFolder { path: layout.root.clone() });
            }
            Err(error) => publisher.stale(failed(&workers)(error)),
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// The live workers' records.
fn look(layout: &Layout, last: &Entries) -> io::Result<Entries> {
    let mut now = Entries::new();
    for file in fs::read_dir(layout.workers())? {
        let name = file?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
        // Files that are being written begin with a dot and end otherwise.
        let Ok(id) = WorkerId::new(id) else { continue };
        if !lock::is_held(&layout.lock(&id))? {
            continue;
        }
        if now.len() >= MAX_WORKERS {
            tracing::warn!("{} holds more than {MAX_WORKERS} workers", layout.target());
            break;
        }
        if let Some(entry) = entry(&layout.record(&id), &id, last.get(&id))? {
            now.insert(id, entry);
        }
    }
    Ok(now)
}

/// A worker's record, unless it went away meanwhile.
fn entry(path: &Path, id: &WorkerId, last: Option<&Entry>) -> io::Result<Option<Entry>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    let stamp = Stamp(meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len());
    if let Some(last) = last.filter(|last| last.stamp == stamp) {
        return Ok(Some(last.clone()));
    }
    let mut json = Vec::new();
    file.take(MAX_RECORD_BYTES as u64 + 1).read_to_end(&mut json)?;
    let record = match decode(id.as_str(), &json) {
        Ok(record) => Some(Arc::new(record)),
        Err(reason) => {
            tracing::warn!(path = %path.display(), reason, "a record is skipped");
            None
        }
    };
    Ok(Some(Entry { stamp, record }))
}
