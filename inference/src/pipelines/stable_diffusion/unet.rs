//! The denoiser: one call of the UNet per step, with guidance as a batch of two.

use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::pipelines::state::{Conditioning, State};
use crate::session::{Bound, Device, Interrupt, Port, Runtime, Session};

const PART: &str = "unet";
// Inputs, in the order in which they are bound.
const NAMES: [&str; 3] = ["sample", "timestep", "encoder_hidden_states"];
const SAMPLE: usize = 0;
const TIMESTEP: usize = 1;
const HIDDEN: usize = 2;
const OUTPUT: &str = "out_sample";

/// The UNet and the memory that its calls reuse.
pub(super) struct Unet {
    session: Session,
    bound: Option<Memory>,
    /// The scaled sample, for graphs that aren't single precision.
    scaled: Vec<f32>,
    /// The model's output; with guidance the unconditional half first.
    output: Vec<f32>,
}

/// Memory bound for one size, and what is in it.
struct Memory {
    bound: Bound,
    batch: usize,
    shape: [usize; 3],
    hidden: [usize; 2],
    /// The hidden states now in the memory.
    conditioning: Option<Arc<Conditioning>>,
}

impl Unet {
    pub(super) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        config: &Config,
    ) -> Result<Self, Error> {
        let session = Session::load(runtime, PART, folder.root(), &folder.graph(PART)?, device)?;
        session.expect_inputs(&NAMES)?;
        session.output(OUTPUT)?;
        let [sample, timestep, hidden] = [
            session.input(NAMES[SAMPLE])?,
            session.input(NAMES[TIMESTEP])?,
            session.input(NAMES[HIDDEN])?,
        ];
        let channels = config.unet.in_channels;
        let fault = match (sample.dims.as_slice(), timestep.rank(), hidden.rank()) {
            ([Some(batch), ..], ..) => Some(format!(
                "input sample has the batch size {batch} built in; export with a dynamic batch axis"
            )),
            ([_, Some(own), _, _], ..) if *own != channels => Some(format!(
                "input sample has {own} channels, but unet/config.json says {channels}"
            )),
            ([_, _, _, _], 0 | 1, 3) => None,
            _ => Some(
                "inputs must be sample [B,C,h,w], timestep [] or [B] and \
                       encoder_hidden_states [B,S,D]"
                    .to_owned(),
            ),
        };
        match fault {
            Some(reason) => Err(session.port_error(reason).into()),
            None => Ok(Self { session, bound: None, scaled: Vec::new(), output: Vec::new() }),
        }
    }

    /// Rows and columns of the latents, if the graph has them built in.
    pub(super) fn fixed_size(&self) -> Option<[usize; 2]> {
        match self.session.input(NAMES[SAMPLE]).map(|port| port.dims.as_slice()) {
            Ok([_, _, Some(rows), Some(columns)]) => Some([*rows, *columns]),
            _ => None,
        }
    }

    /// Time spent in the session so far.
    pub(super) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// The model's prediction for the state's next step, guided if it has guidance.
    pub(super) fn predict(
        &mut self,
        state: &State,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Error> {
        let batch = state.conditioning.batch();
        let elements = state.latents.len();
        self.output.resize(batch * elements, 0.0);
        self.scaled.resize(elements, 0.0);
        let mut memory = match self.bound.take() {
            Some(memory) if memory.fits(state) => memory,
            _ => self.memory_for(state)?,
        };
        memory.fill(state, &mut self.scaled);
        let ran = self.session.run_bound(&mut memory.bound, interrupt);
        memory.bound.read(0, 0, &mut self.output);
        self.bound = Some(memory);
        ran?;

        let (first, second) = self.output.split_at_mut(elements);
        if batch == 2 {
            guide(first, second, state.settings.guidance_scale);
        }
        Ok(first)
    }

    fn memory_for(&self, state: &State) -> Result<Memory, Error> {
        let Conditioning { tokens, width, .. } = *state.conditioning;
        let [channels, rows, columns] = state.shape;
        let batch = state.conditioning.batch();
        let sample = [batch, channels, rows, columns];
        let times = [batch];
        let scalar = self.session.input(NAMES[TIMESTEP]).map(Port::rank)? == 0;
        let timestep: &[usize] = if scalar { &[] } else { &times };
        let bound = self.session.bind(
            &[
                (NAMES[SAMPLE], &sample),
                (NAMES[TIMESTEP], timestep),
                (NAMES[HIDDEN], &[batch, tokens, width]),
            ],
            &[(OUTPUT, &sample)],
        )?;
        let hidden = [tokens, width];
        Ok(Memory { bound, batch, shape: state.shape, hidden, conditioning: None })
    }
}

impl Memory {
    fn fits(&self, state: &State) -> bool {
        let Conditioning { tokens, width, .. } = *state.conditioning;
        self.batch == state.conditioning.batch()
            && self.shape == state.shape
            && self.hidden == [tokens, width]
    }

    /// Writes the inputs of the state's next step.
    fn fill(&mut self, state: &State, scaled: &mut [f32]) {
        let (scheduler, elements) = (&state.scheduler, state.latents.len());
        if let Some(sample) = self.bound.in_place(SAMPLE) {
            scheduler.scale_model_input(state.step, &state.latents, &mut sample[..elements]);
            for copy in 1..self.batch {
                sample.copy_within(..elements, copy * elements);
            }
        } else {
            scheduler.scale_model_input(state.step, &state.latents, scaled);
            for copy in 0..self.batch {
                self.bound.write(SAMPLE, copy * elements, scaled);
            }
        }
        self.bound.fill(TIMESTEP, scheduler.timesteps()[state.step]);
        let current = self.conditioning.as_ref();
        if !current.is_some_and(|current| Arc::ptr_eq(current, &state.conditioning)) {
            self.bound.write(HIDDEN, 0, &state.conditioning.hidden);
            self.conditioning = Some(Arc::clone(&state.conditioning));
        }
    }
}

/// Classifier-free guidance: `unconditional + scale * (conditional - unconditional)`, in place of
/// the first.
fn guide(unconditional: &mut [f32], conditional: &[f32], scale: f32) {
    for (without, with) in unconditional.iter_mut().zip(conditional) {
        *without += scale * (with - *without);
    }
}
