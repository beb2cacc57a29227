//! Methods that work on a model's graphs: raw tensors through one, and a profile of all.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hearth_api::CallError;
use hearth_api::request::GenerationRequest;
use hearth_api::tensor::TensorHeader;
use hearth_inference::session::RawOutput;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::{InferArgs, InferValue, ProfileArgs, ProfileValue};

use super::arguments::arguments;
use super::call::{Answer, MethodCall};
use super::reply::{attachment, own_fault, value};
use crate::admission::prepare::prepare;
use crate::compute::{Infer, OrderRequest, PendingOrder, Profile, Reply};
use crate::models::ModelChoice;

/// Steps of a profile when nothing is said: enough to tell the first from the others.
const STEPS: u32 = 4;
/// Media type of a tensor's bare elements.
const RAW: &str = "application/octet-stream";

pub(super) async fn infer(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, payload, interrupt } = call;
    let args: InferArgs = arguments(&request)?;
    let model = shared.inbox.look(|plan| {
        plan.life().check_open()?;
        plan.resolve(args.model.as_deref(), Instant::now())
    });
    let model = model?.name;
    let mut inputs = Vec::new();
    for (attachment, data) in request.attachments.into_iter().zip(payload) {
        let Attachment { name, tensor, .. } = attachment;
        let header = tensor.ok_or_else(|| {
            let message = format!("attachment {name:?} is no tensor: say its dtype and shape");
            CallError::invalid(name.clone(), message)
        })?;
        inputs.push((name, header, data));
    }
    let (graph, outputs) = (args.graph, args.outputs);
    let infer = Infer { model: model.clone(), graph, inputs, outputs, interrupt };
    let request = OrderRequest::Infer { model: model.clone() };
    let reply = |caller| Reply::Infer(infer, caller);
    let order = PendingOrder::place(&shared.inbox, request, reply)?.ok_or_else(own_fault)?;
    let output = order.outcome().await?;
    let names = output.outputs.iter().map(|output| output.name.clone()).collect();
    let (attachments, payload) = output.outputs.into_iter().map(tensor).unzip();
    let answer = InferValue {
        model,
        graph: output.graph,
        outputs: names,
        took_ms: output.took.as_secs_f64() * 1e3,
    };
    Ok(Answer { value: value(&answer)?, attachments, payload })
}

fn tensor(output: RawOutput) -> (Attachment, Bytes) {
    let RawOutput { name, dtype, shape, data } = output;
    let shape = shape.into_iter().map(|length| length as u64).collect();
    let header = TensorHeader { dtype, shape };
    let data = Bytes::from(data);
    (Attachment { tensor: Some(header), ..attachment(&name, RAW, &data) }, data)
}

pub(super) async fn profile(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, interrupt, .. } = call;
    let args: ProfileArgs = arguments(&request)?;
    let choice = shared.inbox.look(|plan| {
        plan.life().check_open()?;
        plan.resolve(args.model.as_deref(), Instant::now())
    });
    let ModelChoice { name: model, facts } = choice?;
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
    let Some(facts) = facts else {
        let message = format!("model {model:?} is not in memory: hearth load brings it there");
        return Err(CallError::new(hearth_api::ErrorKind::NotReady, message));
    };
    let prepared = prepare(facts.preparer.as_deref(), &request)?;
    let profile = Arc::new(Profile { model: model.clone(), prepared, interrupt });
    let request = OrderRequest::Profile { model: model.clone() };
    let reply = |caller| Reply::Profile(profile, caller);
    let order = PendingOrder::place(&shared.inbox, request, reply)?.ok_or_else(own_fault)?;
    let profiles = order.outcome().await?;
    let answer = ProfileValue {
        model,
        steps: u32::try_from(profiles.steps).unwrap_or(u32::MAX),
        profiles: profiles.files.iter().map(|(graph, _)| graph.clone()).collect(),
        took_ms: profiles.took.as_secs_f64() * 1e3,
    };
    let named = |(graph, json): (String, Bytes)| {
        (attachment(&format!("{graph}.json"), "application/json", &json), json)
    };
    let (attachments, payload) = profiles.files.into_iter().map(named).unzip();
    Ok(Answer { value: value(&answer)?, attachments, payload })
}
