//! The names that a request's fields go by, and what is said to other names.

use serde::Deserializer;
use serde::de::{DeserializeOwned, Visitor};

use crate::error::CallError;

/// The names of a type's fields and their aliases, in the order of their declaration.
pub(super) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    // It ends in an error once the names are known.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// A reader that is told which fields the type has, and has no value for them.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("there is no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Names that callers of other programs, diffusers before all, know something by, and what to do
/// here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["generator"], "give seed, and noise_device where it is a generator of cuda"),
    (&["output_type"], "give output_format; npy stands for output_type=\"latent\""),
    (&["batch_size", "n", "num_outputs"], "give num_images"),
    (&["steps"], "give num_inference_steps"),
    (&["guidance", "cfg", "cfg_scale"], "give guidance_scale"),
    (&["sampler", "sampler_name", "sampler_index"], "give scheduler"),
    (&["size"], "give width and height"),
    (&["mask"], "give mask_image"),
    (&["init_image", "init_images", "input_image"], "give image"),
    (&["denoising_strength"], "give strength"),
    (&["format"], "give output_format"),
    (&["timeout"], "give deadline_ms"),
    (
        &[
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        ],
        "the model's own text encoders make them; give the prompt in words",
    ),
    (
        &[
            "ip_adapter_image",
            "ip_adapter_image_embeds",
            "negative_ip_adapter_image",
            "negative_ip_adapter_image_embeds",
        ],
        "image prompts are not supported; leave it out",
    ),
    (
        &["cross_attention_kwargs", "joint_attention_kwargs", "attention_kwargs"],
        "an exported graph has its attention built in; leave it out",
    ),
    (
        &[
            "skip_guidance_layers",
            "skip_layer_guidance_scale",
            "skip_layer_guidance_start",
            "skip_layer_guidance_stop",
        ],
        "layers can't be left out of an exported graph, so this guidance can't be had; leave it out",
    ),
    (&["mu"], "give the scheduler's shift, as in \"scheduler\": \"flow_euler:shift=3.0\""),
    (&["masked_image_latents"], "they are made of image and mask_image; leave it out"),
    (
        &["control_mode"],
        "it chooses among the kinds of a union ControlNet, which is not supported; load a model with \
         a ControlNet for each kind, give a control_image for each, and leave it out",
    ),
    (
        &["control_mask"],
        "it belongs to Stable Diffusion 3's inpainting ControlNet, which is not supported; give \
         image and mask_image with a control_image, and leave it out",
    ),
    (&["controlnet_pooled_projections"], "the model's own text encoders make them; leave it out"),
    (&["padding_mask_crop"], "cut image and mask_image to the part that matters, and leave it out"),
    (&["use_clipped_model_output"], "it is not supported; leave it out"),
    (
        &[
            "callback_on_step_end",
            "callback_on_step_end_tensor_inputs",
            "callback",
            "callback_steps",
        ],
        "progress comes by itself, and pictures on the way with preview_every; leave it out",
    ),
    (&["return_dict"], "leave it out"),
];

/// Longer texts are no slip of a field's name, and comparing them takes time and memory.
const LONGEST_SLIP: usize = 100;

/// The refusal of a name that is none of the `fields`.
pub(super) fn unknown(name: &str, fields: &[&str]) -> CallError {
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&name));
    let comparable = fields.iter().filter(|_| name.len() <= LONGEST_SLIP);
    let nearest = comparable
        .map(|field| (strsim::normalized_damerau_levenshtein(field, name), field))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(_, field)| strsim::jaro_winkler(field, name) > 0.75);
    let remedy = match (elsewhere, nearest) {
        (Some((_, remedy)), _) => (*remedy).to_owned(),
        (None, Some((_, field))) => format!("did you mean {field}?"),
        (None, None) => format!("known fields: {}", fields.join(", ")),
    };
    CallError::invalid(name, format!("field {name:?} is unknown: {remedy}"))
}
