//! Pixels to latents.

use std::borrow::Cow;
use std::time::Duration;

use super::configs::VaeConfig;
use super::scaling::{Scaling, ScalingRule};
use super::tiles::Planes;
use super::tiling::Tiling;
use super::vae_graph::{Ports, VaeGraph};
use crate::diffusion::settings::Settings;
use crate::model::Error;
use crate::noise::NoiseStream;
use crate::session::{Interrupt, Session};

/// The folder's component.
pub(in crate::diffusion) const ENCODER: &str = "vae_encoder";
/// What its output is called where that is mean and logarithm of the variance, channel by channel.
pub(super) const PARAMETERS: &str = "latent_parameters";
pub(super) const PORTS: Ports = Ports {
    component: ENCODER,
    input: "sample",
    output: Cow::Borrowed(PARAMETERS),
    hint: "check block_out_channels in vae_decoder/config.json",
};
pub(super) const COLOURS: usize = 3;

/// What an encoder gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// Mean and logarithm of the variance: latents are drawn.
    Distribution,
    /// Latents.
    Latents,
}

/// The encoding half of a VAE.
pub(in crate::diffusion) struct VaeEncoder {
    graph: VaeGraph,
    encoding: Encoding,
    cell: usize,
    scaling: Scaling,
    tiling: Tiling,
}

impl VaeEncoder {
    pub(super) fn new(
        graph: VaeGraph,
        scaling: ScalingRule,
        config: &VaeConfig,
        tiling: Tiling,
    ) -> Self {
        let scaling = Scaling::of(scaling, config);
        let own = config.latent_channels;
        let encoding = match graph.output_channels() {
            Some(channels) if channels == own => Encoding::Latents,
            Some(channels) if channels == 2 * own => Encoding::Distribution,
            _ if graph.output() == PARAMETERS => Encoding::Distribution,
            _ => Encoding::Latents,
        };
        Self { graph, encoding, cell: config.cell() as usize, scaling, tiling }
    }

    /// Whether a picture's latents are drawn.
    pub(in crate::diffusion) fn draws(&self) -> bool {
        self.encoding == Encoding::Distribution
    }

    /// The graph itself.
    pub(in crate::diffusion) fn graph(&mut self) -> &mut Session {
        self.graph.graph()
    }

    /// Time spent in the session so far.
    pub(in crate::diffusion) fn busy(&self) -> Duration {
        self.graph.busy()
    }

    /// Encodes planes of values in [-1, 1], three of the picture's rows and columns, as latents of
    /// `shape` for `settings`. Where the encoder gives a distribution they are drawn from it, with the
    /// next numbers of `noise`.
    pub(in crate::diffusion) fn encode(
        &mut self,
        planes: &[f32],
        [channels, rows, columns]: [usize; 3],
        settings: &Settings,
        noise: &mut NoiseStream,
        interrupt: &Interrupt,
    ) -> Result<Vec<f32>, Error> {
        let (cell, draws) = (self.cell, self.draws());
        let given = if draws { 2 * channels } else { channels };
        let grid = self.tiling.grid([rows, columns], self.graph.fixed_size.is_some());
        let mut latents = self.graph.run(|graph| {
            let mut encode = |planes: &[f32], [rows, columns]: [usize; 2]| {
                let shape = [COLOURS, rows * cell, columns * cell];
                graph.planes(planes, shape, [given, rows, columns], interrupt)
            };
            let cells = [rows, columns];
            let whole = Planes { values: planes, cells, read: cell, write: 1, channels: given };
            match grid {
                Some(grid) => grid.run(whole, encode),
                None => encode(planes, cells),
            }
        })?;
        if draws {
            latents = draw(&latents, noise);
        }
        let scaling = self.scaling.encoding(settings);
        for (plane, (factor, offset)) in latents.chunks_exact_mut(rows * columns).zip(scaling) {
            plane.iter_mut().for_each(|value| *value = (*value - offset) / factor);
        }
        Ok(latents)
    }
}

/// Latents of a distribution: means, then logarithms of variances.
fn draw(parameters: &[f32], noise: &mut NoiseStream) -> Vec<f32> {
    let (mean, log_variance) = parameters.split_at(parameters.len() / 2);
    let mut latents = vec![0.0; mean.len()];
    noise.fill_normal(&mut latents);
    for ((value, mean), log) in latents.iter_mut().zip(mean).zip(log_variance) {
        *value = mean + (0.5 * log.clamp(-30.0, 20.0)).exp() * *value;
    }
    latents
}
