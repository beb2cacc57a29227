//! Latents to pixels.

use std::borrow::Cow;
use std::time::Duration;

use hearth_media::Image;

use super::configs::VaeConfig;
use super::numbers;
use super::scaling::{Scaling, ScalingRule};
use super::tiles::Planes;
use super::tiling::Tiling;
use super::vae_graph::{Ports, VaeGraph};
use crate::diffusion::settings::Settings;
use crate::model::Error;
use crate::session::{Interrupt, Session};

/// The folder's component.
pub(super) const DECODER: &str = "vae_decoder";
pub(super) const PORTS: Ports = Ports {
    component: DECODER,
    input: "latent_sample",
    output: Cow::Borrowed("sample"),
    hint: "check block_out_channels in vae_decoder/config.json",
};
/// Red, green and blue.
const COLOURS: usize = 3;
/// A preview decodes latents pooled to at most this many cells a side.
const PREVIEW_CELLS: usize = 16;

/// How a family's latents become a picture. Latents are planes, [channels, rows, columns].
pub(in crate::diffusion) enum Decoder {
    /// By the decoding half of a VAE.
    Vae(Box<VaeDecoder>),
    /// They are the picture: red, green and blue, or grey.
    Pixels,
}

impl Decoder {
    /// The graph itself, where there is one.
    pub(in crate::diffusion) fn graph(&mut self) -> Option<&mut Session> {
        match self {
            Self::Vae(vae) => Some(vae.graph.graph()),
            Self::Pixels => None,
        }
    }

    /// Time spent in its session so far.
    pub(in crate::diffusion) fn busy(&self) -> Duration {
        match self {
            Self::Vae(vae) => vae.graph.busy(),
            Self::Pixels => Duration::ZERO,
        }
    }

    /// Decodes the latents that `settings` have come to.
    pub(in crate::diffusion) fn decode(
        &mut self,
        latents: &[f32],
        shape: [usize; 3],
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> Result<Image, Error> {
        match self {
            Self::Vae(vae) => vae.decode(latents, shape, settings, interrupt),
            Self::Pixels => {
                numbers::check("unet", latents)?;
                Ok(image(latents, shape))
            }
        }
    }

    /// A small picture of unfinished latents: they are pooled first, so that decoding costs the
    /// share that the pooled cells are of all, and averaging takes noise out besides.
    pub(in crate::diffusion) fn preview(
        &mut self,
        latents: &[f32],
        [channels, rows, columns]: [usize; 3],
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> Result<Option<Image>, Error> {
        if let Self::Vae(vae) = self
            && vae.graph.fixed_size.is_some()
        {
            return Ok(None);
        }
        let side = match self {
            Self::Vae(_) => PREVIEW_CELLS,
            Self::Pixels => PREVIEW_CELLS * 8,
        };
        let factor = rows.max(columns).div_ceil(side);
        let shape = [channels, rows / factor, columns / factor];
        if shape.contains(&0) {
            return Ok(None);
        }
        let pooled = pool(latents, [rows, columns], factor);
        match self.decode(&pooled, shape, settings, interrupt) {
            // Latents on the way may overflow where the finished ones don't.
            Err(Error::NotANumber { .. }) => Ok(None),
            image => image.map(Some),
        }
    }
}

/// The decoding half of a VAE.
pub(in crate::diffusion) struct VaeDecoder {
    graph: VaeGraph,
    cell: usize,
    scaling: Scaling,
    tiling: Tiling,
}

impl VaeDecoder {
    pub(super) fn new(
        graph: VaeGraph,
        scaling: ScalingRule,
        config: &VaeConfig,
        tiling: Tiling,
    ) -> Self {
        let scaling = Scaling::of(scaling, config);
        Self { graph, cell: config.cell() as usize, scaling, tiling }
    }

    fn decode(
        &mut self,
        latents: &[f32],
        [channels, rows, columns]: [usize; 3],
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> Result<Image, Error> {
        let mut unscaled = Vec::with_capacity(latents.len());
        let scaling = self.scaling.decoding(settings);
        for (plane, (factor, offset)) in latents.chunks_exact(rows * columns).zip(scaling) {
            unscaled.extend(plane.iter().map(|value| value * factor + offset));
        }
        let cell = self.cell;
        let grid = self.tiling.grid([rows, columns], self.graph.fixed_size.is_some());
        let pixels = self.graph.run(|graph| {
            let mut decode = |latents: &[f32], [rows, columns]: [usize; 2]| {
                let wanted = [COLOURS, rows * cell, columns * cell];
                graph.planes(latents, [channels, rows, columns], wanted, interrupt)
            };
            let cells = [rows, columns];
            let planes =
                Planes { values: &unscaled, cells, read: 1, write: cell, channels: COLOURS };
            match grid {
                Some(grid) => grid.run(planes, decode),
                None => decode(&unscaled, cells),
            }
        })?;
        Ok(image(&pixels, [COLOURS, rows * cell, columns * cell]))
    }
}

/// Averages over squares of `factor` by `factor` cells; what is left at the edges is cut.
fn pool(latents: &[f32], [rows, columns]: [usize; 2], factor: usize) -> Vec<f32> {
    let weight = 1.0 / (factor * factor) as f32;
    let mut pooled = Vec::with_capacity(latents.len() / (factor * factor));
    for plane in latents.chunks_exact(rows * columns) {
        for row in 0..rows / factor {
            for column in 0..columns / factor {
                let cells = (0..factor).flat_map(|y| {
                    let start = (row * factor + y) * columns + column * factor;
                    &plane[start..start + factor]
                });
                pooled.push(cells.sum::<f32>() * weight);
            }
        }
    }
    pooled
}

/// Planes of values in [-1, 1] to a picture, rounded as diffusers' image processor does.
fn image(planes: &[f32], [channels, height, width]: [usize; 3]) -> Image {
    let plane = height * width;
    let byte = |value: f32| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    let mut rgb = Vec::with_capacity(plane * COLOURS);
    for pixel in 0..plane {
        rgb.extend([0, 1, 2].map(|channel| {
            let channel = if channels == COLOURS { channel } else { 0 };
            byte(planes[channel * plane + pixel])
        }));
    }
    Image { width: width as u32, height: height as u32, rgb }
}
