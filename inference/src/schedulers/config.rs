//! A model folder's `scheduler_config.json`, parsed once, when the folder is loaded.
//!
//! Every key of any diffusers scheduler is understood, since a folder's config may have been
//! written for another class than the one asked for; a key of none is ignored with a warning, as in
//! diffusers. What a value means is the class's to say that a run is built with (`fields`), so values
//! stay as JSON has them.

use serde_json::{Map, Value};

use super::about::About;
use super::class::Class;
use super::error::Error;
use super::fields::MAX_TRAIN_TIMESTEPS;
use super::keys::check_key;
use super::table;
use crate::brief::{MESSAGE, VALUE, brief};

/// A folder's scheduler: its class and the keys it sets.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerConfig {
    class_name: String,
    /// None for a class that Hearth doesn't have: the folder is of use with another one.
    class: Option<&'static Class>,
    values: Map<String, Value>,
    /// What a person should know of the file.
    warnings: Vec<String>,
}

/// Unknown keys that are named; of the others only how many there are.
const NAMED: usize = 8;

impl SchedulerConfig {
    /// Parses the text of a `scheduler_config.json`, which names its class itself.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(json: &str) -> Result<Self, Error> {
        Self::read(json, None)
    }

    /// Parses the text of a `scheduler_config.json` as the config of `class`, or of the class that it
    /// names where that is none. Keys of no scheduler are left out, with a warning.
    ///
    /// Keys that start with `_` are diffusers' own notes and are ignored, but for `_class_name`
    /// and `_use_default_values` (keys to be taken as not given).
    ///
    /// # Errors
    /// Text that is no JSON object, no class, a number of training steps that no model has.
    pub fn read(json: &str, class: Option<&str>) -> Result<Self, Error> {
        let parsed = serde_json::from_str(&quote_python_floats(json))
            .map_err(|error| Error::NotAConfig(brief(error.to_string(), MESSAGE)))?;
        let Value::Object(mut values) = parsed else {
            return Err(Error::NotAConfig("it is not an object".to_owned()));
        };
        let own = match values.remove("_class_name") {
            Some(Value::String(own)) => Some(own),
            _ => None,
        };
        let class_name = class.map(str::to_owned).or_else(|| own.clone());
        let class_name =
            class_name.ok_or_else(|| Error::NotAConfig("`_class_name` is missing".into()))?;
        if class_name.len() > VALUE {
            let class_name = brief(class_name, VALUE);
            return Err(Error::NotAConfig(format!("`_class_name` {class_name} is no class")));
        }
        let mut warnings = Vec::new();
        if let Some(own) = own.filter(|own| *own != class_name) {
            let own = brief(own, VALUE);
            warnings.push(format!(
                "model_index.json names {class_name} and scheduler_config.json {own}: \
                 {class_name} reads it, as in diffusers"
            ));
        }
        if let Some(Value::Array(unset)) = values.remove("_use_default_values") {
            values.retain(|key, _| !unset.iter().any(|name| name == key));
        }
        values.retain(|key, _| !key.starts_with('_'));
        let unknown = values.iter().filter_map(|(key, value)| check_key(key, value).err());
        let unknown: Vec<_> = unknown.collect();
        warnings.extend(unknown.iter().take(NAMED).map(|error| {
            format!(
                "scheduler_config.json: {}; it is ignored, as in diffusers",
                error.unknown_key()
            )
        }));
        if let more @ 1.. = unknown.len().saturating_sub(NAMED) {
            warnings.push(format!("scheduler_config.json: {more} more keys are not known"));
        }
        values.retain(|key, value| check_key(key, value).is_ok());
        if let Some(steps) = values.get("num_train_timesteps")
            && !steps
                .as_u64()
                .is_some_and(|steps| (1..=MAX_TRAIN_TIMESTEPS as u64).contains(&steps))
        {
            let expected = format!("a whole number from 1 to {MAX_TRAIN_TIMESTEPS}");
            return Err(Error::invalid("num_train_timesteps", steps, expected));
        }
        Ok(Self { class: find_class(&class_name), class_name, values, warnings })
    }

    /// What a person should know of the file.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The diffusers class that reads the folder's config.
    pub fn class_name(&self) -> &str {
        &self.class_name
    }

    /// The number of steps that the model was trained with; no run has more.
    pub fn num_train_timesteps(&self) -> u32 {
        let given = self.get("num_train_timesteps").and_then(Value::as_u64);
        let default = self.class.map_or(&About::USUAL, |class| &class.about).train_timesteps;
        given.unwrap_or(default as u64).try_into().unwrap_or(u32::MAX)
    }

    /// The same config with another value of `key`, where the file says it; with `unsaid` also
    /// where the class has that key, and the file leaves it at its default.
    pub(crate) fn correct(mut self, key: &str, value: impl Into<Value>, unsaid: bool) -> Self {
        let has = self.class.is_some_and(|class| class.about.keys().any(|own| own == key));
        if (unsaid && has) || self.values.contains_key(key) {
            self.values.insert(key.to_owned(), value.into());
        }
        self
    }

    /// The same values as another class's config.
    pub(crate) fn of_class(self, class_name: &str) -> Self {
        Self { class_name: class_name.to_owned(), class: find_class(class_name), ..self }
    }

    /// The class to build where the caller chooses none.
    pub(super) fn class(&self) -> Result<&'static Class, Error> {
        self.class.ok_or_else(|| table::unknown(&self.class_name))
    }

    /// What the folder sets.
    pub(super) fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The value of `key`, if the folder sets it.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }
}

fn find_class(name: &str) -> Option<&'static Class> {
    table::find(name).ok().map(|meaning| meaning.class)
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
    fn an_unknown_key_is_ignored_with_a_warning_that_has_the_nearest() {
        let json = r#"{"_class_name":"X","beta_strat":0.1,"tensor_format":"pt","beta_end":1}"#;
        let config = SchedulerConfig::parse(json).unwrap();
        assert_eq!((config.get("beta_strat"), config.get("beta_end")), (None, Some(&1.into())));
        assert_eq!(
            config.warnings(),
            [
                "scheduler_config.json: key `beta_strat` (value 0.1) is not known (nearest: \
                 `beta_start`); it is ignored, as in diffusers",
                "scheduler_config.json: key `tensor_format` (value \"pt\") is not known; it is \
                 ignored, as in diffusers",
            ]
        );
        let many: Vec<_> = (0..1000).map(|index| format!("\"k{index}\":1")).collect();
        let json = format!("{{\"_class_name\":\"X\",{}}}", many.join(","));
        let warnings = SchedulerConfig::parse(&json).unwrap().warnings;
        assert_eq!(warnings.len(), NAMED + 1);
        assert_eq!(warnings[NAMED], "scheduler_config.json: 992 more keys are not known");
    }

    #[test]
    fn the_class_that_the_index_names_reads_the_config() {
        let json = r#"{"_class_name":"DDIMScheduler","beta_end":1}"#;
        let config = SchedulerConfig::read(json, Some("EulerDiscreteScheduler")).unwrap();
        assert_eq!(config.class_name(), "EulerDiscreteScheduler");
        assert_eq!(
            config.warnings(),
            ["model_index.json names EulerDiscreteScheduler and scheduler_config.json \
              DDIMScheduler: EulerDiscreteScheduler reads it, as in diffusers"]
        );
        let nameless = SchedulerConfig::read(r#"{"beta_end":1}"#, Some("DDIMScheduler")).unwrap();
        assert_eq!((nameless.class_name(), nameless.warnings()), ("DDIMScheduler", &[][..]));
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
