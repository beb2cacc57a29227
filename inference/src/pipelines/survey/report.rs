//! What `hearth model inspect` says of a folder.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::look;
use crate::findings::{Findings, Part, Problem};
use crate::folder::{self, Differs, Family, Folder};
use crate::pipelines::{Description, Error, LoadOptions, parts};
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
    pub family_alone: Option<Family>,
    /// What it can be asked for; none where a problem hides it.
    #[serde(flatten)]
    pub description: Option<Description>,
    /// Bytes that a worker is expected to hold once it has loaded this model on the CPU and no
    /// other. A picture takes more while it is made.
    pub memory_estimate_bytes: u64,
    /// Whether a manifest vouches for the files.
    pub verified: bool,
    /// Its graphs.
    pub parts: Vec<Part>,
}

/// Looks at the folder at `path`. Nothing is loaded; every file is read once, for its digest, and
/// counted in `progress`.
#[must_use]
pub fn inspect(path: &Path, progress: &Progress) -> Report {
    let folder = match Folder::open(path) {
        Ok(folder) => folder,
        Err(error) => return Report::unknown(path, &error.into()),
    };
    let seen = look(&folder, &LoadOptions::default());
    let findings = seen.findings;
    let found = findings.found();
    let (whole, used) = (found.problems().is_empty(), found.used);
    let mut description = seen.description.map(|known| known.as_ref().clone());
    let mut verified = false;
    match folder::examine(path, &used, whole, progress) {
        Ok((contents, differences)) => {
            for difference in differences {
                // What is not used may be there.
                if difference.state != Differs::Extra || used.contains(Path::new(&difference.file))
                {
                    findings.add(difference.part(), difference.message(path));
                }
            }
            verified = contents.verified && findings.found().problems().is_empty();
            if let Some(description) = &mut description {
                description.digest = contents.digest;
            }
        }
        Err(error) => note(&findings, path, &error.into()),
    }
    let problems = findings.found().problems();
    let warnings = description.iter().filter_map(unusual);
    let warnings = warnings.chain(drawing_encoder(&folder)).collect();
    Report {
        path: path.to_owned(),
        usable: problems.is_empty(),
        problems,
        warnings,
        class: folder.class().to_owned(),
        family_alone: description.is_none().then_some(folder.family()),
        description,
        memory_estimate_bytes: memory_estimate(&found.parts),
        verified,
        parts: found.parts,
    }
}

impl Report {
    fn unknown(path: &Path, error: &Error) -> Self {
        let findings = Findings::default();
        note(&findings, path, error);
        Self {
            path: path.to_owned(),
            usable: false,
            problems: findings.found().problems(),
            warnings: Vec::new(),
            class: String::new(),
            family_alone: None,
            description: None,
            memory_estimate_bytes: 0,
            verified: false,
            parts: Vec::new(),
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
fn memory_estimate(parts: &[Part]) -> u64 {
    match parts.iter().map(|part| part.bytes).sum::<u64>() {
        0 => 0,
        weights => PROGRAM_BYTES + COPIES * weights,
    }
}

fn note(findings: &Findings, path: &Path, error: &Error) {
    findings.note(&super::part_of(error, path), error);
}

/// What a person should know of a folder that can be used.
fn unusual(description: &Description) -> Option<String> {
    if description.family == Family::Onnx {
        return None;
    }
    let plain = description.check(&description.plain(None));
    plain.err().map(|refusal| {
        format!("a request must name a scheduler, as the folder's own can't be used: {refusal}")
    })
}

/// What is said of an encoder that is left alone.
fn drawing_encoder(folder: &Folder) -> Option<String> {
    let warning = "vae_encoder is left out, so no picture can be started from: its output \
                   latent_sample is drawn by random numbers of its own; export the folder again \
                   with a newer optimum, which gives latent_parameters";
    parts::draws_by_itself(folder).then(|| warning.to_owned())
}
