//! Both halves of a folder's VAE.

use hearth_api::request::Task;

use super::configs::{VaeConfig, bad};
use super::decoder::{self, Decoder, VaeDecoder};
use super::encoder::{self, ENCODER, VaeEncoder};
use super::scaling::ScalingRule;
use super::tiling::Tiling;
use super::vae_graph::{Ports, VaeGraphSpec};
use crate::blueprint::{Reader, Sessions};
use crate::model::Error;

/// The decoder, and the encoder where the folder has one, as the folder says them.
pub(in crate::diffusion) struct VaeSpec {
    decoder: VaeGraphSpec,
    encoder: Option<VaeGraphSpec>,
    config: VaeConfig,
    scaling: ScalingRule,
    tiling: Tiling,
    /// The graphs that take one size only: a component, and its rows and columns of cells.
    built_in: Vec<(&'static str, [usize; 2])>,
}

impl VaeSpec {
    /// The components that it is made of.
    pub(in crate::diffusion) fn components(reader: &Reader<'_>) -> Vec<&'static str> {
        let mut components = vec![decoder::DECODER];
        if has_encoder(reader) {
            components.push(ENCODER);
        }
        components
    }

    /// Reads what the folder has of it.
    ///
    /// # Errors
    /// [`Error::Model`] for tiles that it can't be cut into.
    pub(in crate::diffusion) fn read(
        reader: &Reader<'_>,
        config: VaeConfig,
        scaling: ScalingRule,
    ) -> Result<Self, Error> {
        let decoder = VaeGraphSpec::read(reader, decoder::PORTS, config.latent_channels);
        let encoder = has_encoder(reader).then(|| {
            let ports = Ports { output: encoded(reader).into(), ..encoder::PORTS };
            VaeGraphSpec::read(reader, ports, encoder::COLOURS)
        });
        let mut built_in = Vec::new();
        built_in.extend(decoder.fixed_size.map(|size| (decoder::DECODER, size)));
        if let Some(encoder) = &encoder {
            let cells = |size: [usize; 2]| size.map(|side| side / config.cell() as usize);
            built_in.extend(encoder.fixed_size.map(|size| (ENCODER, cells(size))));
        }
        let tiling = Tiling::resolve(reader.vae_tiling(), &config, &built_in)?;
        Ok(Self { decoder, encoder, config, scaling, tiling, built_in })
    }

    /// Both halves with their sessions.
    pub(in crate::diffusion) fn open(
        self,
        sessions: &mut Sessions,
    ) -> Result<(Decoder, Option<VaeEncoder>), Error> {
        let Self { decoder, encoder, config, scaling, tiling, .. } = self;
        let decoder = VaeDecoder::new(decoder.open(sessions)?, scaling, &config, tiling);
        let encoder = encoder.map(|encoder| encoder.open(sessions)).transpose()?;
        let encoder = encoder.map(|graph| VaeEncoder::new(graph, scaling, &config, tiling));
        Ok((Decoder::Vae(Box::new(decoder)), encoder))
    }

    /// Pixels of one latent cell's side.
    fn cell(&self) -> u32 {
        self.config.cell()
    }

    /// What of the family's tasks can be done: with a picture only where there is an encoder.
    pub(in crate::diffusion) fn tasks(&self, tasks: &[Task]) -> Vec<Task> {
        let can = |task: &&Task| self.encoder.is_some() || **task == Task::TextToImage;
        tasks.iter().filter(can).copied().collect()
    }

    /// Rows and columns of the only latents that pictures can have: those that are built into the
    /// denoiser, or into a graph of the VAE that isn't to work in tiles.
    pub(in crate::diffusion) fn fixed_size(
        &self,
        denoiser: Option<[u32; 2]>,
    ) -> Result<Option<[u32; 2]>, Error> {
        let mut fixed = denoiser;
        for &(component, size) in &self.built_in {
            let own = size.map(|side| side as u32);
            let fits = match (fixed, self.tiling.is_given()) {
                (Some(fixed), true) => fixed.iter().zip(own).all(|(side, own)| *side >= own),
                (Some(fixed), false) => fixed == own,
                (None, _) => true,
            };
            if !fits {
                let [height, width] = fixed.unwrap_or(own).map(|side| side * self.cell());
                let [own_height, own_width] = own.map(|side| side * self.cell());
                let reason = format!(
                    "it has {own_width}x{own_height} built in where pictures are of \
                     {width}x{height}; export it with open axes, or set vae_tiling.tile to its \
                     side if that is the smaller one"
                );
                return Err(bad(component, reason));
            }
            if !self.tiling.is_given() {
                fixed = Some(own);
            }
        }
        Ok(fixed)
    }

    /// The shortest side of a picture, in pixels: a graph of a fixed size can't make less.
    pub(in crate::diffusion) fn smallest(&self) -> u32 {
        let tile = self.tiling.tile() as u32 * self.cell();
        if self.tiling.is_given() && !self.built_in.is_empty() { tile } else { 0 }
    }
}

/// Operators that draw random numbers.
const RANDOM: [&str; 6] = [
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
];

/// What an encoder without a distribution calls its output.
const LATENTS: &str = "latent_sample";

/// What is said of an encoder that is left alone.
const LEFT_OUT: &str = "vae_encoder is left out, so no picture can be started from: its graph draws \
                        latents by random numbers of its own, so no seed would make a picture \
                        again; export the folder again with a newer optimum, which gives \
                        latent_parameters";

/// Says it where the folder's encoder is an older one, which draws its latents by random numbers of
/// its own, so that no seed would make a picture again.
pub(in crate::diffusion) fn warn_of_encoder(reader: &Reader<'_>) {
    if reader.folder().has_graph(ENCODER) && draws_by_itself(reader) {
        reader.warn(LEFT_OUT);
    }
}

/// Whether there is an encoder that a picture can start from.
fn has_encoder(reader: &Reader<'_>) -> bool {
    reader.folder().has_graph(ENCODER) && !draws_by_itself(reader)
}

fn draws_by_itself(reader: &Reader<'_>) -> bool {
    reader.has_operator(ENCODER, &RANDOM)
}

/// The encoder's output that counts: the distribution's, or the one that there is.
fn encoded(reader: &Reader<'_>) -> String {
    let outputs = reader.output_names(ENCODER);
    let named = [encoder::PARAMETERS, LATENTS].into_iter().map(str::to_owned);
    let named = named.into_iter().find(|name| outputs.contains(name));
    match (named, outputs.as_slice()) {
        (Some(name), _) => name,
        (None, [one]) => one.clone(),
        (None, _) => encoder::PARAMETERS.to_owned(),
    }
}
