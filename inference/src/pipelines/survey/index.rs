//! Each part that `model_index.json` names, looked at by itself: for folders in which something
//! keeps the family's own survey from going on.

use serde_json::{Map, Value};

use crate::findings::Findings;
use crate::folder::Folder;
use crate::pipelines::parts;
use crate::session::onnx;
use crate::tokenizers::{Clip, T5};

/// Parts of diffusers' folders that no pipeline here reads.
const UNREAD: [&str; 3] = ["safety_checker", "feature_extractor", "image_encoder"];

/// Notes what is wrong with files, for the parts of which nothing is known to be wrong.
pub(super) fn look(folder: &Folder, findings: &Findings) {
    for (name, class) in folder.parts() {
        // An export calls the decoder `vae_decoder`; the index keeps the original's name.
        let part = if name == "vae" { "vae_decoder" } else { name.as_str() };
        if findings.has(part) || UNREAD.contains(&part) {
            continue;
        }
        let seen = match class.as_str() {
            class if class.contains("Tokenizer") => tokenizer(folder, part, class),
            class if class.contains("Scheduler") => {
                parts::scheduler_config(folder).map(drop).map_err(Into::into)
            }
            _ => model(folder, part),
        };
        if let Err(error) = seen {
            findings.note(part, &*error);
        }
    }
}

type Seen = Result<(), Box<dyn std::error::Error>>;

fn tokenizer(folder: &Folder, part: &str, class: &str) -> Seen {
    let path = folder.path(part)?;
    match class.starts_with("T5") {
        true => T5::load(&path).map(drop)?,
        false => Clip::load(&path).map(drop)?,
    }
    Ok(())
}

fn model(folder: &Folder, part: &str) -> Seen {
    let config = format!("{part}/config.json");
    if !(folder.lacks_configs() && folder.path(&config).is_err()) {
        folder.json::<Map<String, Value>>(&config)?;
    }
    onnx::check(folder.root(), &folder.graph(part)?)?;
    Ok(())
}
