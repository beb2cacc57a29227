//! Each component that `model_index.json` names, looked at by itself: for folders in which something
//! keeps the family's own reading from going on.

use serde_json::{Map, Value};

use super::folder::Folder;
use super::problems::Problems;
use crate::model::Error;
use crate::schedulers::SchedulerConfig;
use crate::session::onnx;
use crate::tokenizers::{Clip, T5};

/// The component that is a scheduler.
pub(crate) const SCHEDULER: &str = "scheduler";
/// Where a folder says how its scheduler is set.
pub(crate) const SCHEDULER_CONFIG: &str = "scheduler/scheduler_config.json";
/// Components of diffusers' folders that nothing here reads.
const UNREAD: [&str; 3] = ["safety_checker", "feature_extractor", "image_encoder"];

/// Notes what is wrong with files, for the components of which nothing is known to be wrong.
pub(super) fn look(folder: &Folder, problems: &Problems) {
    for (name, class) in folder.index().components() {
        // An export calls the decoder `vae_decoder`; the index keeps the original's name.
        let component = if name == "vae" { "vae_decoder" } else { name };
        if problems.has(component) || UNREAD.contains(&component) {
            continue;
        }
        let seen = match class {
            class if class.contains("Tokenizer") => tokenizer(folder, component, class),
            class if class.contains("Scheduler") => scheduler(folder),
            _ => graph(folder, component),
        };
        if let Err(error) = seen {
            problems.note(component, &*error);
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn tokenizer(folder: &Folder, component: &str, class: &str) -> Outcome {
    let path = folder.path(component)?;
    match class.starts_with("T5") {
        true => T5::load(&path).map(drop)?,
        false => Clip::load(&path).map(drop)?,
    }
    Ok(())
}

fn scheduler(folder: &Folder) -> Outcome {
    let text = folder.text(SCHEDULER_CONFIG).map_err(Error::from)?;
    let class = folder.index().class_of(SCHEDULER);
    SchedulerConfig::read(&text, class).map(drop).map_err(Error::Scheduler)?;
    Ok(())
}

fn graph(folder: &Folder, component: &str) -> Outcome {
    let config = format!("{component}/config.json");
    if !(folder.lacks_configs() && folder.path(&config).is_err()) {
        folder.json::<Map<String, Value>>(&config)?;
    }
    onnx::check(folder.enclosure(), &folder.graph(component)?)?;
    Ok(())
}
