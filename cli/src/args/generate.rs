//! The flags of `hearth generate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hearth_api::request::{Lora, NoiseDevice, OutputFormat, Task};

use super::details::DetailArgs;
use super::values::{Size, device, finite, positive_duration, seed, whole};

const PICTURE: &str = "The picture";

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// What to make; - reads it from standard input
    #[arg(allow_hyphen_values = false, required_unless_present_any = ["request", "set"])]
    pub(crate) prompt: Option<String>,
    /// File, or a folder ending in /; several pictures are numbered; - is standard output
    /// [default: hearth-<ID>-<I>.png]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How it is encoded: png, jpeg, webp, or npy, the latents as they are [default: by FILE's
    /// extension, or png]
    #[arg(long, value_name = "FORMAT", value_parser = format, visible_alias = "output-format")]
    pub(crate) format: Option<OutputFormat>,
    /// Write the newest unfinished picture to FILE.preview.EXT while it is being made
    #[arg(long)]
    pub(crate) preview: bool,
    /// Time that the whole request may take
    #[arg(long, value_name = "DUR", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Fail at once where the queues of all workers are full, instead of waiting for a place
    #[arg(long)]
    pub(crate) no_wait: bool,

    /// How many pictures [default: 1]
    #[arg(short = 'n', long = "images", value_name = "N", value_parser = whole, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) images: Option<u32>,
    /// Kind of work: text-to-image, image-to-image, inpainting or general [default: what the other flags
    /// ask for]
    #[arg(long, value_name = "T", help_heading = PICTURE)]
    pub(crate) task: Option<Task>,
    /// Denoising steps [default: the model's]
    #[arg(long, value_name = "S", value_parser = whole, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) steps: Option<u32>,
    /// How closely to follow the prompt; 1 and below is off [default: the model's]
    #[arg(long, value_name = "G", value_parser = finite, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) guidance: Option<f64>,
    /// Same seed, same picture; picture I uses K + I [default: drawn]
    #[arg(long, value_name = "K", value_parser = seed, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Whose random numbers the seed stands for, torch's on cpu or cuda [default: cpu]
    #[arg(long, value_name = "D", value_parser = noise_device, help_heading = PICTURE)]
    pub(crate) noise_device: Option<NoiseDevice>,
    /// Pixels [default: the model's]
    #[arg(long, value_name = "WxH", help_heading = PICTURE)]
    pub(crate) size: Option<Size>,
    /// What it should not show
    #[arg(long, value_name = "TEXT", help_heading = PICTURE)]
    pub(crate) negative_prompt: Option<String>,
    /// Read (words), [words] and (words:1.2) as more or less weight, and not as letters
    #[arg(long, help_heading = PICTURE)]
    pub(crate) prompt_weights: bool,
    /// Read a prompt of more tokens than the model reads at once in further chunks, and cut nothing
    #[arg(long, help_heading = PICTURE)]
    pub(crate) long_prompt: bool,
    /// Leave out the text encoder's last N layers [default: 0]
    #[arg(long, value_name = "N", value_parser = whole, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) clip_skip: Option<u32>,
    /// Picture to start from: PNG, JPEG or WebP, or latents as .npy; - reads it from standard input
    #[arg(long, value_name = "FILE", help_heading = PICTURE)]
    pub(crate) image: Option<PathBuf>,
    /// How much of --image to make anew, above 0 to 1 [default: the model's]
    #[arg(long, value_name = "X", value_parser = finite, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) strength: Option<f64>,
    /// What of --image to make anew: a picture of its size, white there and black elsewhere
    #[arg(long, value_name = "FILE", help_heading = PICTURE)]
    pub(crate) mask: Option<PathBuf>,
    /// Picture that steers the model's ControlNet, such as edges; one for each, in their order
    #[arg(long, value_name = "FILE", help_heading = PICTURE)]
    pub(crate) control_image: Vec<PathBuf>,
    /// How strongly --control-image counts, one for all or one each [default: 1; with --image 0.8, with
    /// --mask 0.5 or XL 1]
    #[arg(long, value_name = "X", value_parser = finite, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) control_scale: Vec<f64>,
    /// Share of the steps before --control-image counts, 0 to 1 [default: 0]; one for all, or one each
    #[arg(long, value_name = "X", value_parser = finite, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) control_start: Vec<f64>,
    /// Share of the steps after which it counts no more [default: 1]; likewise
    #[arg(long, value_name = "X", value_parser = finite, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) control_end: Vec<f64>,
    /// Steer by --control-image without words
    #[arg(long, help_heading = PICTURE)]
    pub(crate) guess_mode: bool,
    /// Class to show, for models that know classes instead of words; the prompt is "" then
    #[arg(long, value_name = "C", value_parser = whole, help_heading = PICTURE)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) class_label: Option<u32>,
    /// Adapter of the model to take, and how much of it [default scale: 1]; several may be given
    #[arg(long, value_name = "NAME[=SCALE]", value_parser = lora, help_heading = PICTURE)]
    pub(crate) lora: Vec<Lora>,
    /// ddim, euler, euler_a, dpmpp_2m … or diffusers' class name; NAME:key=value overrides its
    /// config [default: the model's]
    #[arg(long, value_name = "NAME", help_heading = PICTURE)]
    pub(crate) scheduler: Option<String>,
    /// Model's name; with --local also [NAME=]DIR [default: the only one there is]
    #[arg(long, value_name = "NAME", help_heading = PICTURE)]
    pub(crate) model: Option<String>,

    #[command(flatten)]
    pub(crate) details: DetailArgs,

    /// Bring a fleet up for this one request, and take it down again
    #[arg(long)]
    pub(crate) local: bool,
    /// With --local, where the model runs: cpu or cuda:I
    #[arg(long, default_value = "cpu", value_parser = device, requires = "local")]
    pub(crate) device: String,
}

fn noise_device(text: &str) -> Result<NoiseDevice, String> {
    match text {
        "cpu" => Ok(NoiseDevice::Cpu),
        "cuda" => Ok(NoiseDevice::Cuda),
        _ => Err("known are cpu and cuda".to_owned()),
    }
}

fn lora(text: &str) -> Result<Lora, String> {
    let (name, scale) = match text.split_once('=') {
        None => (text, 1.0),
        Some((name, scale)) => (name, finite(scale)?),
    };
    if name.is_empty() {
        return Err("name an adapter of the model, as in ink or ink=0.5".to_owned());
    }
    Ok(Lora { name: name.to_owned(), scale })
}

fn format(text: &str) -> Result<OutputFormat, String> {
    OutputFormat::from_extension(text)
        .ok_or_else(|| "known formats are png, jpeg, webp, wav, flac and npy".to_owned())
}
