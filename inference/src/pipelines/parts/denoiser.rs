//! The denoiser: one call of the UNet or transformer per step, with guidance as a batch of two.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::adapters::Adapters;
use super::guidance;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::pipelines::state::{Conditioning, Layout, State};
use crate::session::{Bound, Device, Interrupt, Port, Runtime, Session};

// Inputs, in the order in which they are bound; the conditioning's follow.
const SAMPLE: usize = 0;
const TIMESTEP: usize = 1;
const CONSTANTS: usize = 2;

/// What a family's denoiser calls its inputs and outputs.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipelines) struct Ports {
    /// The folder's part, such as `unet`.
    pub(in crate::pipelines) part: &'static str,
    pub(in crate::pipelines) sample: &'static str,
    pub(in crate::pipelines) timestep: &'static str,
    pub(in crate::pipelines) output: &'static str,
    /// Inputs of every graph of the family, which the conditioning fills.
    pub(in crate::pipelines) required: &'static [&'static str],
    /// Inputs that a graph may have besides.
    pub(in crate::pipelines) optional: &'static [&'static str],
    /// What the scheduler's timesteps are divided by (Flux: 1000).
    pub(in crate::pipelines) time_scale: f32,
}

impl Ports {
    /// Diffusers' UNets.
    pub(in crate::pipelines) const UNET: Self = Self {
        part: "unet",
        sample: "sample",
        timestep: "timestep",
        output: "out_sample",
        required: &["encoder_hidden_states"],
        optional: &["timestep_cond"],
        time_scale: 1.0,
    };
    /// Diffusers' transformers.
    pub(in crate::pipelines) const TRANSFORMER: Self = Self {
        part: "transformer",
        sample: "hidden_states",
        timestep: "timestep",
        output: "out_hidden_states",
        required: &["encoder_hidden_states", "pooled_projections"],
        optional: &[],
        time_scale: 1.0,
    };
}

/// The denoiser and the memory that its calls reuse.
pub(in crate::pipelines) struct Denoiser {
    session: Session,
    ports: Ports,
    adapters: Adapters,
    bound: Option<Memory>,
    /// The scaled sample, for graphs that aren't single precision.
    scaled: Vec<f32>,
    /// The model's output; with guidance the unconditional half first.
    output: Vec<f32>,
}

/// Memory bound for inputs of certain shapes, and what is in it.
struct Memory {
    bound: Bound,
    copies: usize,
    shape: [usize; 3],
    layout: Layout,
    /// Elements beside the sample of each copy.
    beside: usize,
    /// The constants now in the memory.
    conditioning: Option<Arc<Conditioning>>,
    constants: Vec<(Cow<'static, str>, Vec<usize>)>,
}

impl Denoiser {
    /// Loads the graph and checks its inputs; `channels` is what the config says of the sample.
    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        ports: Ports,
        channels: usize,
    ) -> Result<Self, Error> {
        let graph = folder.graph(ports.part)?;
        let session = Session::load(runtime, ports.part, folder.root(), &graph, device)?;
        let adapters = Adapters::of(&session)?;
        let known: Vec<_> = [ports.sample, ports.timestep]
            .iter()
            .chain(ports.required)
            .chain(ports.optional)
            .copied()
            .chain(adapters.inputs())
            .collect();
        session.expect_inputs(&known)?;
        session.output(ports.output)?;
        for name in ports.required {
            session.input(name)?;
        }
        let (sample, timestep) = (session.input(ports.sample)?, session.input(ports.timestep)?);
        if let Some(reason) = fault(ports, &sample.dims, timestep, channels) {
            return Err(session.port_error(reason).into());
        }
        Ok(Self { session, ports, adapters, bound: None, scaled: Vec::new(), output: Vec::new() })
    }

    /// The input of that name, if the graph has it.
    pub(in crate::pipelines) fn input(&self, name: &str) -> Option<&Port> {
        self.session.inputs().iter().find(|port| port.name == name)
    }

    /// Rows and columns of the latents, if the graph has them built in.
    pub(in crate::pipelines) fn fixed_size(&self) -> Option<[u32; 2]> {
        match self.input(self.ports.sample).map(|port| port.dims.as_slice()) {
            Some([_, _, Some(rows), Some(columns)]) => Some([*rows as u32, *columns as u32]),
            _ => None,
        }
    }

