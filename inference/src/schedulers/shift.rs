//! How far a flow-matching schedule shifts towards noise for an image's size (Esser et al. 2024,
//! section 5.3.2): larger images need more noise to lose the same detail.

use serde_json::Value;

use super::config::SchedulerConfig;
use super::error::Error;
use super::spec::SchedulerSpec;

/// The line from an image's number of tokens to its shift μ, from a scheduler's config.
///
/// A pipeline whose scheduler has `use_dynamic_shifting` gives [`mu`](Self::mu) in
/// [`Run::mu`](super::Run::mu).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynamicShift {
    base_tokens: f64,
    max_tokens: f64,
    base_shift: f64,
    max_shift: f64,
}

impl DynamicShift {
    /// Reads the line's keys; none where `use_dynamic_shifting` isn't on.
    ///
    /// # Errors
    /// A value that is no number (or, for `use_dynamic_shifting`, not true or false), or a line
    /// without a slope.
    pub fn read(
        config: &SchedulerConfig,
        spec: Option<&SchedulerSpec>,
    ) -> Result<Option<Self>, Error> {
        match get(config, spec, "use_dynamic_shifting") {
            Some(Value::Bool(true)) => Self::line(config, spec).map(Some),
            None | Some(Value::Bool(false)) => Ok(None),
            Some(other) => Err(Error::invalid("use_dynamic_shifting", other, "true or false")),
        }
    }

    /// Reads the line's keys whether or not the scheduler uses it: Flux's pipeline always gives μ.
    ///
    /// # Errors
    /// A value that is no number, or a line without a slope.
    pub fn line(config: &SchedulerConfig, spec: Option<&SchedulerSpec>) -> Result<Self, Error> {
        let number = |key: &'static str, default: f64| match get(config, spec, key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_finite())
                .ok_or_else(|| Error::invalid(key, value, "a number")),
        };
        let line = Self {
            base_tokens: number("base_image_seq_len", 256.0)?,
            max_tokens: number("max_image_seq_len", 4096.0)?,
            base_shift: number("base_shift", 0.5)?,
            max_shift: number("max_shift", 1.15)?,
        };
        if line.base_tokens == line.max_tokens {
            let expected = "a number other than base_image_seq_len";
            return Err(Error::invalid("max_image_seq_len", line.max_tokens, expected));
        }
        Ok(line)
    }

    /// μ for an image of `tokens` tokens (Flux: packed latents, (height / 16) · (width / 16)).
    pub fn mu(&self, tokens: usize) -> f64 {
        let slope = (self.max_shift - self.base_shift) / (self.max_tokens - self.base_tokens);
        let offset = self.base_shift - slope * self.base_tokens;
        tokens as f64 * slope + offset
    }
}

fn get<'a>(
    config: &'a SchedulerConfig,
    spec: Option<&'a SchedulerSpec>,
    key: &str,
) -> Option<&'a Value> {
    spec.and_then(|spec| spec.get(key)).or_else(|| config.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_meets_its_ends() {
        let json = r#"{"_class_name": "X", "use_dynamic_shifting": true, "max_shift": 1.2}"#;
        let config = SchedulerConfig::parse(json).unwrap();
        let shift = DynamicShift::read(&config, None).unwrap().unwrap();
        assert!((shift.mu(256) - 0.5).abs() < 1e-12 && (shift.mu(4096) - 1.2).abs() < 1e-12);
        let config = SchedulerConfig::parse(r#"{"_class_name": "X"}"#).unwrap();
        assert_eq!(DynamicShift::read(&config, None).unwrap(), None);
    }

    #[test]
    fn a_line_without_slope_is_refused() {
        let json = r#"{"_class_name": "X", "max_image_seq_len": 256}"#;
        let config = SchedulerConfig::parse(json).unwrap();
        let message = DynamicShift::line(&config, None).unwrap_err().to_string();
        assert!(
            message.starts_with("`max_image_seq_len` is 256; give a number other"),
            "{message}"
        );
    }
}
