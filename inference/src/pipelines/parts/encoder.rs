//! Pixels to latents.

use std::time::Duration;

use super::configs::VaeConfig;
use crate::folder::Folder;
use crate::noise::NoiseStream;
use crate::pipelines::Error;
use crate::session::{Device, Input, Interrupt, Runtime, Session, Values};

/// The folder's part.
pub(in crate::pipelines) const ENCODER: &str = "vae_encoder";
const PIXELS: &str = "sample";
/// Mean and logarithm of the variance, channel by channel.
const LATENTS: &str = "latent_parameters";

/// The encoding half of a VAE.
pub(in crate::pipelines) struct VaeEncoder {
    session: Session,
    /// Factor and offset of each channel, from what the VAE has to what the denoiser has.
    scale: Vec<(f32, f32)>,
}

impl VaeEncoder {
    /// Loads it; `None` where the folder has none.
    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        config: &VaeConfig,
    ) -> Result<Option<Self>, Error> {
        if !folder.has_graph(ENCODER) {
            return Ok(None);
        }
        let graph = folder.graph(ENCODER)?;
        let session = Session::load(runtime, ENCODER, folder.root(), &graph, device)?;
        session.expect_inputs(&[PIXELS])?;
        session.output(LATENTS)?;
        session.expect_floats(&[PIXELS, LATENTS])?;
        let scale = config.unscale().into_iter().map(|(factor, offset)| (1.0 / factor, offset));
        Ok(Some(Self { session, scale: scale.collect() }))
    }

    /// The graph itself.
    pub(in crate::pipelines) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in the session so far.
    pub(in crate::pipelines) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Encodes planes of values in [-1, 1], three of `size` (rows, columns), as latents of `shape`.
    /// They are drawn from what the encoder gives, with the next numbers of `noise`.
    pub(in crate::pipelines) fn encode(
        &mut self,
        planes: &[f32],
        [height, width]: [usize; 2],
        [channels, rows, columns]: [usize; 3],
        noise: &mut NoiseStream,
        interrupt: &Interrupt,
    ) -> Result<Vec<f32>, Error> {
        let shape = [1, 3, height, width];
        let input = Input { name: PIXELS, shape: &shape, values: Values::F32(planes) };
        let output = self.session.run(&[input], LATENTS, interrupt)?;
        if output.shape != [1, 2 * channels, rows, columns] {
            let reason = format!(
                "{LATENTS} has shape {:?}, not [1, {}, {rows}, {columns}]",
                output.shape,
                2 * channels
            );
            return Err(self.session.port_error(reason).into());
        }
        if output.values.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotANumber { part: ENCODER });
        }
        let (mean, log_variance) = output.values.split_at(channels * rows * columns);
        let mut latents = vec![0.0; mean.len()];
        noise.fill_normal(&mut latents);
        for ((value, mean), log) in latents.iter_mut().zip(mean).zip(log_variance) {
            *value = mean + (0.5 * log.clamp(-30.0, 20.0)).exp() * *value;
        }
        for (plane, (factor, offset)) in latents.chunks_exact_mut(rows * columns).zip(&self.scale) {
            plane.iter_mut().for_each(|value| *value = (*value - offset) * factor);
        }
        Ok(latents)
    }
}
