//! The files that a request was once made with, of which its document has but the digests.

use hearth_api::request::GenerationRequest;
use serde_json::{Map, Value};

/// The fields of a request that hold files.
pub const FILE_FIELDS: [&str; 4] = ["image", "mask_image", "control_image", "latents"];

/// The files that a request was once made with, by their digests.
#[derive(Debug, Default)]
pub struct OriginalFiles(Vec<Original>);

/// The files of one field, in their order.
#[derive(Debug)]
struct Original {
    field: &'static str,
    /// SHA-256 of each; none of one whose content was in the document.
    digests: Vec<Option<String>>,
}

/// How a request's files differ from those that it was once made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileDifference {
    /// There is none.
    Missing {
        /// The field.
        field: &'static str,
        /// How many there were.
        count: usize,
        /// SHA-256 of those that are known.
        digests: Vec<String>,
    },
    /// There are more of them, or fewer.
    Count {
        /// The field.
        field: &'static str,
        /// How many there were.
        original: usize,
        /// How many there are.
        given: usize,
    },
    /// One is another file.
    Other {
        /// The field.
        field: &'static str,
        /// Which of them, from 0.
        index: usize,
        /// How many there are.
        count: usize,
        /// SHA-256 of the original.
        sha256: String,
    },
}

impl OriginalFiles {
    /// Takes the fields out that have files by their digests.
    pub(super) fn take(fields: &mut Map<String, Value>) -> Self {
        let mut taken = Vec::new();
        for field in FILE_FIELDS {
            let Some(value) = fields.get_mut(field) else { continue };
            let digest = |file: &Value| Some(file.get("sha256")?.as_str()?.to_owned());
            let digests: Vec<_> = files(value).iter().map(digest).collect();
            if digests.iter().any(Option::is_some) {
                taken.push(Original { field, digests });
                fields.remove(field);
            }
        }
        Self(taken)
    }

    /// How the request's files differ from the original ones.
    #[must_use]
    pub fn differences(&self, request: &GenerationRequest) -> Vec<FileDifference> {
        self.0.iter().flat_map(|original| original.differences(request)).collect()
    }
}

impl Original {
    fn differences(&self, request: &GenerationRequest) -> Vec<FileDifference> {
        let Self { field, digests } = self;
        let (field, inputs) = (*field, request.inputs());
        let given: Vec<_> = inputs.iter().filter(|(name, _)| *name == field).collect();
        let count = digests.len();
        if given.is_empty() {
            let digests = digests.iter().flatten().cloned().collect();
            return vec![FileDifference::Missing { field, count, digests }];
        }
        if given.len() != count {
            return vec![FileDifference::Count { field, original: count, given: given.len() }];
        }
        let mut differences = Vec::new();
        for (index, ((_, input), sha256)) in given.iter().zip(digests).enumerate() {
            if let Some(sha256) = sha256.clone().filter(|it| it != input.sha256()) {
                differences.push(FileDifference::Other { field, index, count, sha256 });
            }
        }
        differences
    }
}

/// The files of a field that has one or a list of them.
pub(super) fn files(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Array(files) => files.as_mut_slice(),
        one => std::slice::from_mut(one),
    }
}
