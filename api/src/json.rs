//! JSON that people wrote, read as a type: what doesn't fit is said with its place, its value and what
//! to give instead, in words that ask for no knowledge of Rust.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Characters of a value that a message shows.
const SHOWN: usize = 80;
/// Names of a list that a message shows.
const NAMES: usize = 40;

/// What is said where a text is wanted.
const TEXT: &str = "a text, in quotes";

/// A value that doesn't fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Misfit {
    /// Where it stands, as in `lora[0].scale`; empty for the whole.
    pub path: String,
    /// The value where it can be shown, and what is wrong with it.
    value: Option<String>,
    fault: String,
}

impl Misfit {
    /// What is wrong, without the place.
    #[must_use]
    pub fn reason(&self) -> String {
        match &self.value {
            Some(value) => format!("{value}: {}", self.fault),
            None => self.fault.clone(),
        }
    }

    /// Whether a text is wanted there.
    pub(crate) fn wants_text(&self) -> bool {
        self.fault == Fault::Wanted(TEXT.to_owned()).to_string()
    }

    fn message(&self) -> String {
        let Self { path, value, fault } = self;
        match (path.as_str(), value) {
            ("", Some(value)) => format!("it is {value}: {fault}"),
            ("", None) => fault.clone(),
            (path, Some(value)) => format!("{path} is {value}: {fault}"),
            (path, None) => format!("{path}: {fault}"),
        }
    }
}

/// Reads `json` as a `T`.
///
/// # Errors
/// The first value that doesn't fit.
pub fn read<T: DeserializeOwned>(json: &Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(Json(json)).map_err(|error| {
        let path = error.path();
        let value = match error.inner() {
            Fault::Wanted(_) => at(json, path).map(shown),
            Fault::Other(_) => None,
        };
        let place = path.to_string();
        let path = if place == "." { String::new() } else { place };
        Misfit { path, value, fault: error.inner().to_string() }
    })
}

/// The value at that place.
fn at<'j>(json: &'j Value, path: &Path) -> Option<&'j Value> {
    path.iter().try_fold(json, |value, segment| match segment {
        Segment::Seq { index } => value.get(index),
        Segment::Map { key } => value.get(key),
        // A single value that stands for a list of one.
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

/// A value as it stands in messages, without its end where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What is wrong with a value.
#[derive(Debug)]
enum Fault {
    /// Something else is wanted there.
    Wanted(String),
    /// What a type says itself.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted(wanted) => write!(f, "give {wanted}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Other(text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Wanted(wish(&expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Wanted(wish(&expected.to_string()))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::Wanted(wish(&expected.to_string()))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::Wanted(one_of(known))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let name = shown(&Value::from(name));
        Self::Other(format!("there is no key {name} here; known: {}", listed(known)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Other(format!("`{name}` is missing"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::Other(format!("`{name}` is given twice; give it once"))
    }
}

fn one_of(known: &[&str]) -> String {
    format!("one of {}", listed(known))
}

fn listed(names: &[&str]) -> String {
    let first = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// What to give, from the reader's word for the type that is wanted.
fn wish(expected: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" | "a borrowed string" => TEXT.to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => match other.strip_prefix("an array of length ") {
            Some(length) => format!("a list of {length}"),
            None => other.to_owned(),
        },
    }
}

/// A value to be read.
#[derive(Clone, Copy)]
struct Json<'j>(&'j Value);

impl<'de> Deserializer<'de> for Json<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(list) => {
                let mut list = SeqDeserializer::new(list.iter().map(Json));
                let value = visitor.visit_seq(&mut list)?;
                // More than a list of a certain length has.
                list.end().map(|()| value)
            }
            Value::Object(entries) => {
                let entries = entries.iter().map(|(key, value)| (key.as_str(), Json(value)));
                let mut entries = MapDeserializer::new(entries);
                let value = visitor.visit_map(&mut entries)?;
                entries.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(Fault::Wanted(one_of(known))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Json<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        count: u8,
        share: Option<f64>,
        #[serde(default)]
        pair: Option<[u32; 2]>,
        #[serde(default)]
        colour: Option<Colour>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    #[test]
    fn what_fits_is_read() {
        let json = json!({"count": 7, "share": 1, "pair": [1, 2], "colour": "blue"});
        let colour = Some(Colour::Blue);
        let sample = Sample { count: 7, share: Some(1.0), pair: Some([1, 2]), colour };
        assert_eq!(read::<Sample>(&json), Ok(sample));
        assert_eq!(read::<Value>(&json), Ok(json));
    }

    #[test]
    fn what_does_not_fit_is_said_with_its_place_its_value_and_what_to_give() {
        for (json, message) in [
            (json!({"count": "x"}), "count is \"x\": give a whole number from 0 to 255"),
            (json!({"count": 256}), "count is 256: give a whole number from 0 to 255"),
            (json!({"count": 1.5}), "count is 1.5: give a whole number from 0 to 255"),
            (json!({"count": 1, "share": true}), "share is true: give a number"),
            (json!({"count": 1, "pair": [1]}), "pair is [1]: give a list of 2"),
            (json!({"count": 1, "pair": [1, -2]}), "pair[1] is -2: give a whole number from 0 to"),
            (json!({"count": 1, "colour": "grey"}), "colour is \"grey\": give one of red, blue"),
            (json!({"count": 1, "colour": 7}), "colour is 7: give one of red, blue"),
            (json!({"share": 1}), "`count` is missing"),
            (json!({"count": 1, "size": 1}), "there is no key \"size\" here; known: count, share"),
            (json!([1]), "it is [1]: give an object"),
        ] {
            let misfit = read::<Sample>(&json).unwrap_err();
            assert!(misfit.to_string().contains(message), "{json}: {misfit}");
        }
        let long = read::<Sample>(&json!({"count": "x".repeat(10_000)})).unwrap_err();
        assert!(long.to_string().len() < 200 && long.path == "count");
    }
}
