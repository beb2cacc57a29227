//! A request's fields from `--request`, a whole request, and from `--set`, one field each. Flags
//! override both.

use std::path::{Path, PathBuf};

use hearth_api::limits;
use hearth_api::request::GenerationRequest;
use serde_json::{Map, Value};

use crate::args::DetailArgs;
use crate::commands::input;
use crate::exit::Failure;

/// The text chunk of a PNG file in which Hearth records the request.
const CHUNK: &str = "hearth";
/// Fields that are files, for which `@FILE` stands for the file's bytes, and their flags.
const FILES: &[(&str, &str)] = &[
    ("image", "--image"),
    ("mask_image", "--mask"),
    ("control_image", "--control-image"),
    ("latents", "--latents"),
];

/// What `--request` and `--set` give.
#[derive(Debug, Default)]
pub(super) struct RequestInput {
    pub(super) request: GenerationRequest,
    /// The files of the original request: their bytes are not in it.
    missing: Vec<MissingFiles>,
    source: String,
}

/// The files of one field, in their order.
#[derive(Debug)]
struct MissingFiles {
    field: &'static str,
    flag: &'static str,
    /// The SHA-256 of each; `None` where another was given.
    digests: Vec<Option<String>>,
}

impl RequestInput {
    /// Reads `--request` and `--set`.
    pub(super) fn read(args: &DetailArgs) -> Result<Self, Failure> {
        let mut given = Self::default();
        let mut fields = Map::new();
        if let Some(path) = &args.request {
            given.source = format!("--request {}", path.display());
            fields = whole(path)?;
        }
        given.missing = take_digests(&mut fields);
        for (field, value) in &args.set {
            // What isn't JSON is taken as text, so that a name needs no quotation marks.
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
            fields.insert(field.clone(), value);
        }
        for (field, _) in FILES {
            for file in fields.get_mut(*field).map(files).into_iter().flatten() {
                let path = file.as_str().and_then(|text| text.strip_prefix('@'));
                if let Some(path) = path.map(PathBuf::from) {
                    *file = Value::from(base64(&bytes(&format!("{field}="), &path)?));
                }
            }
        }
        given.request = GenerationRequest::from_json(Value::Object(fields))?;
        Ok(given)
    }

    /// A warning for each file of the request that differs from the original's.
    ///
    /// # Errors
    /// A file of the original is missing.
    pub(super) fn other_files(&self, request: &GenerationRequest) -> Result<Vec<String>, Failure> {
        let (source, inputs) = (&self.source, request.inputs());
        let mut warnings = Vec::new();
        for MissingFiles { field, flag, digests } in &self.missing {
            let given: Vec<_> = inputs.iter().filter(|(name, _)| name == field).collect();
            let (count, known) = (digests.len(), digests.iter().flatten());
            if given.is_empty() {
                let known: Vec<_> = known.map(|sha256| short(sha256)).collect();
                let (files, them, each) = match count {
                    1 => ("a file".to_owned(), "the file", ""),
                    _ => (format!("{count} files"), "them", ", again for each"),
                };
                return Err(Failure::usage(format!(
                    "{source}: it was made with {files} as {field} (SHA-256 {}), not kept in it. \
                     Give {them}: {flag} FILE{each}",
                    known.join(", ")
                )));
            }
            if given.len() != count {
                let given = given.len();
                warnings.push(format!("{field}: {source} was made with {count}, not {given}"));
                continue;
            }
            for (index, ((_, input), sha256)) in given.iter().zip(digests).enumerate() {
                let Some(sha256) = sha256.as_deref().filter(|it| *it != input.sha256()) else {
                    continue;
                };
                let number = if count > 1 { format!(" {}", index + 1) } else { String::new() };
                let short = short(sha256);
                warnings.push(format!("{field}{number} is not the file of {source} ({short})"));
            }
        }
        Ok(warnings)
    }
}

/// Takes out the fields that name files by their digests.
fn take_digests(fields: &mut Map<String, Value>) -> Vec<MissingFiles> {
    let mut missing = Vec::new();
    for &(field, flag) in FILES {
        let Some(value) = fields.get_mut(field) else { continue };
        let digest = |file: &Value| Some(file.get("sha256")?.as_str()?.to_owned());
        let digests: Vec<_> = files(value).iter().map(digest).collect();
        if digests.iter().any(Option::is_some) {
            missing.push(MissingFiles { field, flag, digests });
            fields.remove(field);
        }
    }
    missing
}

/// The files of a field that has one or a list of them.
fn files(value: &mut Value) -> &mut [Value] {
    match value {
        Value::Array(files) => files.as_mut_slice(),
        one => std::slice::from_mut(one),
    }
}

/// A digest's beginning.
fn short(sha256: &str) -> String {
    format!("{}…", sha256.get(..12).unwrap_or(sha256))
}

/// The fields of a JSON file, or of the request that a PNG records.
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
