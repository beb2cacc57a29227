//! Reading a folder's JSON.

use std::path::Path;

use hearth_api::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::Error;
use crate::brief::{MESSAGE, brief};
use crate::files::{self, Text};

/// The object in the file at `path`; keys that `T` doesn't have are ignored.
pub(super) fn read<T: DeserializeOwned>(path: &Path, kind: Text) -> Result<T, Error> {
    let text = files::text(path, kind).map_err(|source| Error::Io { path: path.into(), source })?;
    let bad =
        |reason: String| Error::Json { path: path.to_owned(), reason: brief(reason, MESSAGE) };
    let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    // A list would be taken for the values of the keys in order.
    if !value.is_object() {
        return Err(bad("it is not an object".to_owned()));
    }
    json::read(&value).map_err(|misfit| bad(misfit.to_string()))
}
