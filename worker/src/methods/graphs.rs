//! Methods that work on a model's graphs: raw tensors through one, and a profile of all.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hearth_api::CallError;
use hearth_api::request::GenerationRequest;
use hearth_api::tensor::TensorHeader;
use hearth_fabric::quic::Payload;
use hearth_inference::session::{Interrupt, RawOutput};
use hearth_protocol::message::{Attachment, Request};
use hearth_protocol::methods::{InferArgs, InferValue, ProfileArgs, ProfileValue};
use tokio::sync::oneshot;

use super::{Answer, arguments, attachment, value, word};
use crate::engine::{Infer, Order, Profile, prepare};
use crate::models::{Closing, Hold};
use crate::state::Shared;

/// Steps of a profile when nothing is said: enough to tell the first from the others.
const STEPS: u32 = 4;
/// Media type of a tensor's bare elements.
const RAW: &str = "application/octet-stream";

pub(crate) async fn infer(
    shared: Arc<Shared>,
    request: Request,
    payload: Payload,
    interrupt: Interrupt,
) -> Result<Answer, CallError> {
    let args: InferArgs = arguments(&request)?;
    shared.check_open()?;
    let model = shared.models.resolve(args.model.as_deref(), Instant::now())?.name;
    let mut inputs = Vec::new();
    for (attachment, data) in request.attachments.into_iter().zip(payload) {
        let Attachment { name, tensor, .. } = attachment;
        let header = tensor.ok_or_else(|| {
            let message = format!("attachment {name:?} is no tensor: say its dtype and shape");
            CallError::invalid(name.clone(), message)
        })?;
        inputs.push((name, header, data));
    }
    let (reply, outcome) = oneshot::channel();
    let (graph, outputs) = (args.graph, args.outputs);
    let order = Infer { model: model.clone(), graph, inputs, outputs, interrupt, reply };
    shared.parts.order(Order::Infer(Box::new(order)))?;
    let inferred = word(outcome).await?;
    let names = inferred.outputs.iter().map(|output| output.name.clone()).collect();
    let (attachments, payload) = inferred.outputs.into_iter().map(tensor).unzip();
    let said = InferValue {
        model,
        graph: inferred.graph,
        outputs: names,
        took_ms: inferred.took.as_secs_f64() * 1e3,
    };
    Ok(Answer { value: value(&said)?, attachments, payload })
}

fn tensor(output: RawOutput) -> (Attachment, Bytes) {
    let RawOutput { name, dtype, shape, data } = output;
    let shape = shape.into_iter().map(|length| length as u64).collect();
    let header = TensorHeader { dtype, shape };
    let data = Bytes::from(data);
    (Attachment { tensor: Some(header), ..attachment(&name, RAW, &data) }, data)
}

pub(crate) async fn profile(
    shared: Arc<Shared>,
    request: Request,
    interrupt: Interrupt,
) -> Result<Answer, CallError> {
    let args: ProfileArgs = arguments(&request)?;
    shared.check_open()?;
    let resolved = shared.models.resolve(args.model.as_deref(), Instant::now())?;
    let model = resolved.name;
    let request = GenerationRequest {
        prompt: args.prompt.unwrap_or_else(|| "a profile".to_owned()),
        num_inference_steps: Some(args.num_inference_steps.unwrap_or(STEPS)),
        width: args.width,
        height: args.height,
        guidance_scale: args.guidance_scale,
        scheduler: args.scheduler,
        ..GenerationRequest::default()
    };
    request.check()?;
    let Some(description) = resolved.description else {
        let message = format!("model {model:?} is not in memory: hearth load brings it there");
        return Err(CallError::new(hearth_api::ErrorKind::NotReady, message));
    };
    let prepared = prepare(description.preparer.as_deref(), &request)?;
    shared.models.close(&model, Closing::Profile)?;
    let (reply, outcome) = oneshot::channel();
    let order = Profile { model: model.clone(), prepared, interrupt, reply };
    if let Err(error) = shared.parts.order(Order::Profile(Box::new(order))) {
        shared.models.set(&model, Hold::Ready(description));
        return Err(error);
    }
    let profiles = word(outcome).await?;
    let said = ProfileValue {
        model,
        steps: u32::try_from(profiles.steps).unwrap_or(u32::MAX),
        profiles: profiles.files.iter().map(|(graph, _)| graph.clone()).collect(),
        took_ms: profiles.took.as_secs_f64() * 1e3,
    };
    let named = |(graph, json): (String, Bytes)| {
        (attachment(&format!("{graph}.json"), "application/json", &json), json)
    };
    let (attachments, payload) = profiles.files.into_iter().map(named).unzip();
    Ok(Answer { value: value(&said)?, attachments, payload })
}
