//! Raw tensors through one of a model's graphs.

use std::time::Instant;

use hearth_api::{CallError, ErrorKind, limits};
use hearth_inference::model::Model;
use hearth_inference::session::{Error, RawInput};

use super::order::{Infer, InferOutput};

/// Runs the graph that is meant.
pub(super) fn run(model: &mut dyn Model, infer: &Infer) -> Result<InferOutput, CallError> {
    let mut graphs = model.graphs();
    let names: Vec<_> = graphs.iter().map(|graph| graph.name().to_owned()).collect();
    let unknown = |message: String| CallError::invalid("graph", message);
    let position = match (&infer.graph, names.len()) {
        (Some(wanted), _) => names.iter().position(|name| name == wanted).ok_or_else(|| {
            let there = names.join(", ");
            unknown(format!("graph {wanted:?} is none of {}'s: it has {there}", infer.model))
        })?,
        (None, 1) => 0,
        (None, _) => {
            let there = names.join(", ");
            return Err(unknown(format!("graph is absent: {} has {there}", infer.model)));
        }
    };
    let session = graphs.swap_remove(position);
    let shape = |shape: &[u64]| -> Option<Vec<usize>> {
        shape.iter().map(|&length| usize::try_from(length).ok()).collect()
    };
    let mut shapes = Vec::new();
    for (name, header, _) in &infer.inputs {
        let shape = shape(&header.shape);
        shapes.push(shape.ok_or_else(|| {
            CallError::invalid(name.clone(), format!("shape {:?} is too large", header.shape))
        })?);
    }
    let inputs: Vec<_> = infer
        .inputs
        .iter()
        .zip(&shapes)
        .map(|((name, header, data), shape)| RawInput { name, dtype: header.dtype, shape, data })
        .collect();
    let began = Instant::now();
    let outputs = session.infer(&inputs, &infer.outputs, limits::PAYLOAD, &infer.interrupt);
    let graph = session.name().to_owned();
    Ok(InferOutput { graph, outputs: outputs.map_err(refusal)?, took: began.elapsed() })
}

fn refusal(error: Error) -> CallError {
    match error {
        Error::Interrupted(_) => CallError::new(ErrorKind::Cancelled, "the call was cancelled"),
        Error::Input { ref name, .. } => CallError::invalid(name.clone(), error.to_string()),
        Error::Port { .. } => CallError::invalid("outputs", error.to_string()),
        Error::OutputTooLarge { .. } => CallError::new(ErrorKind::TooLarge, error.to_string()),
        // Open dimensions that don't go together show only here.
        error => CallError::new(ErrorKind::ModelFailed, "the graph failed while it ran")
            .caused_by(&error),
    }
}
