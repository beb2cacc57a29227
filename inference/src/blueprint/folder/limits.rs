//! How large the pictures of a model may be.

/// Pictures of a longer side are no model's.
pub(crate) const MAX_SIDE: u32 = 16_384;
