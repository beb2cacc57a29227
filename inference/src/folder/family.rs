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
    /// The same, distilled to a few steps, with the guidance scale as an input.
    LatentConsistency,
    /// Stable Diffusion XL: two text encoders, and sizes as inputs.
    StableDiffusionXl,
    /// Stable Diffusion 3: three text encoders, a transformer, flow matching.
    #[serde(rename = "stable-diffusion-3")]
    StableDiffusion3,
    /// Flux schnell and dev: CLIP and T5, a transformer over packed latents, flow matching.
    Flux,
    /// A UNet in pixels without words, unconditional or by class.
    Unconditional,
    /// One graph by itself, a folder with a `model.onnx`: run by `infer`, not asked to generate.
    Onnx,
}

/// Pipeline classes and their family. The class of an export has a prefix, `ORT` or `Onnx`; the
/// oldest ones of diffusers have `Onnx` in the middle, or `Legacy` at the end.
const CLASSES: [(&str, Family); 23] = [
    ("StableDiffusionPipeline", Family::StableDiffusion),
    ("StableDiffusionImg2ImgPipeline", Family::StableDiffusion),
    ("StableDiffusionInpaintPipeline", Family::StableDiffusion),
    ("StableDiffusionControlNetPipeline", Family::StableDiffusion),
    ("StableDiffusionControlNetImg2ImgPipeline", Family::StableDiffusion),
    ("StableDiffusionControlNetInpaintPipeline", Family::StableDiffusion),
    ("LatentConsistencyModelPipeline", Family::LatentConsistency),
    ("LatentConsistencyModelImg2ImgPipeline", Family::LatentConsistency),
    ("StableDiffusionXLPipeline", Family::StableDiffusionXl),
    ("StableDiffusionXLImg2ImgPipeline", Family::StableDiffusionXl),
    ("StableDiffusionXLInpaintPipeline", Family::StableDiffusionXl),
    ("StableDiffusionXLControlNetPipeline", Family::StableDiffusionXl),
    ("StableDiffusionXLControlNetImg2ImgPipeline", Family::StableDiffusionXl),
    ("StableDiffusionXLControlNetInpaintPipeline", Family::StableDiffusionXl),
    ("StableDiffusion3Pipeline", Family::StableDiffusion3),
    ("StableDiffusion3Img2ImgPipeline", Family::StableDiffusion3),
    ("StableDiffusion3InpaintPipeline", Family::StableDiffusion3),
    ("FluxPipeline", Family::Flux),
    ("FluxImg2ImgPipeline", Family::Flux),
    ("FluxInpaintPipeline", Family::Flux),
    ("DDPMPipeline", Family::Unconditional),
    ("DDIMPipeline", Family::Unconditional),
    ("ConsistencyModelPipeline", Family::Unconditional),
];
const PREFIXES: [&str; 2] = ["ORT", "Onnx"];

impl Family {
    /// Every family, in the order to show them.
    pub const ALL: [Self; 7] = [
        Self::StableDiffusion,
        Self::LatentConsistency,
        Self::StableDiffusionXl,
        Self::StableDiffusion3,
        Self::Flux,
        Self::Unconditional,
        Self::Onnx,
    ];

    /// The family of a pipeline class.
    pub(super) fn of_class(class: &str) -> Option<Self> {
        let plain = PREFIXES.iter().find_map(|prefix| class.strip_prefix(prefix)).unwrap_or(class);
        let plain = plain.replace("OnnxPipeline", "Pipeline");
        let plain = plain.strip_suffix("Legacy").unwrap_or(&plain);
        CLASSES.iter().find(|(name, _)| *name == plain).map(|(_, family)| *family)
    }

    /// The classes that can be run, for messages.
    pub(super) fn known() -> String {
        CLASSES.map(|(name, _)| name).join(", ")
    }

    /// What more there is to say of a class of no family, in brackets.
    pub(super) fn why_unknown(class: &str) -> &'static str {
        match class {
            class if class.contains("ControlNetUnion") => {
                " (a union ControlNet and its control_mode can't be exported; make a folder with a \
                 ControlNet for each kind of picture: python -m export.controlnet)"
            }
            class if class.contains("ControlNet") => {
                " (ControlNets go with Stable Diffusion 1.x, 2.x and XL)"
            }
            _ => "",
        }
    }

    /// The pipeline classes that its folders name.
    #[must_use]
    pub fn classes(self) -> Vec<&'static str> {
        CLASSES.iter().filter(|(_, family)| *family == self).map(|(name, _)| *name).collect()
    }

    /// What its models do, in the words of requests. A folder without a VAE encoder does nothing
    /// with pictures, an inpainting UNet nothing else, a refiner nothing without one.
    #[must_use]
    pub fn tasks(self) -> &'static [&'static str] {
        match self {
            Self::StableDiffusion
            | Self::StableDiffusionXl
            | Self::StableDiffusion3
            | Self::Flux => &["text-to-image", "image-to-image", "inpainting"],
            Self::LatentConsistency => &["text-to-image", "image-to-image"],
            Self::Unconditional => &["general"],
            Self::Onnx => &[],
        }
    }

    /// Whether its folders may have ControlNets, for each of its tasks.
    #[must_use]
    pub fn takes_controlnets(self) -> bool {
        matches!(self, Self::StableDiffusion | Self::StableDiffusionXl)
    }

    /// Its name in descriptions and listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StableDiffusion => "stable-diffusion",
            Self::LatentConsistency => "latent-consistency",
            Self::StableDiffusionXl => "stable-diffusion-xl",
            Self::StableDiffusion3 => "stable-diffusion-3",
            Self::Flux => "flux",
            Self::Unconditional => "unconditional",
            Self::Onnx => "onnx",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
