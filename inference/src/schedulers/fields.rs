//! Reads a class's keys from what the caller overrides, what a short name sets, what the folder
//! says and the class's defaults, in this order, and checks type and range as it goes.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::about::About;
use super::error::Error;

/// No model was trained on more timesteps; each is a few numbers of every schedule that is built.
pub(super) const MAX_TRAIN_TIMESTEPS: usize = 100_000;

/// Positive numbers below this are none, as far as steps in single precision go.
const LEAST: f64 = 1e-12;
const MOST: f64 = 1e12;

/// The keys of one scheduler that is about to be built.
pub(super) struct Fields<'a> {
    about: &'static About,
    /// The first that has a key says its value.
    layers: Vec<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(about: &'static About, layers: Vec<&'a Map<String, Value>>) -> Self {
        Self { about, layers }
    }

    /// Whether the class has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.about.keys().any(|own| own == key)
    }

    pub(super) fn bool(&self, key: &'static str, default: bool) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(Error::invalid(key, other, "true or false")),
        }
    }

    /// A whole number in `range`.
    pub(super) fn integer(
        &self,
        key: &'static str,
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> Result<usize, Error> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Error::invalid(key, value, expected)
            })
    }

    /// The number of timesteps that the model was trained with, from `least` up.
    pub(super) fn train_timesteps(&self, least: usize) -> Result<usize, Error> {
        let default = self.about.train_timesteps;
        self.integer("num_train_timesteps", default, least..=MAX_TRAIN_TIMESTEPS)
    }

    /// A number; NaN is refused, infinities are the caller's to judge.
    pub(super) fn number(&self, key: &'static str, default: f64) -> Result<f64, Error> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    /// A number, or null for none.
    pub(super) fn optional_number(&self, key: &'static str) -> Result<Option<f64>, Error> {
        self.given(key).map(|value| read_number(key, value)).transpose()
    }

    /// A number that the folder may set for another class than this one, if it does: diffusers
    /// reads some keys off whatever config it was built from.
    pub(super) fn passing_number(&self, key: &'static str) -> Result<Option<f64>, Error> {
        let value = self.get_of_any(key).filter(|value| !value.is_null());
        value.map(|value| read_number(key, value)).transpose()
    }

    /// A positive number whose square single precision holds.
    pub(super) fn positive(&self, key: &'static str, default: f64) -> Result<f64, Error> {
        let value = self.number(key, default)?;
        if (LEAST..=MOST).contains(&value) {
            return Ok(value);
        }
        let side = if value > MOST { format!(", up to {MOST:e}") } else { String::new() };
        Err(Error::invalid(key, value, format!("a number above 0{side}")))
    }

    /// A finite number of either sign, likewise.
    pub(super) fn finite(&self, key: &'static str, default: f64) -> Result<f64, Error> {
        let value = self.number(key, default)?;
        if value.abs() <= MOST {
            return Ok(value);
        }
        Err(Error::invalid(key, value, format!("a number from {:e} to {MOST:e}", -MOST)))
    }

    /// A list of numbers, or null for none.
    pub(super) fn optional_list(&self, key: &'static str) -> Result<Option<Vec<f64>>, Error> {
        match self.given(key) {
            None => Ok(None),
            Some(value) => value
                .as_array()
                .filter(|list| !list.is_empty())
                .and_then(|list| list.iter().map(number).collect())
                .map(Some)
                .ok_or_else(|| Error::invalid(key, value, "a list of numbers, or null")),
        }
    }

    /// One of `choices`, each a word and what it means.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        default: &str,
        choices: &[(&str, T)],
    ) -> Result<T, Error> {
        let default = Value::from(default);
        let value = self.get(key).unwrap_or(&default);
        let found = choices.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            Error::invalid(key, value, format!("one of {}", words.join(", ")))
        })
    }

    /// An error: diffusers doesn't take this value either, or its result has no meaning.
    pub(super) fn rejected(&self, key: &str, value: impl Display, reason: &str) -> Error {
        Error::Rejected {
            class: self.about.name.into(),
            key: key.into(),
            value: value.to_string(),
            reason: reason.into(),
        }
    }

    /// Why a rule that diffusers would run into NaN is refused.
    pub(super) fn not_finite(&self, step: usize) -> Error {
        let reason = format!(
            "step {step} would not be finite: two steps fall on one noise level, or a level is out \
             of the rule's range; take fewer steps, another spacing, curve or final_sigmas_type"
        );
        self.rejected("num_inference_steps", "as given", &reason)
    }

    /// What is set for `key`, if anything but null.
    pub(super) fn given(&self, key: &'static str) -> Option<&Value> {
        self.get(key).filter(|value| !value.is_null())
    }

    fn get(&self, key: &'static str) -> Option<&Value> {
        debug_assert!(self.has(key), "{key} is missing in the class's keys");
        self.get_of_any(key)
    }

    fn get_of_any(&self, key: &str) -> Option<&Value> {
        self.layers.iter().find_map(|layer| layer.get(key))
    }
}

fn read_number(key: &str, value: &Value) -> Result<f64, Error> {
    number(value).ok_or_else(|| Error::invalid(key, value, "a number"))
}

/// A JSON number, or Python's infinity as `config` quotes it.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) if text == "-Infinity" => Some(f64::NEG_INFINITY),
        Value::String(text) if text == "Infinity" => Some(f64::INFINITY),
        value => value.as_f64(),
    }
}
