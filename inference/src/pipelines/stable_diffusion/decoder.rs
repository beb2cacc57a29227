//! Latents to pixels.

use std::time::Duration;

use hearth_media::Image;

use super::config::Config;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::session::{Device, Input, Interrupt, Runtime, Session, Values};

const PART: &str = "vae_decoder";
const LATENTS: &str = "latent_sample";
const PIXELS: &str = "sample";
/// A preview decodes latents pooled to at most this many cells a side.
const PREVIEW_CELLS: usize = 16;

/// The decoding half of the VAE.
pub(super) struct Decoder {
    session: Session,
    /// Pixels of one latent cell's side.
    scale: usize,
    scaling_factor: f32,
    shift_factor: f32,
}

impl Decoder {
    pub(super) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        config: &Config,
    ) -> Result<Self, Error> {
        let session = Session::load(runtime, PART, folder.root(), &folder.graph(PART)?, device)?;
        session.expect_inputs(&[LATENTS])?;
        session.output(PIXELS)?;
        Ok(Self {
            session,
            scale: config.cell() as usize,
            scaling_factor: config.vae.scaling_factor,
            shift_factor: config.vae.shift_factor.unwrap_or(0.0),
        })
    }

    /// Pixels of one latent cell's side.
    pub(super) fn scale(&self) -> usize {
        self.scale
    }

    /// Time spent in the session so far.
    pub(super) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Decodes `latents` of shape [channels, rows, columns].
    pub(super) fn decode(
        &mut self,
        latents: &[f32],
        [channels, rows, columns]: [usize; 3],
        interrupt: &Interrupt,
    ) -> Result<Image, Error> {
        let unscaled: Vec<f32> =
            latents.iter().map(|value| value / self.scaling_factor + self.shift_factor).collect();
        let shape = [1, channels, rows, columns];
        let input = Input { name: LATENTS, shape: &shape, values: Values::F32(&unscaled) };
        let pixels = self.session.run(&[input], PIXELS, interrupt)?;
        let (height, width) = (rows * self.scale, columns * self.scale);
        if pixels.shape != [1, 3, height, width] {
            let reason = format!(
                "{PIXELS} has shape {:?}, not [1, 3, {height}, {width}]; \
                 check block_out_channels in {PART}/config.json",
                pixels.shape
            );
            return Err(self.session.port_error(reason).into());
        }
        if pixels.values.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotANumber { part: PART });
        }
        Ok(Image { width: width as u32, height: height as u32, rgb: to_rgb(&pixels.values) })
    }

    /// Decodes the latents pooled to a small size: the share of a decode that the pooled cells
    /// are of all, and averaging takes noise out besides.
    pub(super) fn preview(
        &mut self,
        latents: &[f32],
        [channels, rows, columns]: [usize; 3],
        interrupt: &Interrupt,
    ) -> Result<Option<Image>, Error> {
        if self.session.input(LATENTS)?.dims.iter().skip(2).any(Option::is_some) {
            return Ok(None);
        }
        let factor = rows.max(columns).div_ceil(PREVIEW_CELLS);
        let (rows_out, columns_out) = (rows / factor, columns / factor);
        if rows_out == 0 || columns_out == 0 {
            return Ok(None);
        }
        let weight = 1.0 / (factor * factor) as f32;
        let mut pooled = Vec::with_capacity(channels * rows_out * columns_out);
        for plane in latents.chunks_exact(rows * columns) {
            for row in 0..rows_out {
                for column in 0..columns_out {
                    let cells = (0..factor).flat_map(|y| {
                        let start = (row * factor + y) * columns + column * factor;
                        &plane[start..start + factor]
                    });
                    pooled.push(cells.sum::<f32>() * weight);
                }
            }
        }
        match self.decode(&pooled, [channels, rows_out, columns_out], interrupt) {
            // Latents on the way may overflow where the finished ones don't.
            Err(Error::NotANumber { .. }) => Ok(None),
            image => image.map(Some),
        }
    }
}

/// Planes of values in [-1, 1] to interleaved bytes, rounded as diffusers' image processor does.
fn to_rgb(planes: &[f32]) -> Vec<u8> {
    let plane = planes.len() / 3;
    let byte = |value: f32| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    let mut rgb = Vec::with_capacity(planes.len());
    for pixel in 0..plane {
        rgb.extend([0, 1, 2].map(|channel| byte(planes[channel * plane + pixel])));
    }
    rgb
}
