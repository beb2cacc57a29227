//! `generate`: one item of a request. Minor 1 called it a part, and so do the keys on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use hearth_api::{CallError, FinishReason, GenerationRequest, Incarnation, MediaFacts, RequestId};

/// The arguments of `generate`.
///
/// The call is idempotent by request id and item: a second call with the same content attaches to
/// the first, or has its kept result; with other content it fails as `id_conflict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateArgs {
    /// What to make. The seed is drawn already.
    pub request: GenerationRequest,
    /// Which item of it.
    #[serde(rename = "part")]
    pub item: ItemIndex,
    /// Most items that may run before this one: where there are more, a new item is refused as
    /// `queue_full`. None for as many as the worker's queue holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queue_position: Option<u32>,
    /// The runs of workers that were lost to the request before, as far as the caller knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Incarnation>,
}

/// Which item of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemIndex {
    /// Which, from 0; its seed is the request's plus this.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

/// The value of `generate`; the encoded item is the reply's one attachment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateValue {
    /// Which item of the request.
    #[serde(rename = "part")]
    pub item: ItemIndex,
    /// The seed that made it.
    pub seed: u64,
    /// Media type of the attachment.
    pub media_type: String,
    /// SHA-256 of the attachment, hex.
    pub sha256: String,
    /// Width in pixels, of what is no picture 0. For callers of minor 1, which know pictures alone.
    pub width: u32,
    /// Height in pixels, likewise.
    pub height: u32,
    /// What the attachment consists of; none from a worker of minor 1, where it is a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaFacts>,
    /// Steps taken.
    pub steps: u32,
    /// Milliseconds spent per phase.
    pub timings: BTreeMap<String, f64>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// How the item ended.
    pub finish_reason: FinishReason,
}

impl GenerateValue {
    /// What the attachment consists of, also where the worker is of minor 1.
    #[must_use]
    pub fn facts(&self) -> MediaFacts {
        let picture = MediaFacts::Image { width: self.width, height: self.height };
        self.media.clone().unwrap_or(picture)
    }
}

/// The arguments of `attach`. Leaving an attached call ends none of the items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachArgs {
    /// The request.
    pub request_id: RequestId,
    /// Which item of it; all that the worker has where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
}

/// The value of `attach`, once all the items have ended. Their results are the reply's attachments:
/// one per item that has a result, in their order, each called by its index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachValue {
    /// The items, by index.
    #[serde(rename = "parts")]
    pub items: Vec<AttachedItem>,
}

/// How an item ended. Exactly one of `generated` and `error` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachedItem {
    /// Which item of the request.
    #[serde(rename = "part")]
    pub item: ItemIndex,
    /// Its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<GenerateValue>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
}
