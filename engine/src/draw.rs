//! What is drawn at random: the ids, seeds and traces of requests.

use hearth_api::RequestId;
use hearth_api::trace::TraceParent;
use uuid::Uuid;

/// A fresh id, later ones after earlier ones in order.
pub(crate) fn request_id() -> RequestId {
    let text = Uuid::now_v7().to_string();
    RequestId::new(text).unwrap_or_else(|_| unreachable!("a UUID is an id"))
}

/// A seed that a person can type: below 2^32, as image tools draw it.
pub(crate) fn seed() -> u64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    high >> 32
}

/// What the engine's further draws begin with.
pub(crate) fn sequence() -> fastrand::Rng {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    fastrand::Rng::with_seed(high ^ low)
}

/// A trace of its own, which nobody records yet.
pub(crate) fn trace() -> TraceParent {
    let (parent_id, _) = Uuid::new_v4().as_u64_pair();
    // The version bits of a UUID keep both from being zero.
    TraceParent {
        trace_id: Uuid::new_v4().into_bytes(),
        parent_id: parent_id.to_be_bytes(),
        sampled: false,
    }
}
