//! `generate`: one image of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use hearth_api::{CallError, FinishReason, GenerationRequest, MediaFacts, RequestId};

/// The arguments of `generate`.
///
/// The call is idempotent by request id and part: a second call with the same content attaches to
/// the first, or has its kept result; with other content it fails as `id_conflict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateArgs {
    /// What to make. The seed is drawn already.
    pub request: GenerationRequest,
    /// Which image of it.
    pub part: Part,
}

/// One image of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Which, from 0; its seed is the request's plus this.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

/// The value of `generate`; the encoded item is the reply's one attachment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Which image of the request.
    pub part: Part,
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
    /// How the image ended.
    pub finish_reason: FinishReason,
}

impl Generated {
    /// What the attachment consists of, also where the worker is of minor 1.
    #[must_use]
    pub fn facts(&self) -> MediaFacts {
        let picture = MediaFacts::Image { width: self.width, height: self.height };
        self.media.clone().unwrap_or(picture)
    }
}

/// The arguments of `attach`. Leaving an attached call ends none of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachArgs {
    /// The request.
    pub request_id: RequestId,
    /// Which image of it; all that the worker has where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
}

/// The value of `attach`, once all the parts have ended. The pictures are the reply's attachments:
/// one per part that has a result, in their order, each called by its index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachValue {
    /// The parts, by index.
    pub parts: Vec<AttachedPart>,
}

/// How a part ended. Exactly one of `generated` and `error` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachedPart {
    /// Which image of the request.
    pub part: Part,
    /// Its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<Generated>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
}
