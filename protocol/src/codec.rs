//! Structured frames: MessagePack maps with field names, so that a peer of the next minor version
//! can add a field.
//!
//! No type that is decoded here is recursive, and nesting is bounded by [`limits::DEPTH`]: what a
//! peer sends can exhaust neither stack nor heap.

use std::io::ErrorKind;

use rmp_serde::decode;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};

use crate::limits;

/// Why bytes are not the message they should be.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not MessagePack, or not this type.
    #[error("the message does not decode as {what}")]
    Decode {
        /// The type's name.
        what: &'static str,
        /// The reason.
        source: Box<rmp_serde::decode::Error>,
    },
    /// Bytes follow the message.
    #[error("bytes follow the message")]
    Trailing,
    /// The value can't be encoded.
    #[error("the message does not encode")]
    Encode(#[source] Box<rmp_serde::encode::Error>),
    /// The encoded value is longer than a structured frame.
    #[error("the message has {0} bytes, more than {max}: send bulk data as an attachment", max = limits::STRUCTURED)]
    TooLong(usize),
}

/// Encodes a message.
///
/// # Errors
/// [`CodecError::Encode`], or [`CodecError::TooLong`] beyond [`limits::STRUCTURED`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(128);
    encode_onto(&mut bytes, message)?;
    Ok(bytes)
}

/// Encodes a message behind what `bytes` has already; there it stays on an error.
///
/// # Errors
/// As [`encode`].
pub fn encode_onto<T: Serialize>(bytes: &mut Vec<u8>, message: &T) -> Result<(), CodecError> {
    let start = bytes.len();
    let encoded = rmp_serde::encode::write_named(bytes, message)
        .map_err(|error| CodecError::Encode(Box::new(error)));
    let length = bytes.len() - start;
    let fits = if length > limits::STRUCTURED as usize {
        Err(CodecError::TooLong(length))
    } else {
        Ok(())
    };
    let done = encoded.and(fits);
    if done.is_err() {
        bytes.truncate(start);
    }
    done
}

/// Decodes a message that takes up all of `bytes`.
///
/// # Errors
/// [`CodecError::Decode`] or [`CodecError::Trailing`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(limits::DEPTH);
    let message = T::deserialize(&mut decoder).map_err(|source| CodecError::Decode {
        what: std::any::type_name::<T>(),
        source: Box::new(source),
    })?;
    // Reads one marker, and nothing of what a container would hold.
    match <()>::deserialize(&mut decoder) {
        Err(decode::Error::InvalidMarkerRead(end)) if end.kind() == ErrorKind::UnexpectedEof => {
            Ok(message)
        }
        _ => Err(CodecError::Trailing),
    }
}

/// Decodes what a person may have written, and says of which field a mistake is: its path, as in
/// `request.width`, and what is wrong with it.
///
/// # Errors
/// The field (empty for the whole) and the reason.
pub fn decode_named<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (String, String)> {
    decode(bytes).map_err(|error| {
        // MessagePack's own errors speak of markers; the same values as JSON are told in words.
        let whole = |error: CodecError| (String::new(), error.to_string());
        let value: serde_json::Value = match self::decode(bytes) {
            Ok(value) => value,
            Err(error) => return whole(error),
        };
        match hearth_api::json::read::<T>(&value) {
            Ok(_) => whole(error),
            Err(misfit) => (misfit.path.clone(), misfit.reason()),
        }
    })
}

/// The empty argument list, a MessagePack map without entries.
pub const EMPTY: &[u8] = &[0x80];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_of_nested_arrays_is_an_error() {
        let bytes = vec![0x91; 1 << 20];
        assert!(decode::<serde_json::Value>(&bytes).is_err());
        assert!(decode::<crate::message::Request>(&bytes).is_err());
    }

    #[test]
    fn a_mistake_is_said_of_its_field() {
        use crate::methods::{GenerateArgs, SleepArgs};
        let said = |args: serde_json::Value| {
            decode_named::<SleepArgs>(&encode(&args).unwrap()).unwrap_err()
        };
        let (field, reason) = said(serde_json::json!({"level": "deep"}));
        assert_eq!(field, "level");
        assert!(reason.contains("deep"), "{reason}");
        let (_, reason) = said(serde_json::json!({"levle": 1}));
        assert!(reason.contains("levle") && reason.contains("known: level"), "{reason}");
        let args = serde_json::json!({"request": {"prompt": "x", "width": "wide"}, "part": {"index": 0, "of": 1}});
        let error = decode_named::<GenerateArgs>(&encode(&args).unwrap()).unwrap_err();
        assert_eq!(error.0, "request.width", "{error:?}");
    }

    #[test]
    fn trailing_bytes_are_an_error() {
        for more in [&[0][..], &[0xc0], &[0x91], &[0x81, 0xc0], &[0xdd, 0, 0, 0, 5], &[0xa1]] {
            let bytes = [&encode(&7_u8).unwrap(), more].concat();
            assert!(matches!(decode::<u8>(&bytes), Err(CodecError::Trailing)), "{more:?}");
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_encoded() {
        let long = "x".repeat(limits::STRUCTURED as usize);
        assert!(matches!(encode(&long), Err(CodecError::TooLong(_))));
    }
}
