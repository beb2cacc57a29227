//! What is wrong with a key of a config, for the person who wrote it: the key as they wrote it, the
//! value, and what to give instead.

use figment::error::Kind;
use figment::value::Value;
use figment::{Figment, Profile, Source};

/// What the command line's keys are said to be from.
pub(super) const COMMAND_LINE: &str = "the command line";

/// An error of the reader's, in words for people.
pub(super) fn describe(error: &figment::Error, config: &Figment) -> String {
    let place = place(error);
    let value = match error.path.is_empty() {
        true => None,
        false => config.find_value(&error.path.join(".")).ok(),
    };
    let value = value.map(|value| shown(&value));
    let with_value = match &value {
        Some(value) if !place.is_empty() => format!("{place}: {value}"),
        Some(value) => value.clone(),
        None => place.clone(),
    };
    match &error.kind {
        Kind::UnknownField(_, []) => {
            format!("{place}: there is no such key")
        }
        Kind::UnknownField(_, known) => {
            format!("{place}: there is no such key, known are {}", known.join(", "))
        }
        Kind::UnknownVariant(_, known) => {
            format!("{with_value} is not known: give {}", known.join(", "))
        }
        Kind::MissingField(name) => format!("{}{name} is missing", dotted(&place)),
        Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) => {
            format!("{with_value}: give {}", wish(wanted))
        }
        // The standard library's, which say neither value nor remedy.
        Kind::Message(text) if text.starts_with("invalid socket address") => {
            format!("{with_value}: give {}", wish("socket address"))
        }
        Kind::Message(text) if place.is_empty() => text.clone(),
        Kind::Message(text) => match &value {
            // Most say the value themselves.
            Some(value) if value.starts_with("a ") || text.contains(value.as_str()) => {
                format!("{place}: {text}")
            }
            _ => format!("{with_value}: {text}"),
        },
        other if place.is_empty() => other.to_string(),
        other => format!("{place}: {other}"),
    }
}

/// The key as it was written, and where.
fn place(error: &figment::Error) -> String {
    let profile = error.profile.clone().unwrap_or(Profile::Default);
    let Some(metadata) = &error.metadata else { return error.path.join(".") };
    let key = metadata.interpolate(&profile, &error.path);
    match &metadata.source {
        Some(Source::File(path)) if key.is_empty() => path.display().to_string(),
        Some(Source::File(path)) => format!("{key} in {}", path.display()),
        _ if metadata.name == COMMAND_LINE => format!("{key} on {COMMAND_LINE}"),
        _ => key,
    }
}

fn dotted(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

/// A value as people write it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, char) => format!("{:?}", char.to_string()),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|number| number.to_string());
            let whole = whole.or_else(|| number.to_u128().map(|number| number.to_string()));
            let any = whole.or_else(|| number.to_f64().map(|number| number.to_string()));
            any.unwrap_or_else(|| "a number".to_owned())
        }
        Value::Array(..) => "a list".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Empty(..) => "nothing".to_owned(),
    }
}

/// What to give, from the reader's word for the type that is wanted.
fn wish(wanted: &str) -> &str {
    match wanted {
        "socket address" => "an IP address and a port, as in \"127.0.0.1:7420\" or \"[::]:7420\"",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a duration" => "a time with its unit, as in \"90s\", \"10m\" or \"1h30m\"",
        "a sequence" => "a list, as in [\"one\", \"two\"]",
        "a string" | "path string" | "string" => "text, in quotes",
        "a map" => "a table",
        section if section.starts_with("struct ") => "a table, as in [worker] on a line of its own",
        other => other,
    }
}
