//! LoRA adapters as requests give them: a list of names and scales, or in JSON a map.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::CallError;

/// Most adapters of one request.
const MOST: usize = 32;

/// An adapter of the model, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Its name, as `list_models` says it.
    pub name: String,
    /// What its weights are multiplied by; 1 when absent.
    #[serde(default = "whole")]
    pub scale: f64,
}

fn whole() -> f64 {
    1.0
}

/// Checks what can be checked without the model.
pub(super) fn check(lora: &[Lora]) -> Result<(), CallError> {
    let invalid = |message: String| Err(CallError::invalid("lora", message));
    if lora.len() > MOST {
        return invalid(format!("lora names {} adapters: name at most {MOST}", lora.len()));
    }
    for (index, Lora { name, scale }) in lora.iter().enumerate() {
        if name.is_empty() {
            return invalid("lora: a name is empty: name an adapter of the model".to_owned());
        }
        if !scale.is_finite() {
            return invalid(format!(
                "lora: the scale of {name:?} is {scale}: give a finite number"
            ));
        }
        if lora[..index].iter().any(|before| before.name == *name) {
            return invalid(format!("lora: {name:?} is given twice: give it once"));
        }
    }
    Ok(())
}

/// Reads `[{"name": "ink", "scale": 0.5}, "glow"]`, or `{"ink": 0.5, "glow": 1}`.
pub(super) fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Lora>, D::Error> {
    input.deserialize_any(List)
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<Lora>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a list as in [{\"name\": \"ink\", \"scale\": 0.5}], or a map of names to scales",
        )
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut lora = Vec::new();
        while let Some(Item(item)) = list.next_element()? {
            lora.push(item);
        }
        Ok(lora)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut lora = Vec::new();
        while let Some((name, scale)) = map.next_entry()? {
            lora.push(Lora { name, scale });
        }
        Ok(lora)
    }
}

/// One of a list: an object, or a name alone.
struct Item(Lora);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Lora;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an adapter as in {\"name\": \"ink\", \"scale\": 0.5}, or its name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Lora, E> {
                Ok(Lora { name: name.to_owned(), scale: whole() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lora, A::Error> {
                Lora::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            }
        }
        input.deserialize_any(One).map(Self)
    }
}
