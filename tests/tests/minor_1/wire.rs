//! The messages of minor 1 as its programs send and read them, written down apart from the protocol
//! crate so that they never change with it. What a message has besides is skipped, as they do.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) min: u16,
    pub(crate) max: u16,
}

/// What a program of minor 1 speaks.
pub(crate) const RANGE: Range = Range { min: 0, max: 1 };

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: Range,
    pub(crate) agent: String,
    pub(crate) capabilities: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) minor: u16,
    pub(crate) agent: String,
    pub(crate) capabilities: Vec<String>,
    pub(crate) worker_id: String,
    pub(crate) group: String,
    pub(crate) rank: Option<u32>,
    pub(crate) incarnation: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) incarnation: Option<String>,
    pub(crate) method: String,
    pub(crate) args: ByteBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GenerateArgs {
    pub(crate) request: Generation,
    pub(crate) part: Part,
}

/// Some of the fields that minor 1 has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_images: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_inference_steps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) phase: String,
    pub(crate) step: u32,
    pub(crate) steps: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) attempt: u32,
    pub(crate) incarnation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<CallError>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attachments: Vec<Attachment>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallError {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) len: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Generated {
    pub(crate) part: Part,
    pub(crate) seed: u64,
    pub(crate) media_type: String,
    pub(crate) sha256: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) steps: u32,
    pub(crate) timings: BTreeMap<String, f64>,
    pub(crate) warnings: Vec<String>,
    pub(crate) finish_reason: String,
}

/// A trailer without spans: minor 1 sends none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trailer {
    pub(crate) spans: [(); 0],
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("a message")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    rmp_serde::from_slice(bytes).expect("a message that minor 1 reads")
}
