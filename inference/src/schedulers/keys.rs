//! Config keys: all that diffusers' schedulers have, and the groups that classes share.

use hearth_api::nearest;
use serde_json::Value;

use super::error::Error;
use crate::brief::{VALUE, brief};

/// A class's keys, in groups that classes share.
pub(super) type Keys = &'static [&'static [&'static str]];

/// The schedule that a model was trained with.
pub(super) const TRAINING: &[&str] =
    &["num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"];
/// Which timesteps a run visits.
pub(super) const SPACING: &[&str] = &["timestep_spacing", "steps_offset"];
/// Noise levels that follow a curve instead.
pub(super) const CURVES: &[&str] =
    &["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"];
/// How a predicted clean sample is limited, in classes that clip or threshold it.
pub(super) const LIMITS: &[&str] = &[
    "prediction_type",
    "thresholding",
    "dynamic_thresholding_ratio",
    "clip_sample_range",
    "sample_max_value",
];
/// The same in classes that threshold only.
pub(super) const THRESHOLDING: &[&str] =
    &["thresholding", "dynamic_thresholding_ratio", "sample_max_value"];
/// Noise levels of flow matching.
pub(super) const FLOW: &[&str] = &["use_flow_sigmas", "flow_shift"];
/// A shift towards noise for the image's size.
pub(super) const SHIFTING: &[&str] = &["use_dynamic_shifting", "time_shift_type"];
/// Noise levels of EDM (Karras et al. 2022).
pub(super) const EDM: &[&str] =
    &["sigma_min", "sigma_max", "sigma_data", "sigma_schedule", "num_train_timesteps"];

/// Refuses a key that no scheduler of diffusers has.
pub(super) fn check_key(key: &str, value: &Value) -> Result<(), Error> {
    if ALL.contains(&key) {
        return Ok(());
    }
    Err(Error::UnknownKey {
        key: brief(key.into(), VALUE),
        value: brief(value.to_string(), VALUE),
        nearest: nearest(key, ALL.iter().copied()),
    })
}

/// The keys of all scheduler classes of diffusers 0.39.
const ALL: &[&str] = &[
    "algorithm_type",
    "alpha_cum_end",
    "alpha_cum_start",
    "base_image_seq_len",
    "base_shift",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "block_length",
    "clip_denoised",
    "clip_sample",
    "clip_sample_range",
    "correct_steps",
    "corrector_k",
    "corrector_order",
    "corrector_selection",
    "corrector_selection_tau",
    "corrector_steps",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "editing_threshold",
    "entropy_bound",
    "eta",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "gamma",
    "gamma_cum_end",
    "gamma_cum_start",
    "interpolation_type",
    "invert_sigmas",
    "lambda_min_clipped",
    "lower_order_final",
    "mask_token_id",
    "masking_schedule",
    "max_image_seq_len",
    "max_shift",
    "minimal_topk",
    "noise_sampler_seed",
    "num_inference_steps",
    "num_train_timesteps",
    "num_vec_classes",
    "original_inference_steps",
    "predict_x0",
    "prediction_type",
    "predictor_order",
    "rescale_betas_zero_snr",
    "rho",
    "s",
    "s_noise",
    "sample_max_value",
    "sampling_eps",
    "scale_factors",
    "scaler",
    "scheduler_type",
    "set_alpha_to_one",
    "shift",
    "shift_terminal",
    "sigma_data",
    "sigma_max",
    "sigma_min",
    "sigma_schedule",
    "skip_prk_steps",
    "snr",
    "snr_shift_scale",
    "solver_order",
    "solver_p",
    "solver_type",
    "stage_range",
    "stages",
    "steps_offset",
    "stochastic_sampling",
    "t_max",
    "t_min",
    "tau_func",
    "threshold",
    "thresholding",
    "time_shift_type",
    "timestep_scaling",
    "timestep_spacing",
    "timestep_type",
    "trained_betas",
    "upscale_mode",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_flow_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
];
