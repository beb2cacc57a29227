//! The loop that all families share: noise, a call of the denoiser per step, which pictures can share,
//! and a decoded picture.
//!
//! What a family does its own way is its [`Conditioner`] (what the prompts become) and the values
//! in [`Diffusion`]'s fields.

use std::any::Any;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use hearth_media::{Media, Tensor};

use super::components::{self, Decoder, Denoiser, VaeEncoder};
use super::conditioning::Conditioner;
use super::layout::Layout;
use super::prepare::{PreparedPicture, Preparer};
use super::run::PictureRun;
use super::tasks::{Beginning, Start};
use crate::model::{
    BatchKey, Description, Error, Generator, Model, Output, Prepare, PreparedRequest, Run,
    Snapshot, Turn,
};
use crate::noise::NoiseStream;
use crate::session::{Interrupt, Session};

/// A loaded model of any family.
pub(super) struct Diffusion {
    pub(super) description: Arc<Description>,
    pub(super) preparer: Preparer,
    pub(super) conditioner: Box<dyn Conditioner>,
    pub(super) denoiser: Denoiser,
    pub(super) decoder: Decoder,
    /// For requests with a picture.
    pub(super) encoder: Option<VaeEncoder>,
    /// The denoiser takes a mask and what is masked beside the sample.
    pub(super) inpainting_model: bool,
    pub(super) layout: Layout,
}

impl Model for Diffusion {
    fn description(&self) -> &Arc<Description> {
        &self.description
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        let mut graphs = self.conditioner.graphs();
        graphs.extend(self.denoiser.graphs());
        graphs.extend(self.decoder.graph());
        graphs.extend(self.encoder.as_mut().map(VaeEncoder::graph));
        graphs
    }

    fn generator(&mut self) -> Option<&mut dyn Generator> {
        Some(self)
    }

    fn preparer(&self) -> Option<Arc<dyn Prepare>> {
        Some(Arc::new(self.preparer.clone()))
    }
}

