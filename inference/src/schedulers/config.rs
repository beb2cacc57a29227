//! A model folder's `scheduler_config.json`, parsed once.
//!
//! Every key of any diffusers scheduler is understood, since a folder's config may have been
//! written for another class than the one asked for; a key of none is refused. Values are checked
//! when a class reads them (`fields`), as each class has its own.

use serde_json::{Map, Value};

use super::error::Error;
use super::{consistency, names};
use crate::brief::{MESSAGE, VALUE, brief};
use crate::nearest::nearest;

/// Each is a few numbers of every schedule that is made.
const MAX_TRAIN_TIMESTEPS: u64 = 100_000;

/// A folder's scheduler: its class and the keys it sets.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerConfig {
    class_name: String,
    values: Map<String, Value>,
}

impl SchedulerConfig {
    /// Parses the text of a `scheduler_config.json`.
    ///
    /// Keys that start with `_` are diffusers' own notes and are ignored, but for `_class_name`
    /// and `_use_default_values` (keys to be taken as not given).
    ///
    /// # Errors
    /// Text that is no JSON object, one without a `_class_name`, an unknown key.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut values: Map<String, Value> = serde_json::from_str(&quote_python_floats(json))
            .map_err(|error| Error::NotAConfig(brief(error.to_string(), MESSAGE)))?;
        let Some(Value::String(class_name)) = values.remove("_class_name") else {
            return Err(Error::NotAConfig("`_class_name` is missing".into()));
        };
        if class_name.len() > VALUE {
            let class_name = brief(class_name, VALUE);
            return Err(Error::NotAConfig(format!("`_class_name` {class_name} is no class")));
        }
        if let Some(Value::Array(unset)) = values.remove("_use_default_values") {
            values.retain(|key, _| !unset.iter().any(|name| name == key));
        }
        values.retain(|key, _| !key.starts_with('_'));
        for (key, value) in &values {
            check_known(key, value)?;
        }
        if let Some(steps) = values.get("num_train_timesteps")
            && !steps.as_u64().is_some_and(|steps| (1..=MAX_TRAIN_TIMESTEPS).contains(&steps))
        {
            let expected = format!("a whole number from 1 to {MAX_TRAIN_TIMESTEPS}");
            return Err(Error::invalid("num_train_timesteps", steps, expected));
        }
        Ok(Self { class_name, values })
    }

    /// The diffusers class that the folder's config was written for.
    pub fn class_name(&self) -> &str {
        &self.class_name
    }

    /// The number of steps that the model was trained with; no run has more.
    pub fn num_train_timesteps(&self) -> u32 {
        let given = self.get("num_train_timesteps").and_then(Value::as_u64);
        let default = if self.class_name == consistency::ABOUT.name { 40 } else { 1000 };
        given.and_then(|steps| u32::try_from(steps).ok()).unwrap_or(default)
    }

    /// The same config with another value of `key`, where the file says it; with `unsaid` also
    /// where the class has that key, and the file leaves it at its default.
    pub(crate) fn correct(mut self, key: &str, value: impl Into<Value>, unsaid: bool) -> Self {
        let class = names::find(&self.class_name);
        let has = class.is_ok_and(|(class, ..)| class.about().keys.contains(&key));
        if (unsaid && has) || self.values.contains_key(key) {
            self.values.insert(key.to_owned(), value.into());
        }
        self
    }

    /// The same values as another class's config.
    pub(crate) fn of_class(self, class_name: &str) -> Self {
        Self { class_name: class_name.to_owned(), ..self }
    }

    /// The value of `key`, if the folder sets it.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }
}

/// Refuses a key that no scheduler of diffusers has.
pub(super) fn check_known(key: &str, value: &Value) -> Result<(), Error> {
    if KEYS.contains(&key) {
        return Ok(());
    }
    Err(Error::UnknownKey {
        key: brief(key.into(), VALUE),
        value: brief(value.to_string(), VALUE),
        nearest: nearest(key, KEYS.iter().copied()),
    })
}

/// Puts quotes around the `Infinity`, `-Infinity` and `NaN` that Python writes and JSON forbids.
fn quote_python_floats(json: &str) -> String {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut quoted = String::with_capacity(json.len() + 8);
    let (mut rest, mut in_string) = (json, false);
    while let Some(next) = rest.chars().next() {
        let word = WORDS.into_iter().find(|word| !in_string && rest.starts_with(word));
        let taken = match (word, next) {
            (Some(word), _) => {
                quoted.extend(["\"", word, "\""]);
                rest = &rest[word.len()..];
                continue;
            }
            (None, '\\') if in_string => {
                next.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8)
            }
            (None, '"') => {
                in_string = !in_string;
                1
            }
            _ => next.len_utf8(),
        };
        quoted.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    quoted
}

/// The keys of all scheduler classes of diffusers 0.39.
const KEYS: &[&str] = &[
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_floats_are_quoted_outside_strings_only() {
        let json = r#"{"_class_name":"X","lambda_min_clipped": -Infinity,"_note":"say \"NaN\"é","rho":Infinity,"s":NaN}"#;
        let config = SchedulerConfig::parse(json).unwrap();
        assert_eq!(config.get("lambda_min_clipped"), Some(&Value::from("-Infinity")));
        assert_eq!(config.get("rho"), Some(&Value::from("Infinity")));
        assert_eq!(config.get("s"), Some(&Value::from("NaN")));
        assert_eq!(config.get("_note"), None);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest() {
        let error = SchedulerConfig::parse(r#"{"_class_name":"X","beta_strat":0.1}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scheduler key `beta_strat` (value 0.1) is not known (nearest: `beta_start`); remove \
             or correct it"
        );
    }

    #[test]
    fn defaulted_keys_count_as_not_given() {
        let json = r#"{"_class_name":"X","_use_default_values":["rho"],"rho":7,"gamma":1}"#;
        let config = SchedulerConfig::parse(json).unwrap();
        assert_eq!((config.get("rho"), config.get("gamma")), (None, Some(&Value::from(1))));
    }

    #[test]
    fn no_config_says_so() {
        for json in ["", "[]", "{", "{}", r#"{"_class_name":3}"#] {
            assert!(matches!(SchedulerConfig::parse(json), Err(Error::NotAConfig(_))), "{json}");
        }
    }
}
