//! A request's fields from `--request`, a whole request, and from `--set`, one field each. Flags
//! override both.

use std::path::{Path, PathBuf};

use hearth_api::limits;
use hearth_api::request::GenerationRequest;
use hearth_engine::documents::{FileDifference, OriginalFiles, RequestDocument};
use serde_json::Value;

use crate::args::DetailArgs;
use crate::commands::input;
use crate::exit::Failure;

/// What `--request` and `--set` give.
#[derive(Debug, Default)]
pub(super) struct RequestInput {
    pub(super) request: GenerationRequest,
    /// The files that the request was once made with: their bytes are not in it.
    original: OriginalFiles,
    source: String,
}

impl RequestInput {
    /// Reads `--request` and `--set`; `@FILE` stands for a file's bytes.
    pub(super) fn read(args: &DetailArgs) -> Result<Self, Failure> {
        let (mut document, source) = match &args.request {
            Some(path) => (read_document(path)?, format!("--request {}", path.display())),
            None => (RequestDocument::default(), String::new()),
        };
        for (field, value) in &args.set {
            document.set(field.as_str(), read_value(field, value));
        }
        for (field, file) in document.files_mut() {
            let path = file.as_str().and_then(|text| text.strip_prefix('@'));
            if let Some(path) = path.map(PathBuf::from) {
                *file = Value::from(base64(&bytes(&format!("{field}="), &path)?));
            }
        }
        let (request, original) = document.request()?;
        Ok(Self { request, original, source })
    }

    /// A warning for each file of the request that differs from the original's.
    ///
    /// # Errors
    /// A file of the original is missing.
    pub(super) fn other_files(&self, request: &GenerationRequest) -> Result<Vec<String>, Failure> {
        let differences = self.original.differences(request).into_iter();
        differences.map(|difference| self.warning(difference)).collect()
    }

    fn warning(&self, difference: FileDifference) -> Result<String, Failure> {
        let source = &self.source;
        match difference {
            FileDifference::Missing { field, count, digests } => {
                let known: Vec<_> = digests.iter().map(|sha256| short(sha256)).collect();
                let (files, them, each) = match count {
                    1 => ("a file".to_owned(), "the file", ""),
                    _ => (format!("{count} files"), "them", ", again for each"),
                };
                Err(Failure::usage(format!(
                    "{source}: it was made with {files} as {field} (SHA-256 {}), not kept in it. \
                     Give {them}: {} FILE{each}",
                    known.join(", "),
                    flag(field)
                )))
            }
            FileDifference::Count { field, original, given } => {
                Ok(format!("{field}: {source} was made with {original}, not {given}"))
            }
            FileDifference::Other { field, index, count, sha256 } => {
                let number = if count > 1 { format!(" {}", index + 1) } else { String::new() };
                let short = short(&sha256);
                Ok(format!("{field}{number} is not the file of {source} ({short})"))
            }
        }
    }
}

/// What `--set` gives a field: JSON, or else text, so that a name needs no quotation marks. For a
/// field of text a number is text as well.
fn read_value(field: &str, given: &str) -> Value {
    let text = || Value::from(given);
    match serde_json::from_str(given) {
        Ok(value @ (Value::String(_) | Value::Null)) => value,
        Ok(value) if !GenerationRequest::takes_text(field) => value,
        Ok(_) | Err(_) => text(),
    }
}

/// The flag that gives the files of a field.
fn flag(field: &str) -> String {
    match field {
        "mask_image" => "--mask".to_owned(),
        _ => format!("--{}", field.replace('_', "-")),
    }
}

/// A digest's beginning.
fn short(sha256: &str) -> String {
    format!("{}…", sha256.get(..12).unwrap_or(sha256))
}

fn read_document(path: &Path) -> Result<RequestDocument, Failure> {
    let file = bytes("--request", path)?;
    RequestDocument::parse(&file).map_err(|error| {
        let failure = Failure::usage(format!("--request {}: {error}", path.display()));
        failure.caused_by(std::error::Error::source(&error))
    })
}

