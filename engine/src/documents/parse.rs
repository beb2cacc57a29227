//! From bytes to fields.

use serde_json::{Map, Value};

use super::error::DocumentError;

/// What a PNG file begins with.
const PNG: &[u8] = b"\x89PNG";

/// What Windows' editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a PNG file in which Hearth says how it was made.
const CHUNK: &str = "hearth";

/// The key under which a document may have the request, beside other things.
const REQUEST: &str = "request";

/// The fields of a JSON or YAML document, or of what a PNG says that it was made by.
pub(super) fn fields(bytes: &[u8]) -> Result<Map<String, Value>, DocumentError> {
    let Value::Object(mut fields) = value(bytes)? else {
        return Err(DocumentError::NotAnObject);
    };
    match fields.remove(REQUEST) {
        Some(Value::Object(request)) => Ok(request),
        Some(other) => {
            fields.insert(REQUEST.to_owned(), other);
            Ok(fields)
        }
        None => Ok(fields),
    }
}

fn value(bytes: &[u8]) -> Result<Value, DocumentError> {
    if bytes.starts_with(PNG) {
        let text = hearth_media::png_text(bytes, CHUNK).map_err(DocumentError::Png)?;
        let text = text.ok_or(DocumentError::NoRequest)?;
        return serde_json::from_str(&text).map_err(DocumentError::Json);
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        // Nobody means YAML by a brace: the error in the JSON says more.
        Err(error) if bytes.trim_ascii_start().starts_with(b"{") => Err(DocumentError::Json(error)),
        Err(_) => serde_yaml_ng::from_slice(bytes).map_err(DocumentError::Yaml),
    }
}