impl Generator for Diffusion {
    fn start(
        &mut self,
        prepared: &PreparedRequest,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn Run>, Error> {
        Ok(Box::new(self.begin(prepared, seed, interrupt)?))
    }

    fn resume(
        &mut self,
        prepared: &PreparedRequest,
        snapshot: &Snapshot,
        interrupt: &Interrupt,
    ) -> Result<Box<dyn Run>, Error> {
        let mut run = self.begin(prepared, snapshot.seed, interrupt)?;
        run.put_back(snapshot)?;
        Ok(Box::new(run))
    }

    /// Runs of one batch key share a call of the denoiser, which changes a picture in its last bits.
    fn step(&mut self, turns: &mut [Turn<'_>]) {
        let mut groups: Vec<(Option<BatchKey>, Vec<Member<'_>>)> = Vec::new();
        for Turn { run, interrupt, outcome } in turns {
            let run: &mut dyn Any = &mut **run;
            let Some(run) = run.downcast_mut::<PictureRun>() else {
                *outcome = Err(Error::Foreign);
                continue;
            };
            *outcome = Ok(());
            if run.is_done() {
                continue;
            }
            let key = run.batch_key();
            let member = Member { run, interrupt, outcome };
            match groups.iter_mut().find(|(other, _)| key.is_some() && *other == key) {
                Some((_, group)) => group.push(member),
                None => groups.push((key, vec![member])),
            }
        }
        for (_, mut group) in groups {
            self.step_together(&mut group);
        }
    }

    fn preview(&mut self, run: &dyn Run, interrupt: &Interrupt) -> Result<Option<Media>, Error> {
        let run: &dyn Any = run;
        let run: &PictureRun = run.downcast_ref().ok_or(Error::Foreign)?;
        let (shape, settings) = (run.shape, &run.settings);
        let image = match run.layout {
            Layout::Planes => self.decoder.preview(&run.latents, shape, settings, interrupt),
            Layout::Packed => {
                let planes = run.layout.unpack(&run.latents, shape);
                self.decoder.preview(&planes, shape, settings, interrupt)
            }
        };
        Ok(image?.map(Media::Image))
    }

    fn finish(&mut self, run: Box<dyn Run>, interrupt: &Interrupt) -> Result<Output, Error> {
        let run: Box<dyn Any> = run;
        let run: Box<PictureRun> = run.downcast().map_err(|_| Error::Foreign)?;
        let busy = self.decoder.busy();
        let media = match run.settings.ends_in_latents {
            true => Media::Tensor(self.latents(&run)?),
            false => {
                let planes = match run.layout {
                    Layout::Planes => run.latents,
                    Layout::Packed => run.layout.unpack(&run.latents, run.shape),
                };
                let settings = &run.settings;
                Media::Image(self.decoder.decode(&planes, run.shape, settings, interrupt)?)
            }
        };
        Ok(Output {
            media,
            seed: run.seed,
            request: run.request,
            warnings: run.warnings,
            session_time: run.session_time + (self.decoder.busy() - busy),
        })
    }
}

impl Diffusion {
    /// Whether the request was prepared for this model, or for the same one before it slept.
    fn has_prepared(&self, picture: &PreparedPicture) -> bool {
        let Preparer { rules, digest, .. } = &self.preparer;
        let same = || *digest == picture.digest && rules.pictures == picture.rules.pictures;
        Arc::ptr_eq(rules, &picture.rules) || same()
    }

    /// Encodes the prompts and what the picture starts from, and draws its initial noise.
    fn begin(
        &mut self,
        prepared: &PreparedRequest,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<PictureRun, Error> {
        let picture = prepared.content().filter(|picture| self.has_prepared(picture));
        let picture: &PreparedPicture = picture.ok_or(Error::Foreign)?;
        let settings = &picture.settings;
        let (scheduler, calls) = (picture.scheduler.afresh(), picture.calls.clone());

        let mut warnings = prepared.warnings().to_vec();
        let busy = self.busy_before_steps();
        let mut conditioning = self.conditioner.condition(settings, &mut warnings, interrupt)?;
        self.denoiser.adapters().push_to(&mut conditioning, &settings.request.lora);

        let shape = picture.shape;
        let device = settings.request.noise_device.unwrap_or_default();
        let mut noise_stream = NoiseStream::on(device, seed);
        let start = Start {
            settings,
            schedule: scheduler.schedule(),
            call: calls.start,
            shape,
            layout: self.layout,
            noise: &mut noise_stream,
            encoder: self.encoder.as_mut(),
            inpainting_model: self.inpainting_model,
            interrupt,
        };
        let Beginning { latents, beside, blend } = start.start(&picture.source)?;
        let session_time = self.busy_before_steps() - busy;
        let inputs = conditioning.shapes();
        let draws = calls.clone().any(|call| scheduler.schedule().step_noise(call).is_some());
        let noise = vec![0.0; if draws { latents.len() } else { 0 }];
        Ok(PictureRun {
            batch_key: prepared.shares().map(|shares| shares.with(&inputs)),
            settings: Arc::clone(settings),
            request: Arc::clone(prepared.request()),
            control: picture.control.clone(),
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
            ends_clean: picture.ends_clean,
            call: calls.start,
            guided: picture.guided.clone(),
            calls,
            warnings,
            session_time,
        })
    }

    /// Takes a step of pictures that can share it. Where that fails each takes it alone, so that one
    /// costs the others nothing.
    fn step_together(&mut self, group: &mut [Member<'_>]) {
        let busy = self.denoiser.busy();
        let predicted = {
            let interrupts: Vec<_> = group.iter().map(|member| member.interrupt).collect();
            let pictures: Vec<_> = group.iter().map(|member| &*member.run).collect();
            self.denoiser.predict(&pictures, &Interrupt::shared_by(&interrupts))
        };
        match (predicted, group) {
            (Ok(()), group) => {
                let spent = self.denoiser.busy() - busy;
                for (place, member) in group.iter_mut().enumerate() {
                    *member.outcome = self.advance(place, member);
                    member.run.session_time += spent;
                }
            }
            (Err(error), [only]) => *only.outcome = Err(error),
            (Err(error), group) => {
                // An interrupt that all have thrown is no fault.
                if !matches!(error, Error::Interrupted(_)) {
                    let (pictures, graph) = (group.len(), self.denoiser.name());
                    tracing::warn!(%error, graph, pictures, "a shared step failed; each is taken alone");
                }
                group.iter_mut().for_each(|member| self.step_together(slice::from_mut(member)));
            }
        }
    }

    /// Takes a picture's step with what was predicted for it.
    fn advance(&mut self, place: usize, member: &mut Member<'_>) -> Result<(), Error> {
        member.interrupt.check()?;
        let run = &mut *member.run;
        run.advance(self.denoiser.prediction(place, run)?);
        if components::are_finite(&run.latents) {
            return Ok(());
        }
        let step = (run.step_index(), run.steps());
        Err(Error::Diverged { graph: self.denoiser.name(), step })
    }

    fn busy_before_steps(&self) -> Duration {
        let encoder = self.encoder.as_ref().map_or(Duration::ZERO, VaeEncoder::busy);
        self.conditioner.busy() + encoder
    }

    /// The latents as diffusers gives them: with a batch axis of one, in the denoiser's layout.
    fn latents(&self, run: &PictureRun) -> Result<Tensor, Error> {
        let graph = self.denoiser.name();
        let shape = [vec![1], run.layout.dims(run.shape)].concat();
        Tensor::f32(&shape, &run.latents).map_err(|error| components::bad(graph, error.to_string()))
    }
}

/// A picture's part in a step.
struct Member<'a> {
    run: &'a mut PictureRun,
    interrupt: &'a Interrupt,
    outcome: &'a mut Result<(), Error>,
}
