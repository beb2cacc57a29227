//! The loop that all families share: noise, one call of the denoiser per step, a decoded picture.
//!
//! What a family does its own way is its [`Conditioner`] (what the prompts become) and the values
//! in [`Diffusion`]'s fields.

use std::sync::Arc;
use std::time::Duration;

use hearth_media::{Image, Media, Tensor};

use super::check::lora;
use super::control::Control;
use super::parts::{self, Decoder, Denoiser, VaeEncoder};
use super::state::{Conditioning, Layout};
use super::tasks::{Begun, Start};
use super::{Description, Error, Generation, Output, OutputType, Pipeline, Settings, State};
use crate::noise::NoiseStream;
use crate::session::{Interrupt, Session};

/// A loaded model of any family.
pub(super) struct Diffusion {
    pub(super) description: Arc<Description>,
    pub(super) conditioner: Box<dyn Conditioner>,
    pub(super) denoiser: Denoiser,
    pub(super) decoder: Decoder,
    /// For requests with a picture.
    pub(super) encoder: Option<VaeEncoder>,
    /// The denoiser takes a mask and what is masked beside the sample.
    pub(super) inpainting_model: bool,
    pub(super) layout: Layout,
}

/// Makes the denoiser's constant inputs of a request.
pub(super) trait Conditioner: Send {
    /// Encodes the prompts and whatever else the family's denoiser is told.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::Interrupted`].
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error>;

    /// Time spent in its sessions so far.
    fn busy(&self) -> Duration;

    /// Its graphs.
    fn graphs(&mut self) -> Vec<&mut Session>;
}

impl Pipeline for Diffusion {
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
        let schedule = &self.description.schedule;
        let scheduler = schedule.build(&settings)?;
        let calls = schedule.calls(&settings, scheduler.schedule())?;

        let mut warnings = self.description.without_effect(&settings);
        warnings.extend(lora::unread(&settings.prompt));
        let busy = self.busy_before_steps();
        let mut conditioning = self.conditioner.condition(&settings, &mut warnings, interrupt)?;
        self.denoiser.adapters().push_to(&mut conditioning, &request.lora);

        let shape = self.latent_shape(&settings);
        let mut noise_stream = NoiseStream::on(request.noise_device, seed);
        let begun = Start {
            settings: &settings,
            schedule: scheduler.schedule(),
            call: calls.start,
            shape,
            layout: self.layout,
            noise: &mut noise_stream,
            encoder: self.encoder.as_mut(),
            inpainting_model: self.inpainting_model,
            interrupt,
        }
        .begin()?;
        let Begun { latents, beside, blend } = begun;
        let session_time = self.busy_before_steps() - busy;
        let draws = calls.clone().any(|call| scheduler.schedule().step_noise(call).is_some());
        let noise = vec![0.0; if draws { latents.len() } else { 0 }];
        let ends_clean = schedule.ends_clean(&settings);
        let control = Control::of(&settings, &self.description).map(Arc::new);
        Ok(State {
            settings,
            control,
            seed,
            scheduler,
            noise_stream,
            conditioning: Arc::new(conditioning),
            shape,
            layout: self.layout,
            latents,
            beside,
            blend,
            noise,
            ends_clean,
            call: calls.start,
            calls,
            warnings,
            session_time,
        })
    }

    /// The pictures go one by one: most exports take one timestep for the whole batch, and a batch
    /// of another size would change a picture in its last bits.
    fn step(&mut self, states: &mut [&mut State], interrupt: &Interrupt) -> Result<(), Error> {
        for state in states.iter_mut().filter(|state| !state.is_done()) {
            let busy = self.denoiser.busy();
            let prediction = self.denoiser.predict(state, interrupt)?;
            state.advance(prediction);
            state.session_time += self.denoiser.busy() - busy;
        }
        Ok(())
    }

    fn preview(&mut self, state: &State, interrupt: &Interrupt) -> Result<Option<Image>, Error> {
        let (shape, request) = (state.shape, &state.settings.request);
        match state.layout {
            Layout::Planes => self.decoder.preview(&state.latents, shape, request, interrupt),
            Layout::Packed => {
                let planes = state.layout.unpack(&state.latents, shape);
                self.decoder.preview(&planes, shape, request, interrupt)
            }
        }
    }

    fn finish(&mut self, state: State, interrupt: &Interrupt) -> Result<Output, Error> {
        let busy = self.decoder.busy();
        let media = match state.settings.request.output_type {
            OutputType::Latent => Media::Tensor(self.latents(&state)?),
            OutputType::Image => {
                let planes = match state.layout {
                    Layout::Planes => state.latents,
                    Layout::Packed => state.layout.unpack(&state.latents, state.shape),
                };
                let request = &state.settings.request;
                Media::Image(self.decoder.decode(&planes, state.shape, request, interrupt)?)
            }
        };
        Ok(Output {
            media,
            seed: state.seed,
            settings: state.settings,
            warnings: state.warnings,
            session_time: state.session_time + (self.decoder.busy() - busy),
        })
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        let mut graphs = self.conditioner.graphs();
        graphs.extend(self.denoiser.graphs());
        graphs.extend(self.decoder.graph());
        graphs.extend(self.encoder.as_mut().map(VaeEncoder::graph));
        graphs
    }
}

impl Diffusion {
    fn busy_before_steps(&self) -> Duration {
        let encoder = self.encoder.as_ref().map_or(Duration::ZERO, VaeEncoder::busy);
        self.conditioner.busy() + encoder
    }

    /// The latents as diffusers gives them: with a batch axis of one, in the denoiser's layout.
    fn latents(&self, state: &State) -> Result<Tensor, Error> {
        let part = self.denoiser.part();
        if state.latents.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotANumber { part });
        }
        let shape = [vec![1], state.layout.dims(state.shape)].concat();
        Tensor::f32(&shape, &state.latents).map_err(|error| parts::bad(part, error.to_string()))
    }

    fn latent_shape(&self, settings: &Settings) -> [usize; 3] {
        let cell = self.decoder.cell();
        [
            self.description.latent_channels,
            settings.height as usize / cell,
            settings.width as usize / cell,
        ]
    }
}
