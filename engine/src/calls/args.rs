//! Arguments as they travel: MessagePack maps.

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind};
use hearth_protocol::codec;
use serde::Serialize;

/// A method's arguments as they travel.
///
/// # Errors
/// `too_large`.
pub(crate) fn encode(args: &impl Serialize) -> Result<Bytes, CallError> {
    codec::encode(args)
        .map(Bytes::from)
        .map_err(|error| CallError::new(ErrorKind::TooLarge, "args don't fit").caused_by(&error))
}

/// JSON arguments as they travel; null is an empty map.
///
/// # Errors
/// `invalid_argument` for what is no object, `too_large`.
pub(crate) fn encode_json(args: &serde_json::Value) -> Result<Bytes, CallError> {
    use serde_json::Value as Json;
    match args {
        Json::Null => Ok(Bytes::from_static(codec::EMPTY)),
        Json::Object(_) => encode(args),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(CallError::invalid(
                "args",
                format!("args is {args}: give an object, as in {{\"level\": 1}}"),
            ))
        }
    }
}
