//! Preparing a request for a model, and what is said to one that can't be prepared.

use hearth_api::{CallError, GenerationRequest};
use hearth_inference::model::{Invalid, Prepare, PreparedRequest};

/// Checks and prepares a request.
///
/// # Errors
/// The first field that can't be used.
pub(crate) fn prepare(
    preparer: Option<&dyn Prepare>,
    request: &GenerationRequest,
) -> Result<PreparedRequest, CallError> {
    let preparer = preparer.ok_or_else(generates_nothing)?;
    preparer.prepare(request).map_err(|error| refusal(&error))
}

/// What is said to a request for a bare graph.
fn generates_nothing() -> CallError {
    let message = "model onnx: it is a bare graph, which generates nothing; use infer";
    CallError::invalid("model", message)
}

/// What a model says of a field that it can't use.
pub(crate) fn refusal(invalid: &Invalid) -> CallError {
    CallError::invalid(invalid.field, invalid.to_string())
}
