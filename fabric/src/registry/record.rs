//! Records as they are stored: JSON within a limit.

use hearth_protocol::record::WorkerRecord;

use super::{Error, MAX_RECORD_BYTES};

/// The record as it is stored.
pub(super) fn encode(record: &WorkerRecord) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(record).map_err(|source| Error::Encode { source })?;
    if json.len() > MAX_RECORD_BYTES {
        return Err(Error::RecordTooLarge { bytes: json.len() });
    }
    Ok(json)
}

/// A record that was stored under `id`; the reason if it can't be used.
pub(super) fn decode(id: &str, json: &[u8]) -> Result<WorkerRecord, String> {
    if json.len() > MAX_RECORD_BYTES {
        return Err(format!("{} bytes, at most {MAX_RECORD_BYTES} are read", json.len()));
    }
    let record: WorkerRecord = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    if record.worker_id.as_str() != id {
        return Err(format!("it is the record of {}", record.worker_id));
    }
    Ok(record)
}
