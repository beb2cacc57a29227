//! A request as people keep it: a document in JSON or YAML, or a PNG that says how Hearth made it.
//!
//! [`RequestDocument::parse`] reads the fields, which may then be set or replaced one by one, and
//! [`RequestDocument::request`] makes a [`GenerationRequest`] of them. The files that a PNG's request
//! was made with are not in it, only their digests: [`OriginalFiles`] says what of them is missing
//! or another file. Nothing here reads a file or names a flag: that is the caller's.
//!
//! ```
//! use hearth_engine::documents::RequestDocument;
//!
//! let document = RequestDocument::parse(b"prompt: red heart\nnum_images: 2\n")?;
//! let (request, _) = document.request()?;
//! assert_eq!(request.num_images, Some(2));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod error;
mod original;
mod parse;

use hearth_api::CallError;
use hearth_api::request::GenerationRequest;
use serde_json::{Map, Value};

pub use error::DocumentError;
pub use original::{FILE_FIELDS, FileDifference, OriginalFiles};

/// The fields of a request, not yet checked.
#[derive(Debug, Default)]
pub struct RequestDocument {
    fields: Map<String, Value>,
    original: OriginalFiles,
}

impl RequestDocument {
    /// Reads a document. A request may stand alone, or under `request` in what a PNG says and what
    /// `hearth generate --json` prints.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let mut fields = parse::fields(bytes)?;
        let original = OriginalFiles::take(&mut fields);
        Ok(Self { fields, original })
    }

    /// Sets a field, in place of what it was.
    pub fn set(&mut self, field: impl Into<String>, value: Value) {
        self.fields.insert(field.into(), value);
    }

    /// The values of the fields that hold files, each with its field's name, for the caller to put
    /// a file's content (Base64) in place of its name.
    pub fn files_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Value)> {
        self.fields.iter_mut().flat_map(|(name, value)| {
            let field = FILE_FIELDS.iter().find(|field| *field == name);
            let files = field.map(|_| original::files(value)).into_iter().flatten();
            files.map(move |file| (field.copied().unwrap_or_default(), file))
        })
    }

    /// The request, and the files that it was once made with.
    ///
    /// # Errors
    /// `invalid_argument` names the field.
    pub fn request(self) -> Result<(GenerationRequest, OriginalFiles), CallError> {
        let request = GenerationRequest::from_json(Value::Object(self.fields))?;
        Ok((request, self.original))
    }
}

#[cfg(test)]
mod tests;
