//! Methods that work on a model's graphs themselves: raw tensors through one, and a profile of all.

use serde::{Deserialize, Serialize};

/// The arguments of `infer`. The inputs are the request's attachments: each a tensor, called as the
/// graph calls its input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InferArgs {
    /// The model; the only one where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which of the model's graphs, as in `unet`; the only one where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// The outputs to return; all where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
}

/// The value of `infer`. The outputs are the reply's attachments, in the order of `outputs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferValue {
    /// The model.
    pub model: String,
    /// The graph.
    pub graph: String,
    /// The outputs' names.
    pub outputs: Vec<String>,
    /// Milliseconds inside the graph.
    pub took_ms: f64,
}

/// The arguments of `profile`: which model, and what it makes meanwhile. What is absent is the
/// model's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileArgs {
    /// The model; the only one where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Denoising steps; 4 where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_inference_steps: Option<u32>,
    /// What to draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Guidance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
    /// The scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
}

/// The value of `profile`. The profiles are the reply's attachments, one per graph: JSON in Chrome's
/// trace event format, as ONNX Runtime writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileValue {
    /// The model.
    pub model: String,
    /// Denoising steps taken.
    pub steps: u32,
    /// The profiles' names.
    pub profiles: Vec<String>,
    /// Milliseconds that the generation took, with profiling.
    pub took_ms: f64,
}
