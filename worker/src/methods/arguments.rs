//! The arguments of a method, as they come.

use hearth_api::CallError;
use hearth_protocol::codec;
use hearth_protocol::message::Request;
use serde::de::DeserializeOwned;

/// Reads a method's arguments.
pub(super) fn arguments<T: DeserializeOwned>(request: &Request) -> Result<T, CallError> {
    codec::decode_named(&request.args).map_err(|(field, reason)| {
        let method = &request.method;
        match field.as_str() {
            "" => CallError::invalid("args", format!("the arguments of {method}: {reason}")),
            field => CallError::invalid(field, format!("{field} of {method}: {reason}")),
        }
    })
}