    /// Its LoRA adapters. Their strengths are constants of a picture, as its prompt is.
    pub(in crate::pipelines) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The graph itself.
    pub(in crate::pipelines) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Time spent in the session so far.
    pub(in crate::pipelines) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// The model's prediction for the state's next step, guided if it has guidance.
    pub(in crate::pipelines) fn predict(
        &mut self,
        state: &State,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Error> {
        let conditioning = &state.conditioning;
        let elements = state.latents.len();
        self.output.resize(conditioning.copies * elements, 0.0);
        self.scaled.resize(elements, 0.0);
        let mut memory = match self.bound.take() {
            Some(memory) if memory.fits(state) => memory,
            _ => self.memory_for(state)?,
        };
        memory.fill(state, &mut self.scaled, self.ports.time_scale);
        let ran = self.session.run_bound(&mut memory.bound, interrupt);
        memory.bound.read(0, 0, &mut self.output);
        self.bound = Some(memory);
        ran?;

        let (first, second) = self.output.split_at_mut(elements);
        if conditioning.copies == 2 {
            guidance::guide(first, second, conditioning.guidance_scale);
            if conditioning.guidance_rescale > 0.0 {
                guidance::rescale(first, second, conditioning.guidance_rescale);
            }
        }
        Ok(first)
    }

    fn memory_for(&self, state: &State) -> Result<Memory, Error> {
        let Conditioning { copies, inputs, .. } = state.conditioning.as_ref();
        let output = [&[*copies], state.layout.dims(state.shape).as_slice()].concat();
        let mut sample = output.clone();
        let [_, rows, columns] = state.shape;
        sample[1] += state.beside.len() / (rows * columns);
        let times = [*copies];
        let scalar = self.session.input(self.ports.timestep).map(Port::rank)? == 0;
        let timestep: &[usize] = if scalar { &[] } else { &times };
        let constants: Vec<_> =
            inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
        let mut bindings =
            vec![(self.ports.sample, sample.as_slice()), (self.ports.timestep, timestep)];
        bindings.extend(constants.iter().map(|(name, shape)| (name.as_ref(), shape.as_slice())));
        let bound = self.session.bind(&bindings, &[(self.ports.output, &output)])?;
        Ok(Memory {
            bound,
            copies: *copies,
            shape: state.shape,
            layout: state.layout,
            beside: state.beside.len(),
            conditioning: None,
            constants,
        })
    }
}

/// What is wrong with the graph's sample and timestep.
fn fault(ports: Ports, dims: &[Option<usize>], timestep: &Port, channels: usize) -> Option<String> {
    let Ports { part, sample, .. } = ports;
    let own = match dims {
        [Some(batch), ..] => {
            return Some(format!(
                "input {sample} has the batch size {batch} built in; export with a dynamic batch \
                 axis"
            ));
        }
        [_, own, _, _] | [_, _, own] => *own,
        _ => return Some(format!("input {sample} must be [B,C,h,w] or [B,tokens,C]")),
    };
    if let Some(own) = own.filter(|own| *own != channels) {
        return Some(format!(
            "input {sample} has {own} channels, but {part}/config.json says {channels}"
        ));
    }
    (timestep.rank() > 1).then(|| format!("input {} must be [] or [B]", timestep.name))
}

impl Memory {
    fn fits(&self, state: &State) -> bool {
        let Conditioning { copies, inputs, .. } = state.conditioning.as_ref();
        self.copies == *copies
            && self.shape == state.shape
            && self.layout == state.layout
            && self.beside == state.beside.len()
            && self.constants.len() == inputs.len()
            && self
                .constants
                .iter()
                .zip(inputs)
                .all(|((name, shape), input)| *name == input.name && *shape == input.shape)
    }

    /// Writes the inputs of the state's next step.
    fn fill(&mut self, state: &State, scaled: &mut [f32], time_scale: f32) {
        let (scheduler, elements) = (&state.scheduler, state.latents.len());
        if let Some(sample) = self.bound.in_place(SAMPLE) {
            scheduler.scale_model_input(state.call, &state.latents, &mut sample[..elements]);
            sample[elements..elements + self.beside].copy_from_slice(&state.beside);
            let elements = elements + self.beside;
            for copy in 1..self.copies {
                sample.copy_within(..elements, copy * elements);
            }
        } else {
            scheduler.scale_model_input(state.call, &state.latents, scaled);
            for copy in 0..self.copies {
                let at = copy * (elements + self.beside);
                self.bound.write(SAMPLE, at, scaled);
                self.bound.write(SAMPLE, at + elements, &state.beside);
            }
        }
        self.bound.fill(TIMESTEP, scheduler.timesteps()[state.call] / time_scale);
        let current = self.conditioning.as_ref();
        if !current.is_some_and(|current| Arc::ptr_eq(current, &state.conditioning)) {
            for (index, input) in state.conditioning.inputs.iter().enumerate() {
                self.bound.write(CONSTANTS + index, 0, &input.values);
            }
            self.conditioning = Some(Arc::clone(&state.conditioning));
        }
    }
}
