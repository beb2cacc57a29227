//! Latents to pixels.

use std::path::PathBuf;
use std::time::Duration;

use hearth_media::Image;

use super::configs::VaeConfig;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::session::{Device, Input, Interrupt, Runtime, Session, Values};

/// The folder's part.
pub(super) const DECODER: &str = "vae_decoder";
const LATENTS: &str = "latent_sample";
const PIXELS: &str = "sample";
/// A preview decodes latents pooled to at most this many cells a side.
const PREVIEW_CELLS: usize = 16;

/// How a family's latents become a picture. Latents are planes, [channels, rows, columns].
pub(in crate::pipelines) enum Decoder {
    /// By the decoding half of a VAE.
    Vae(Box<VaeDecoder>),
    /// They are the picture: red, green and blue, or grey.
    Pixels,
}

impl Decoder {
    /// Pixels of one latent cell's side.
    pub(in crate::pipelines) fn cell(&self) -> usize {
        match self {
            Self::Vae(vae) => vae.cell,
            Self::Pixels => 1,
        }
    }

    /// The graph itself, where there is one.
    pub(in crate::pipelines) fn graph(&mut self) -> Option<&mut Session> {
        match self {
            Self::Vae(vae) => Some(&mut vae.session),
            Self::Pixels => None,
        }
    }

    /// Time spent in its session so far.
    pub(in crate::pipelines) fn busy(&self) -> Duration {
        match self {
            Self::Vae(vae) => {
                vae.session.busy() + vae.wide.as_ref().map_or(Duration::ZERO, Session::busy)
            }
            Self::Pixels => Duration::ZERO,
        }
    }

    /// Decodes `latents`.
    pub(in crate::pipelines) fn decode(
        &mut self,
        latents: &[f32],
        shape: [usize; 3],
        interrupt: &Interrupt,
    ) -> Result<Image, Error> {
        match self {
            Self::Vae(vae) => vae.decode(latents, shape, interrupt),
            Self::Pixels => image(latents, shape, "unet"),
        }
    }

    /// A small picture of unfinished latents: they are pooled first, so that decoding costs the
    /// share that the pooled cells are of all, and averaging takes noise out besides.
    pub(in crate::pipelines) fn preview(
        &mut self,
        latents: &[f32],
        [channels, rows, columns]: [usize; 3],
        interrupt: &Interrupt,
    ) -> Result<Option<Image>, Error> {
        if let Self::Vae(vae) = self
            && vae.session.input(LATENTS)?.dims.iter().skip(2).any(Option::is_some)
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
        match self.decode(&pooled, shape, interrupt) {
            // Latents on the way may overflow where the finished ones don't.
            Err(Error::NotANumber { .. }) => Ok(None),
            image => image.map(Some),
        }
    }
}

/// The decoding half of a VAE.
pub(in crate::pipelines) struct VaeDecoder {
    session: Session,
    /// The same graph in single precision, once half had overflowed.
    wide: Option<Session>,
    source: Source,
    cell: usize,
    /// Factor and offset of each channel, from what the denoiser has to what the VAE has.
    unscale: Vec<(f32, f32)>,
}

/// Where the graph can be had again.
struct Source {
    runtime: Runtime,
    root: PathBuf,
    graph: PathBuf,
    device: Device,
}

impl VaeDecoder {
    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        config: &VaeConfig,
    ) -> Result<Self, Error> {
        let root = folder.root().to_owned();
        let source =
            Source { runtime: runtime.clone(), root, graph: folder.graph(DECODER)?, device };
        let session = Session::load(runtime, DECODER, &source.root, &source.graph, device)?;
        session.expect_inputs(&[LATENTS])?;
        session.output(PIXELS)?;
        session.expect_floats(&[LATENTS, PIXELS])?;
        let (cell, unscale) = (config.cell() as usize, config.unscale());
        Ok(Self { session, wide: None, source, cell, unscale })
    }

    fn decode(
        &mut self,
        latents: &[f32],
        [channels, rows, columns]: [usize; 3],
        interrupt: &Interrupt,
    ) -> Result<Image, Error> {
        let mut unscaled = Vec::with_capacity(latents.len());
        for (plane, (factor, offset)) in latents.chunks_exact(rows * columns).zip(&self.unscale) {
            unscaled.extend(plane.iter().map(|value| value * factor + offset));
        }
        let shape = [1, channels, rows, columns];
        let input = Input { name: LATENTS, shape: &shape, values: Values::F32(&unscaled) };
        let mut pixels = match &mut self.wide {
            Some(wide) => wide.run(&[input], PIXELS, interrupt)?,
            None => self.session.run(&[input], PIXELS, interrupt)?,
        };
        if self.wide.is_none() && !is_finite(&pixels.values) {
            let Source { runtime, root, graph, device } = &self.source;
            self.wide = Session::load_wide(runtime, DECODER, root, graph, *device)?;
            if let Some(wide) = &mut self.wide {
                tracing::warn!("{DECODER} overflowed in half precision: it runs in single now");
                pixels = wide.run(&[input], PIXELS, interrupt)?;
            }
        }
        let (height, width) = (rows * self.cell, columns * self.cell);
        if pixels.shape != [1, 3, height, width] {
            let reason = format!(
                "{PIXELS} has shape {:?}, not [1, 3, {height}, {width}]; \
                 check block_out_channels in {DECODER}/config.json",
                pixels.shape
            );
            return Err(self.session.port_error(reason).into());
        }
        image(&pixels.values, [3, height, width], DECODER)
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
fn image(
    planes: &[f32],
    [channels, height, width]: [usize; 3],
    part: &'static str,
) -> Result<Image, Error> {
    if !is_finite(planes) {
        return Err(Error::NotANumber { part });
    }
    let plane = height * width;
    let byte = |value: f32| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    let mut rgb = Vec::with_capacity(plane * 3);
    for pixel in 0..plane {
        rgb.extend([0, 1, 2].map(|channel| {
            let channel = if channels == 3 { channel } else { 0 };
            byte(planes[channel * plane + pixel])
        }));
    }
    Ok(Image { width: width as u32, height: height as u32, rgb })
}

fn is_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
