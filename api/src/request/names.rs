//! The names that a request's fields go by, and what is said to other names.

use crate::error::CallError;

/// The fields' names and their aliases.
pub(super) const FIELDS: &[&str] = &[
    "id",
    "model",
    "task",
    "prompt",
    "prompt_2",
    "prompt_3",
    "negative_prompt",
    "negative_prompt_2",
    "negative_prompt_3",
    "width",
    "height",
    "num_images",
    "num_images_per_prompt",
    "num_inference_steps",
    "timesteps",
    "sigmas",
    "guidance_scale",
    "guidance_rescale",
    "true_cfg_scale",
    "eta",
    "original_inference_steps",
    "clip_skip",
    "long_prompt",
    "prompt_weights",
    "max_sequence_length",
    "denoising_start",
    "denoising_end",
    "original_size",
    "target_size",
    "crops_coords_top_left",
    "negative_original_size",
    "negative_target_size",
    "negative_crops_coords_top_left",
    "aesthetic_score",
    "negative_aesthetic_score",
    "class_labels",
    "image",
    "mask_image",
    "strength",
    "control_image",
    "controlnet_conditioning_scale",
    "control_guidance_start",
    "control_guidance_end",
    "guess_mode",
    "latents",
    "lora",
    "seed",
    "noise_device",
    "scheduler",
    "output_format",
    "preview_every",
    "deadline_ms",
    "metadata",
];

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

/// The refusal of a name that is none of a field.
pub(super) fn unknown(name: &str) -> CallError {
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&name));
    let comparable = FIELDS.iter().filter(|_| name.len() <= LONGEST_SLIP);
    let nearest = comparable
        .map(|field| (strsim::normalized_damerau_levenshtein(field, name), field))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(_, field)| strsim::jaro_winkler(field, name) > 0.75);
    let remedy = match (elsewhere, nearest) {
        (Some((_, remedy)), _) => (*remedy).to_owned(),
        (None, Some((_, field))) => format!("did you mean {field}?"),
        (None, None) => format!("known fields: {}", FIELDS.join(", ")),
    };
    CallError::invalid(name, format!("field {name:?} is unknown: {remedy}"))
}
