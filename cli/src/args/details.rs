//! The flags of `hearth generate` that few requests need: how the steps go, further prompts, what
//! single families are told.

use std::path::PathBuf;

use clap::Args;

use super::values::{Numbers, Size, corner, finite, key_value, shares, whole};

const GUIDANCE: &str = "Prompts and guidance";
const STEPS: &str = "Steps";
const SDXL: &str = "Stable Diffusion XL";
const FIELDS: &str = "Any field";

#[derive(Debug, Default, Args)]
pub(crate) struct DetailArgs {
    /// What the second text encoder reads [default: the prompt]
    #[arg(long, value_name = "TEXT", help_heading = GUIDANCE)]
    pub(crate) prompt_2: Option<String>,
    /// What the third text encoder reads [default: the prompt]
    #[arg(long, value_name = "TEXT", help_heading = GUIDANCE)]
    pub(crate) prompt_3: Option<String>,
    /// What the second one reads of what not to show [default: the negative prompt]
    #[arg(long, value_name = "TEXT", help_heading = GUIDANCE)]
    pub(crate) negative_prompt_2: Option<String>,
    /// What the third one reads of it [default: the negative prompt]
    #[arg(long, value_name = "TEXT", help_heading = GUIDANCE)]
    pub(crate) negative_prompt_3: Option<String>,
    /// Tokens that T5 reads (Stable Diffusion 3, Flux) [default: the model's]
    #[arg(long, value_name = "N", value_parser = whole, help_heading = GUIDANCE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) max_sequence_length: Option<u32>,
    /// How far guidance is brought back to the plain spread, 0 to 1 [default: 0]
    #[arg(long, value_name = "X", value_parser = finite, help_heading = GUIDANCE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) guidance_rescale: Option<f64>,
    /// From and to which share of the run there is guidance; outside it a step is half the work
    /// [default: 0,1]
    #[arg(long, value_name = "FROM,TO", value_parser = shares, help_heading = GUIDANCE)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) guidance_interval: Option<[f64; 2]>,
    /// Guidance by the negative prompt for Flux; 1 and below is off [default: 1]
    #[arg(long = "true-cfg", value_name = "G", value_parser = finite, help_heading = GUIDANCE)]
    #[arg(alias = "true-cfg-scale", allow_negative_numbers = true)]
    pub(crate) true_cfg: Option<f64>,

    /// One key of the scheduler's config, in diffusers' words; again for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, help_heading = STEPS)]
    pub(crate) scheduler_option: Vec<(String, String)>,
    /// Noise levels to visit, falling, instead of --steps
    #[arg(long, value_name = "X,…", help_heading = STEPS)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) sigmas: Option<Numbers>,
    /// Timesteps to visit, falling, instead of --steps
    #[arg(long, value_name = "T,…", help_heading = STEPS)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) timesteps: Option<Numbers>,
    /// DDIM's and TCD's η, 0 to 1 [default: 0]
    #[arg(long, value_name = "X", value_parser = finite, help_heading = STEPS)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) eta: Option<f64>,
    /// Steps of the distilled schedule that LCM and TCD choose from [default: the scheduler's]
    #[arg(long, value_name = "S", value_parser = whole, help_heading = STEPS)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) original_steps: Option<u32>,
    /// Go on where another model ended, with its result as --image l.npy: the share done, 0 to 1
    #[arg(long, value_name = "X", value_parser = finite, help_heading = STEPS)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) denoising_start: Option<f64>,
    /// End early and leave the rest to another model, with -o l.npy: the share to do, 0 to 1
    #[arg(long, value_name = "X", value_parser = finite, help_heading = STEPS)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) denoising_end: Option<f64>,
    /// Noise to start from, instead of what the seed draws: a .npy file; - is standard input
    #[arg(long, value_name = "FILE", help_heading = STEPS)]
    pub(crate) latents: Option<PathBuf>,

    /// Size of the picture that this one seems to be cut from [default: --size]
    #[arg(long, value_name = "WxH", help_heading = SDXL)]
    pub(crate) original_size: Option<Size>,
    /// Size that it seems to be made for [default: --size]
    #[arg(long, value_name = "WxH", help_heading = SDXL)]
    pub(crate) target_size: Option<Size>,
    /// Pixels that seem to be cut off above and at the left [default: 0,0]
    #[arg(long, value_name = "TOP,LEFT", value_parser = corner, help_heading = SDXL)]
    pub(crate) crop: Option<[u32; 2]>,
    /// --original-size of what it should not show; without --image both sizes go together
    #[arg(long, value_name = "WxH", help_heading = SDXL)]
    pub(crate) negative_original_size: Option<Size>,
    /// --target-size of what it should not show
    #[arg(long, value_name = "WxH", help_heading = SDXL)]
    pub(crate) negative_target_size: Option<Size>,
    /// --crop of what it should not show
    #[arg(long, value_name = "TOP,LEFT", value_parser = corner, help_heading = SDXL)]
    pub(crate) negative_crop: Option<[u32; 2]>,
    /// How beautiful it seems to be, 0 to 10, for the refiner [default: 6]
    #[arg(long, value_name = "X", value_parser = finite, help_heading = SDXL)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) aesthetic_score: Option<f64>,
    /// How beautiful what it should not show seems to be [default: 2.5]
    #[arg(long, value_name = "X", value_parser = finite, help_heading = SDXL)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) negative_aesthetic_score: Option<f64>,

    /// Any field of a request, as in clip_skip=1, prompt=TEXT or latents=@FILE; again for more
    #[arg(long, value_name = "FIELD=JSON", value_parser = key_value, help_heading = FIELDS)]
    pub(crate) set: Vec<(String, String)>,
    /// A whole request: a JSON or YAML file, or a PNG made by Hearth, to make it again; flags come over it
    #[arg(long, value_name = "FILE", help_heading = FIELDS)]
    pub(crate) request: Option<PathBuf>,
}
