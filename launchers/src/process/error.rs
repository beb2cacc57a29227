//! The launcher's name, and the errors that carry it.

use crate::Error;

/// The launcher's name.
pub(super) const NAME: &str = "process";

/// The spec asks for something that plain processes can't have.
pub(super) fn unsupported(field: &'static str, remedy: &str) -> Error {
    Error::Unsupported { launcher: NAME, field, remedy: remedy.to_owned() }
}

/// The system refused or failed.
pub(super) fn failed(reason: &str) -> Error {
    Error::Manager { launcher: NAME, reason: reason.to_owned() }
}
