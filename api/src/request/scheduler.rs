//! A scheduler as requests give it: a text, or in JSON an object of `name` and overrides.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;

/// Reads a scheduler from its text or, in JSON, from an object of `name` and overrides.
pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    input.deserialize_any(Scheduler)
}

struct Scheduler;

impl<'de> Visitor<'de> for Scheduler {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a scheduler's name, or an object as in {\"name\": \"euler\", \
             \"use_karras_sigmas\": true}",
        )
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut name, mut overrides) = (None, BTreeMap::new());
        while let Some(key) = map.next_key::<String>()? {
            if key == "name" {
                name = Some(map.next_value::<String>()?);
                continue;
            }
            let Override(value) = map.next_value()?;
            overrides.insert(key, value);
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        let overrides: Vec<_> =
            overrides.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        Ok(Some(match overrides.is_empty() {
            true => name,
            false => format!("{name}:{}", overrides.join(",")),
        }))
    }
}

/// The value of one key, as it stands in a scheduler's text.
struct Override(String);

impl<'de> serde::Deserialize<'de> for Override {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Value::deserialize(input)? {
            Value::String(text) => Ok(Self(text)),
            value @ (Value::Bool(_) | Value::Number(_)) => Ok(Self(value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(D::Error::custom("give a number, a text, true or false"))
            }
        }
    }
}
