//! The families of pipelines, told apart by the class in `model_index.json`.

use std::fmt;

use serde::Serialize;

/// A family of pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Family {
    /// Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet, a VAE.
    StableDiffusion,
}

/// Class names and their family; exporters prefix them.
const CLASSES: [(&str, Family); 3] = [
    ("StableDiffusionPipeline", Family::StableDiffusion),
    ("OnnxStableDiffusionPipeline", Family::StableDiffusion),
    ("ORTStableDiffusionPipeline", Family::StableDiffusion),
];

impl Family {
    /// The family of a pipeline class.
    pub(super) fn of_class(class: &str) -> Option<Self> {
        CLASSES.iter().find(|(name, _)| *name == class).map(|(_, family)| *family)
    }

    /// The classes that can be run, for messages.
    pub(super) fn known() -> String {
        CLASSES.map(|(name, _)| name).join(", ")
    }

    /// Its name in descriptions and listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StableDiffusion => "stable-diffusion",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
