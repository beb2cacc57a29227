//! Stable Diffusion 1.x and 2.x, text to image, as diffusers' `StableDiffusionPipeline` does it.
//!
//! Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (2022), with
//! classifier-free guidance after Ho and Salimans (2022). Names, element types and ranks of the
//! graphs' inputs are read from the graphs; sizes and channels from the configs beside them.

mod config;
mod decoder;
mod text;
mod unet;

use std::sync::Arc;

use hearth_media::{Image, Media};

use self::config::Config;
use self::decoder::Decoder;
use self::text::TextEncoder;
use self::unet::Unet;
use super::state::Conditioning;
use super::{Description, Error, Generation, LoadOptions, Output, Pipeline, Settings, State};
use crate::folder::Folder;
use crate::noise::NoiseStream;
use crate::schedulers::{self, Run};
use crate::session::{Interrupt, Runtime};

/// Folders of the export whose files the pipeline uses.
const PARTS: [&str; 5] = ["scheduler", "text_encoder", "tokenizer", "unet", "vae_decoder"];

/// A loaded Stable Diffusion model.
pub(super) struct StableDiffusion {
    description: Arc<Description>,
    text_encoder: TextEncoder,
    unet: Unet,
    decoder: Decoder,
}

impl StableDiffusion {
    /// Loads the folder's three graphs and its tokenizer.
    pub(super) fn load(
        runtime: &Runtime,
        folder: &Folder,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let config = Config::read(folder)?;
        let contents = config::check_files(folder, &PARTS)?;
        let text_encoder = TextEncoder::load(runtime, folder, options.device)?;
        let unet = Unet::load(runtime, folder, options.device, &config)?;
        let decoder = Decoder::load(runtime, folder, options.device, &config)?;
        let description = config.describe(
            folder,
            options.device,
            contents,
            text_encoder.max_tokens(),
            unet.fixed_size(),
        );
        Ok(Self { description: Arc::new(description), text_encoder, unet, decoder })
    }

    fn latent_shape(&self, settings: &Settings) -> [usize; 3] {
        let cell = self.decoder.scale();
        [
            self.description.latent_channels,
            settings.height as usize / cell,
            settings.width as usize / cell,
        ]
    }
}

impl Pipeline for StableDiffusion {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn start(
        &mut self,
        request: &Generation,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<State, Error> {
        let settings = self.description.settle(request)?;
        let steps = settings.num_inference_steps as usize;
        let run = Run { steps, eta: settings.eta, ..Run::default() };
        let config = &self.description.scheduler_config;
        let scheduler = schedulers::build(config, request.scheduler.as_ref(), &run)
            .map_err(Error::Scheduler)?;

        let (mut warnings, mut session_time) = (Vec::new(), std::time::Duration::ZERO);
        let busy = self.text_encoder.busy();
        let conditioning = self.text_encoder.condition(&settings, &mut warnings, interrupt)?;
        session_time += self.text_encoder.busy() - busy;

        let shape = self.latent_shape(&settings);
        let mut noise_stream = NoiseStream::new(seed);
        let mut latents = vec![0.0; shape.iter().product()];
        noise_stream.fill_normal(&mut latents);
        let sigma = scheduler.init_noise_sigma();
        latents.iter_mut().for_each(|value| *value *= sigma);
        let draws =
            (0..scheduler.timesteps().len()).any(|step| scheduler.step_noise(step).is_some());
        let noise = vec![0.0; if draws { latents.len() } else { 0 }];
        Ok(State {
            settings,
            seed,
            scheduler,
            noise_stream,
            conditioning: Arc::new(conditioning),
            shape,
            latents,
            noise,
            step: 0,
            warnings,
            session_time,
        })
    }

    /// The pictures go one by one: this family's exports take one timestep for the whole batch,
    /// and a batch of another size would change a picture in its last bits.
    fn step(&mut self, states: &mut [&mut State], interrupt: &Interrupt) -> Result<(), Error> {
        for state in states.iter_mut().filter(|state| !state.is_done()) {
            let busy = self.unet.busy();
            let prediction = self.unet.predict(state, interrupt)?;
            state.advance(prediction);
            state.session_time += self.unet.busy() - busy;
        }
        Ok(())
    }

    fn preview(&mut self, state: &State, interrupt: &Interrupt) -> Result<Option<Image>, Error> {
        self.decoder.preview(&state.latents, state.shape, interrupt)
    }

    fn finish(&mut self, state: State, interrupt: &Interrupt) -> Result<Output, Error> {
        let busy = self.decoder.busy();
        let image = self.decoder.decode(&state.latents, state.shape, interrupt)?;
        Ok(Output {
            media: Media::Image(image),
            seed: state.seed,
            settings: state.settings,
            warnings: state.warnings,
            session_time: state.session_time + (self.decoder.busy() - busy),
        })
    }
}

impl Conditioning {
    /// Pictures in the UNet's batch: two where there is guidance.
    fn batch(&self) -> usize {
        self.hidden.len() / (self.tokens * self.width)
    }
}

impl State {
    /// Takes the scheduler's step with the model's prediction, and noise where it wants some.
    fn advance(&mut self, prediction: &[f32]) {
        let noise = self.scheduler.step_noise(self.step).map(|draw| {
            self.noise_stream.fill(draw, &mut self.noise);
            self.noise.as_slice()
        });
        self.scheduler.step(self.step, prediction, &mut self.latents, noise);
        self.step += 1;
    }
}
