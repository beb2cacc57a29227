//! An input or output that is wanted in another floating-point type.

use hearth_api::tensor::Dtype;

/// An input or output, and the type that it is wanted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// Its name.
    pub name: String,
    /// The type.
    pub to: Dtype,
}
