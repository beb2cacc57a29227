//! A scheduler as requests give it: a text, or in JSON an object of `name` and overrides.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

/// Reads a scheduler from its text or, in JSON, from an object of `name` and overrides.
pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scheduler {
        Text(String),
        Parts {
            name: String,
            #[serde(flatten)]
            overrides: BTreeMap<String, Scalar>,
        },
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Bool(bool),
        Integer(i64),
        Float(f64),
        Text(String),
    }
    impl fmt::Display for Scalar {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Bool(value) => value.fmt(f),
                Self::Integer(value) => value.fmt(f),
                Self::Float(value) => value.fmt(f),
                Self::Text(value) => value.fmt(f),
            }
        }
    }
    Ok(Option::<Scheduler>::deserialize(input)?.map(|scheduler| match scheduler {
        Scheduler::Text(text) => text,
        Scheduler::Parts { name, overrides } => {
            let overrides: Vec<_> =
                overrides.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            if overrides.is_empty() { name } else { format!("{name}:{}", overrides.join(",")) }
        }
    }))
}
