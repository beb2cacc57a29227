//! How a model's failure ends an item.

use hearth_api::{CallError, ErrorKind};
use hearth_inference::Error;

use super::plan::RunError;
use crate::admission::prepare::refusal;

pub(super) fn run_error(error: Error) -> RunError {
    match error {
        Error::Interrupted(_) => RunError::Interrupted,
        Error::Invalid(invalid) => RunError::Failed(refusal(&invalid)),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "a generation failed");
            let message = "the model failed while it ran";
            RunError::Failed(CallError::new(ErrorKind::ModelFailed, message).caused_by(&error))
        }
    }
}
