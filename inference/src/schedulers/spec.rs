//! A caller's choice of scheduler: a name and config overrides, as `--scheduler` takes them.

use std::fmt;

use serde_json::{Map, Value};

use super::class::Class;
use super::error::Error;
use super::keys::check_key;
use super::table::{self, Meaning};

/// A scheduler chosen by name, with overrides of config keys.
///
/// Displays as it parses, with the canonical name: `dpmpp_2m_karras:solver_type=heun`.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerSpec {
    class: &'static Class,
    name: &'static str,
    from_name: Map<String, Value>,
    given: Map<String, Value>,
}

impl SchedulerSpec {
    /// Parses `name` or `name:key=value,key=value`.
    ///
    /// The name is a diffusers class or a short one of [`table`](super::table). A value is read
    /// as JSON where it is JSON (numbers, `true`, `null`, lists), otherwise as a word.
    ///
    /// # Errors
    /// An unknown name, a key that the class doesn't have, a part that isn't `key=value`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, overrides) = text.split_once(':').unwrap_or((text, ""));
        let Meaning { class, name, overrides: from_name } = table::find(name)?;
        let from_name = from_name.iter().map(|(key, word)| ((*key).into(), value(word))).collect();
        let mut given = Map::new();
        for part in split_outside_brackets(overrides) {
            let (key, word) = part.split_once('=').ok_or_else(|| Error::Syntax {
                text: text.into(),
                problem: format!("`{}` has no `=`", part.trim()),
            })?;
            let (key, value) = (key.trim(), value(word.trim()));
            check_key(key, &value)?;
            check_own(class, key, &value)?;
            if given.insert(key.into(), value).is_some() {
                let problem = format!("`{key}` is given twice");
                return Err(Error::Syntax { text: text.into(), problem });
            }
        }
        Ok(Self { class, name, from_name, given })
    }

    pub(super) fn class(&self) -> &'static Class {
        self.class
    }

    /// What the caller sets, and what the short name sets below it.
    pub(super) fn layers(&self) -> [&Map<String, Value>; 2] {
        [&self.given, &self.from_name]
    }

    /// The value that the caller, or else the short name, sets for `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.given.get(key).or_else(|| self.from_name.get(key))
    }
}

impl fmt::Display for SchedulerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (index, (key, value)) in self.given.iter().enumerate() {
            f.write_str(if index == 0 { ":" } else { "," })?;
            match value {
                Value::String(word) => write!(f, "{key}={word}")?,
                value => write!(f, "{key}={value}")?,
            }
        }
        Ok(())
    }
}

fn check_own(class: &Class, key: &str, value: &Value) -> Result<(), Error> {
    let keys: Vec<_> = class.about.keys().collect();
    if keys.contains(&key) {
        return Ok(());
    }
    Err(Error::ForeignKey {
        class: class.about.name.into(),
        key: key.into(),
        value: value.to_string(),
        known: keys.join(", "),
    })
}

fn value(word: &str) -> Value {
    match word {
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        "None" => Value::Null,
        word => serde_json::from_str(word).unwrap_or_else(|_| Value::from(word)),
    }
}

/// Splits at commas, but not at those inside a list.
fn split_outside_brackets(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |char| {
        match char {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        char == ',' && depth <= 0
    })
    .filter(|part| !part.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_mean_their_class() {
        for (text, shown, class) in [
            ("ddim", "ddim", "DDIMScheduler"),
            ("EulerDiscreteScheduler", "EulerDiscreteScheduler", "EulerDiscreteScheduler"),
            ("Euler a", "euler_a", "EulerAncestralDiscreteScheduler"),
            ("euler_ancestral", "euler_a", "EulerAncestralDiscreteScheduler"),
            ("DPM++ 2M Karras", "dpmpp_2m_karras", "DPMSolverMultistepScheduler"),
            ("dpm++_2m", "dpmpp_2m", "DPMSolverMultistepScheduler"),
            ("PLMS", "pndm", "PNDMScheduler"),
        ] {
            let spec = SchedulerSpec::parse(text).unwrap();
            assert_eq!(
                (spec.to_string().as_str(), spec.class().about.name),
                (shown, class),
                "{text}"
            );
        }
    }

    #[test]
    fn overrides_come_before_what_the_name_sets() {
        let text =
            "dpmpp_2m_karras:solver_type=heun,trained_betas=[0.1,0.2],use_karras_sigmas=False";
        let spec = SchedulerSpec::parse(text).unwrap();
        assert_eq!(spec.get("solver_type"), Some(&Value::from("heun")));
        assert_eq!(spec.get("trained_betas"), Some(&serde_json::json!([0.1, 0.2])));
        assert_eq!(spec.get("use_karras_sigmas"), Some(&Value::from(false)));
        assert_eq!(spec.get("solver_order"), Some(&Value::from(2)));
        assert_eq!(SchedulerSpec::parse(&spec.to_string()).unwrap(), spec);
    }

    #[test]
    fn an_unknown_name_lists_the_known_and_the_nearest() {
        let message = SchedulerSpec::parse("eulr_a").unwrap_err().to_string();
        assert!(
            message.starts_with("unknown scheduler `eulr_a` (nearest: `euler_a`); known: ddpm,")
        );
        assert!(message.contains("_karras") && message.len() < 600, "{message}");
        let message = SchedulerSpec::parse("").unwrap_err().to_string();
        assert!(message.starts_with("unknown scheduler ``; known: "), "{message}");
    }

    #[test]
    fn bad_overrides_are_refused_by_name() {
        let message = |text| SchedulerSpec::parse(text).unwrap_err().to_string();
        assert!(message("euler:karras").contains("`karras` has no `=`"));
        assert!(message("euler:steps_offset=1,steps_offset=2").contains("given twice"));
        assert!(message("euler:stepsoffset=1").contains("nearest: `steps_offset`"));
        assert!(message("euler:clip_sample=true").contains("not one of EulerDiscreteScheduler's"));
    }
}
