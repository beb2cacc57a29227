//! What `hearth model inspect` says of a folder.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::component::Component;
use super::family::Family;
use super::folder::Differs;
use super::options::LoadOptions;
use super::place::component_of;
use super::problems::{Problem, Problems};
use super::read::Blueprint;
use crate::model::{Description, Error};
use crate::progress::Progress;

/// What a folder is, what it can be asked for, and what is wrong with it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The folder.
    pub path: PathBuf,
    /// Whether a worker would take it.
    pub usable: bool,
    /// All that is wrong, each with its remedy.
    pub problems: Vec<Problem>,
    /// What can be lived with.
    pub warnings: Vec<String>,
    /// The pipeline class in `model_index.json`; empty where there is none.
    pub class: String,
    /// Its family, where nothing more is known.
    #[serde(rename = "family", skip_serializing_if = "Option::is_none")]
    pub family_alone: Option<&'static str>,
    /// What it can be asked for; none where a problem hides it.
    #[serde(flatten)]
    pub description: Option<Description>,
    /// Bytes that a worker is expected to hold once it has loaded this model on the CPU and no
    /// other. A picture takes more while it is made.
    pub memory_estimate_bytes: u64,
    /// Whether a manifest vouches for the files.
    pub verified: bool,
    /// Its graphs.
    #[serde(rename = "parts")]
    pub components: Vec<Component>,
}

impl Report {
    /// Looks at the folder at `path`, which may be of one of these families. Nothing is loaded; every
    /// file is read once, for its digest, and counted in `progress`.
    pub(crate) fn of(
        path: &Path,
        families: &[&'static Family],
        options: &LoadOptions,
        progress: &Progress,
    ) -> Self {
        let blueprint = match Blueprint::read(path, families, options) {
            Ok(blueprint) => blueprint,
            Err(error) => return Self::unknown(path, &error),
        };
        let (problems, used) = (&blueprint.problems, blueprint.used());
        let mut description = blueprint.description().cloned();
        let mut verified = false;
        match blueprint.examine(progress) {
            Ok((contents, differences)) => {
                for differs in differences {
                    // What is not used may be there.
                    let is_used = used.contains(Path::new(&differs.file));
                    if differs.state != Differs::Extra || is_used {
                        problems.add(differs.component(), differs.message(path));
                    }
                }
                verified = contents.verified && problems.is_empty();
                if let Some(description) = &mut description {
                    description.digest = contents.digest;
                }
            }
            Err(error) => {
                let error = Error::from(error);
                problems.note(&component_of(&error, path), &error);
            }
        }
        let components = blueprint.components();
        Self {
            path: path.to_owned(),
            usable: problems.is_empty(),
            problems: problems.list(),
            warnings: blueprint.warnings().to_vec(),
            class: blueprint.class().to_owned(),
            family_alone: description.is_none().then_some(blueprint.family().name),
            description,
            memory_estimate_bytes: memory_estimate(&components),
            verified,
            components,
        }
    }

    fn unknown(path: &Path, error: &Error) -> Self {
        let problems = Problems::default();
        problems.note(&component_of(error, path), error);
        Self {
            path: path.to_owned(),
            usable: false,
            problems: problems.list(),
            warnings: Vec::new(),
            class: String::new(),
            family_alone: None,
            description: None,
            memory_estimate_bytes: 0,
            verified: false,
            components: Vec::new(),
        }
    }
}

/// A worker without a model, with ONNX Runtime.
const PROGRAM_BYTES: u64 = 46 << 20;
/// ONNX Runtime keeps most weights twice on the CPU: as they came, and in the order that its
/// kernels read them.
const COPIES: u64 = 2;

/// The resident memory of `inference/examples/measure.rs` after loading was 0.97 of this for the
/// demo model (20 MiB of weights), and 0.89 of it for a Stable Diffusion of 499 MiB.
fn memory_estimate(components: &[Component]) -> u64 {
    match components.iter().map(|component| component.bytes).sum::<u64>() {
        0 => 0,
        weights => PROGRAM_BYTES + COPIES * weights,
    }
}
