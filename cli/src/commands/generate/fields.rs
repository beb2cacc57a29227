//! A request's fields as they are given at large: by `--request`, a whole request, and by `--set`,
//! one after another. What flags say comes over both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hearth_protocol::generation::GenerationRequest;
use hearth_protocol::limits;
use serde_json::{Map, Value};

use crate::args::DetailArgs;
use crate::commands::input;
use crate::exit::Failure;

/// The text chunk of a PNG file in which Hearth says how it was made.
const CHUNK: &str = "hearth";
/// Fields that are files, for which `@FILE` stands for the file's bytes.
const FILES: &[&str] = &["image", "mask_image", "control_image", "latents"];

/// What was given at large.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) request: GenerationRequest,
    /// SHA-256 of the files that the request was once made with, by field: their bytes are not in
    /// it.
    missing: BTreeMap<String, String>,
    source: String,
}

impl Given {
    /// Reads `--request` and `--set`.
    pub(super) fn read(args: &DetailArgs) -> Result<Self, Failure> {
        let mut given = Self::default();
        let mut fields = Map::new();
        if let Some(path) = &args.request {
            given.source = format!("--request {}", path.display());
            fields = whole(path)?;
        }
        for (field, value) in &args.set {
            // What is no JSON is a text, so that a name needs no quotation marks.
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
            fields.insert(field.clone(), value);
        }
        for field in FILES {
            let Some(value) = fields.get_mut(*field) else { continue };
            let files = match value {
                Value::Array(files) => files.as_mut_slice(),
                one => std::slice::from_mut(one),
            };
            let digest = files.iter().find_map(|file| file.get("sha256")?.as_str());
            if let Some(sha256) = digest.map(str::to_owned) {
                given.missing.insert((*field).to_owned(), sha256);
                fields.remove(*field);
                continue;
            }
            for file in files {
                let path = file.as_str().and_then(|text| text.strip_prefix('@'));
                if let Some(path) = path.map(PathBuf::from) {
                    *file = Value::from(base64(&bytes(&format!("{field}="), &path)?));
                }
            }
        }
        given.request = GenerationRequest::from_json(Value::Object(fields))?;
        Ok(given)
    }

    /// Says which files of the original are missing, or are others.
    pub(super) fn check_files(&self, request: &GenerationRequest) -> Result<(), Failure> {
        for (field, sha256) in &self.missing {
            let inputs = request.inputs();
            let input = inputs.iter().find(|(name, _)| name == field).map(|(_, input)| *input);
            let short = sha256.get(..12).unwrap_or(sha256);
            match input {
                None => {
                    let message = format!(
                        "{}: it was made with a file as {field} (SHA-256 {short}…) that is not in \
                         it. Give the file: --set {field}=@FILE",
                        self.source
                    );
                    return Err(Failure::usage(message));
                }
                Some(input) if input.sha256() != sha256 => crate::output::say(format_args!(
                    "warning: {field} is not the file of {} (SHA-256 {short}…)",
                    self.source
                )),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The fields of a JSON file, or of what a PNG says that it was made by.
fn whole(path: &Path) -> Result<Map<String, Value>, Failure> {
    let file = bytes("--request", path)?;
    let shown = path.display();
    let wrong = |why: &str| Failure::usage(format!("--request {shown}: {why}"));
    let json: Value = if file.starts_with(b"\x89PNG") {
        let text = hearth_media::png_text(&file, CHUNK)
            .map_err(|error| wrong("the PNG can't be read").caused_by(Some(&error)))?;
        let text = text.ok_or_else(|| {
            wrong("the PNG doesn't say by which request it was made: Hearth's own do")
        })?;
        serde_json::from_str(&text)
    } else {
        serde_json::from_slice(&file)
    }
    .map_err(|error| {
        wrong("it is neither JSON nor a PNG made by Hearth").caused_by(Some(&error))
    })?;
    let Value::Object(mut fields) = json else {
        return Err(wrong("a request is a JSON object, as in {\"prompt\": \"red heart\"}"));
    };
    match fields.remove("request") {
        Some(Value::Object(request)) => Ok(request),
        Some(other) => {
            fields.insert("request".to_owned(), other);
            Ok(fields)
        }
        None => Ok(fields),
    }
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
    use super::*;

    fn given(set: &[&str]) -> Result<Given, Failure> {
        let pair = |text: &&str| {
            let (field, value) = text.split_once('=').unwrap();
            (field.to_owned(), value.to_owned())
        };
        let set = set.iter().map(pair).collect();
        Given::read(&DetailArgs { set, ..DetailArgs::default() })
    }

    #[test]
    fn fields_are_json_or_else_text() {
        let request = given(&["clip_skip=2", "prompt=red heart", "original_size=[64, 48]"]);
        let request = request.unwrap().request;
        assert_eq!(request.clip_skip, Some(2));
        assert_eq!(request.prompt, "red heart");
        assert_eq!(request.original_size, Some([64, 48]));
        let error = given(&["guidence_scale=3"]).unwrap_err().to_string();
        assert!(error.contains("did you mean guidance_scale?"), "{error}");
        let error = given(&["seed=x"]).unwrap_err().to_string();
        assert!(error.contains("seed: invalid type"), "{error}");
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
        let given = Given::read(&args).unwrap();
        assert_eq!(given.request.prompt, "x");
        let error = given.check_files(&given.request).unwrap_err().to_string();
        assert!(error.contains("Give the file: --set image=@FILE"), "{error}");
    }
}