fn bytes(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    input::read(flag, path, limits::INPUT)
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use hearth_api::request::Input;

    use super::*;

    fn given(set: &[&str]) -> Result<RequestInput, Failure> {
        let pair = |text: &&str| {
            let (field, value) = text.split_once('=').unwrap();
            (field.to_owned(), value.to_owned())
        };
        let set = set.iter().map(pair).collect();
        RequestInput::read(&DetailArgs { set, ..DetailArgs::default() })
    }

    #[test]
    fn fields_are_json_or_else_text() {
        let request = given(&["clip_skip=2", "prompt=red heart", "original_size=[64, 48]"]);
        let request = request.unwrap().request;
        assert_eq!(request.clip_skip, Some(2));
        assert_eq!(request.prompt, "red heart");
        for (value, prompt) in [
            ("1984", "1984"),
            ("\"1984\"", "1984"),
            ("true", "true"),
            ("[1, 2]", "[1, 2]"),
            ("", ""),
        ] {
            let request = given(&[&format!("prompt={value}")]).unwrap().request;
            assert_eq!(request.prompt, prompt);
        }
        assert_eq!(request.original_size, Some([64, 48]));
        let error = given(&["guidence_scale=3"]).unwrap_err().to_string();
        assert!(error.contains("did you mean guidance_scale?"), "{error}");
        let error = given(&["seed=x"]).unwrap_err().to_string();
        assert!(error.contains("seed is \"x\": give a whole number"), "{error}");
    }

    #[test]
    fn files_come_by_their_path_and_are_missed_by_their_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.npy");
        std::fs::write(&path, b"hearth").unwrap();
        let set = format!("latents=@{}", path.display());
        let read = given(&[&set]).unwrap().request;
        assert_eq!(read.latents.as_ref().unwrap().bytes().unwrap().as_ref(), b"hearth");

        let made = folder.path().join("made.json");
        std::fs::write(
            &made,
            br#"{"request": {"prompt": "x", "image": {"sha256": "ab", "len": 2}}}"#,
        )
        .unwrap();
        let args = DetailArgs { request: Some(made), ..DetailArgs::default() };
        let given = RequestInput::read(&args).unwrap();
        assert_eq!(given.request.prompt, "x");
        let error = given.other_files(&given.request).unwrap_err().to_string();
        assert!(error.contains("Give the file: --image FILE"), "{error}");
    }

    #[test]
    fn each_of_several_files_is_compared_with_its_own_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<_> = [b"a", b"b"].map(|bytes| Input::new(&bytes[..])).to_vec();
        let made = folder.path().join("made.json");
        let json = serde_json::json!({"request": {"prompt": "x", "control_image": digests}});
        std::fs::write(&made, json.to_string()).unwrap();
        let read = |set: &[(&str, &str)]| {
            let set = set.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned()));
            let set = set.collect();
            let args = DetailArgs { request: Some(made.clone()), set, ..DetailArgs::default() };
            RequestInput::read(&args).unwrap()
        };
        let error = read(&[]).other_files(&GenerationRequest::default()).unwrap_err().to_string();
        assert!(error.contains("2 files as control_image (SHA-256 ca978112ca1b…, 3e"), "{error}");
        assert!(error.ends_with("Give them: --control-image FILE, again for each"), "{error}");

        let source = format!("--request {}", made.display());
        let with = |files: &[&[u8]]| {
            let control_image = files.iter().map(|bytes| Input::new(bytes.to_vec())).collect();
            let request = GenerationRequest { control_image, ..GenerationRequest::default() };
            read(&[]).other_files(&request).unwrap()
        };
        assert_eq!(with(&[b"a", b"b"]), [""; 0]);
        let second = format!("control_image 2 is not the file of {source} (3e23e8160039…)");
        assert_eq!(with(&[b"a", b"c"]), std::slice::from_ref(&second));
        assert_eq!(with(&[b"b", b"a"]).len(), 2);
        let fewer = format!("control_image: {source} was made with 2, not 1");
        assert_eq!(with(&[b"a"]), [fewer]);

        // YQ== and Yw== are a and c
        let given = read(&[("control_image", r#"["YQ==", "Yw=="]"#)]);
        assert_eq!(given.other_files(&given.request).unwrap(), [second]);
    }
}
