//! The protocol's version and the greeting that settles it.
//!
//! ALPN carries the major version: peers of different majors never finish the handshake. Inside a
//! major, the first stream of a connection carries [`Hello`] from the caller and [`Welcome`] from
//! the worker; the lower minor of the two is spoken. A peer talks with minors one below and one
//! above its own.
//!
//! | minor | what changed on the wire |
//! | --- | --- |
//! | 0 | first version |
//! | 1 | `generate`: the fields of further model families, from `prompt_2` to `latents`, those of
//!       ControlNets among them, `noise_device` and `lora`; files that a request brings along are its
//!       call's attachments, named like the fields. A worker
//!       of minor 0 refuses a request that has one, as `invalid_argument` that names it |
//! |   | methods `attach`, `infer`, `sleep`, `wake_up`, `load_model`, `unload_model`, `profile`; a
//!       worker of minor 0 refuses them as `unknown_method` |
//! |   | models that are `on_demand`, `sleeping` or `unloaded`; a caller of minor 0 reads `unknown` |
//! |   | element types `f64`, `i8`, `i16`, `u16`, `u32`, `u64`, in calls of `infer` alone |
//! |   | further fields of records, models and requests, which minor 0 skips |
//! | 2 | `generate`: the result says what it consists of (`media`), for any kind of media; a worker of
//!       minor 1 makes pictures alone, whose `width` and `height` go on being sent |
//! |   | an error may say when to try again (`retry_after_ms`); minor 1 skips it |
//! |   | progress counts steps of the phase that it names, whatever the phase |
//! |   | `list_models` leaves out of a bare graph what pictures have (`latent_channels`, `max_steps`,
//!       `max_prompt_chars`); minor 1 reads 0 |
//! |   | kind `overloaded` of an error: the peer has no room for what this identity asks; minor 1 reads
//!       `unknown`, and that it is retryable. Connections are closed for the same with code 6, and with
//!       code 7 when a certificate that they were made with ends or is revoked; to minor 1 both are
//!       refusals |
//! |   | `drain`, `resume`, `sleep` and `wake_up` are an administrator's, and `cancel` of a request that
//!       the caller has neither sent nor attached to; a coordinator gets `permission_denied` |
//! |   | `check_health`: the worker's clock (`time_ms`); minor 1 sends none, and skips it |
//! |   | `traceparent` of a request is filled, and spans come in the trailer; minor 1 sends none |
//! |   | a worker says how much it has to do (`load`), in [`Welcome`] and in `check_health`; minor 1
//!       says nothing of it, and its items stay where they were placed |
//! |   | `generate` takes `max_queue_position`: the item is refused as `queue_full` where it would wait
//!       longer. Minor 1 skips it and queues the item, whose `queue_position` then says so |
//! |   | `queue_full` says when a place may be free (`retry_after_ms`) |
//! |   | a reply's error names the call's attempt also where the request's attachments are at fault;
//!       minor 1 says 0 there, which a caller takes for its attempt |
//! |   | a worker may be `unhealthy`; minor 1 reads `unknown`, which takes no requests either |
//! |   | a worker's record and its health name the requests that workers were lost to (`suspects`), a
//!       call of `generate` the runs that were lost to it (`lost`), and a worker refuses one that two
//!       were lost to as `quarantined`, which minor 1 reads as `unknown`, not to be retried; minor 1
//!       sends and reads none of it |
//! |   | steps may be shared: a worker says how many items a slot has room for (`batch` of its capacity)
//!       and beside how many an item begins (`sharing` of `Accepted`); minor 1 skips both. `generate`
//!       takes `exact` and `guidance_interval`, which minor 1 refuses as `invalid_argument` |
//! |   | method `logs`; a worker of minor 1 refuses it as `unknown_method` |
//!
//! Minor 2 has room for what is to come: a caller that takes an item in pieces says so by a
//! capability or reads a further field, and a peer that doesn't know it skips it.

use serde::{Deserialize, Serialize};

use crate::message::Load;
use hearth_api::{CallError, ErrorKind, Group, Incarnation, Rank, WorkerId};

/// The TLS application protocol: `hearth/<major>`.
pub const ALPN: &[u8] = b"hearth/1";

/// The minor version that this crate speaks.
pub const MINOR: u16 = 2;

/// The minors that a peer speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// Oldest.
    pub min: u16,
    /// Newest.
    pub max: u16,
}

impl ProtocolRange {
    /// What this crate speaks.
    pub const OURS: Self = Self { min: MINOR.saturating_sub(1), max: MINOR };

    /// The newest minor that both speak.
    ///
    /// # Errors
    /// [`ErrorKind::VersionMismatch`] names both ranges.
    pub fn agree(self, peer: Self) -> Result<u16, CallError> {
        let minor = self.max.min(peer.max);
        if minor >= self.min && minor >= peer.min {
            return Ok(minor);
        }
        Err(CallError::new(
            ErrorKind::VersionMismatch,
            format!(
                "this side speaks hearth/1 minors {}..={}, the peer {}..={}: upgrade the older one",
                self.min, self.max, peer.min, peer.max
            ),
        ))
    }
}

/// A caller's greeting, the first frame of its first stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The minors that the caller speaks.
    pub protocol: ProtocolRange,
    /// Program and version, for logs.
    pub agent: String,
    /// Optional features that the caller understands.
    pub capabilities: Vec<String>,
}

/// A worker's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The minor that the connection speaks from now on.
    pub minor: u16,
    /// Program and version, for logs.
    pub agent: String,
    /// Optional features that the worker understands.
    pub capabilities: Vec<String>,
    /// The worker's name.
    pub worker_id: WorkerId,
    /// The worker's group.
    pub group: Group,
    /// The worker's rank, when it has one already.
    pub rank: Option<Rank>,
    /// The worker's run.
    pub incarnation: Incarnation,
    /// How much it has to do; none from a worker of minor 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_agree_and_strangers_are_told_why() {
        let range = |min, max| ProtocolRange { min, max };
        assert_eq!(range(3, 4).agree(range(4, 5)), Ok(4));
        assert_eq!(range(4, 5).agree(range(3, 4)), Ok(4));
        let error = range(0, 1).agree(range(2, 3)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::VersionMismatch);
        assert!(error.message.contains("2..=3"), "{}", error.message);
    }
}
