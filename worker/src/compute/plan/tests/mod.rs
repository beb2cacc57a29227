//! The plan by itself: rows of what came to pass and what follows, and random histories.

mod hands;
mod histories;
mod interleavings;
mod rows;
mod script;
mod sharing;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use hearth_api::{ErrorKind, FinishReason};
use hearth_inference::model::{BatchKey, Description};
use hearth_inference::progress::Progress;
use hearth_protocol::methods::{GenerateValue, ItemIndex};

use super::*;
use crate::items::{self, ItemOutput};
use crate::models::{Facts, Residency};

const GRACE: Duration = Duration::from_secs(30);

fn bounds(slots: u32, max_batch: usize) -> Bounds {
    let items = items::Bounds { slots, queue: 8, orphan_grace: GRACE };
    Bounds { items, max_batch, longest_step: Duration::from_secs(60) }
}

/// A model that is not in memory.
fn model(name: &str) -> Model {
    let path = std::path::Path::new("/m").join(name);
    let residency = Residency::OnDemand;
    Model {
        name: name.to_owned(),
        aliases: Vec::new(),
        path,
        configured: true,
        failures: 0,
        residency,
    }
}

/// A model that the start loads.
fn first_model(name: &str) -> Model {
    Model { residency: Residency::Loading(Progress::default()), ..model(name) }
}

/// What is known of each model. The plan looks at nothing but the digest.
fn facts() -> Facts {
    static DESCRIPTION: LazyLock<Arc<Description>> = LazyLock::new(|| {
        Arc::new(Description {
            family: "onnx",
            device: "cpu".to_owned(),
            weight_bytes: 1,
            digest: "of this model".to_owned(),
            graphs: Vec::new(),
            pictures: None,
        })
    });
    Facts { description: Arc::clone(&DESCRIPTION), preparer: None }
}

/// What requests for `facts` are prepared for; those that share anything share slots.
fn prepared(shares: Option<&'static str>) -> PreparationFacts {
    let digest = facts().description.digest.clone();
    PreparationFacts { digest, shares: shares.map(BatchKey::new) }
}

fn spec(request: &str, index: u32, model: &str) -> ItemSpec {
    ItemSpec {
        key: ItemKey { request: request.parse().unwrap(), index },
        item: ItemIndex { index, of: index + 1 },
        digest: "x".to_owned(),
        seed: 7,
        model: model.to_owned(),
        deadline: None,
        preview_every: None,
        max_position: None,
        is_suspect: false,
        preparation: Duration::ZERO,
    }
}

fn output() -> ItemOutput {
    let value = GenerateValue {
        item: ItemIndex { index: 0, of: 1 },
        seed: 0,
        media_type: "image/png".to_owned(),
        sha256: String::new(),
        width: 1,
        height: 1,
        media: None,
        steps: 1,
        timings: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
        finish_reason: FinishReason::Done,
    };
    ItemOutput { value, bytes: Bytes::from_static(b"png") }
}

fn failure() -> CallError {
    CallError::new(ErrorKind::ModelFailed, "it failed")
}
