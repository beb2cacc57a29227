//! The denoiser: one call of the UNet or transformer per step, with guidance as a batch of two.

use std::time::Duration;

use super::adapters::Adapters;
use super::controlnets::ControlNets;
use super::guidance;
use super::memory::{Memory, Takes};
use super::prompt::MAX_CHUNKS;
use super::residuals::{Residuals, is_residual};
use crate::folder::{Folder, MAX_SIDE};
use crate::pipelines::Error;
use crate::pipelines::state::State;
use crate::session::{Device, Interrupt, Port, Runtime, Session};

/// The prompt.
const HIDDEN: &str = "encoder_hidden_states";

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
        required: &[HIDDEN],
        optional: &["timestep_cond"],
        time_scale: 1.0,
    };
    /// Diffusers' transformers.
    pub(in crate::pipelines) const TRANSFORMER: Self = Self {
        part: "transformer",
        sample: "hidden_states",
        timestep: "timestep",
        output: "out_hidden_states",
        required: &[HIDDEN, "pooled_projections"],
        optional: &[],
        time_scale: 1.0,
    };

    fn takes(self) -> Takes<'static> {
        Takes { sample: self.sample, timestep: self.timestep, constants: None, beside: true }
    }
}

/// The denoiser and the memory that its calls reuse.
pub(in crate::pipelines) struct Denoiser {
    session: Session,
    ports: Ports,
    adapters: Adapters,
    memory: Option<Memory>,
    /// What the graph takes of ControlNets, whether there are any or not.
    residuals: Option<Residuals>,
    nets: ControlNets,
    /// How many values it gives for each of the sample's: two where it predicts a variance too.
    gives: usize,
    /// The scaled sample, for graphs that aren't single precision.
    scaled: Vec<f32>,
    /// The model's output; with guidance the unconditional half first.
    output: Vec<f32>,
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
        let own = session.inputs().iter().map(|port| port.name.as_str());
        let known: Vec<_> = [ports.sample, ports.timestep]
            .iter()
            .chain(ports.required)
            .chain(ports.optional)
            .copied()
            .chain(adapters.inputs())
            .chain(own.filter(|name| is_residual(name)))
            .collect();
        session.expect_inputs(&known)?;
        session.output(ports.output)?;
        session.expect_floats(&[ports.sample, ports.output, "encoder_hidden_states"])?;
        for name in ports.required {
            session.input(name)?;
        }
        let (sample, timestep) = (session.input(ports.sample)?, session.input(ports.timestep)?);
        session.refuse_for(fault(ports, &sample.dims, timestep, channels))?;
        Ok(Self {
            residuals: Residuals::of(&session)?,
            nets: ControlNets::default(),
            session,
            ports,
            adapters,
            memory: None,
            gives: 1,
            scaled: Vec::new(),
            output: Vec::new(),
        })
    }

    /// The same, steered by the folder's ControlNets; `channels` are those of the latents.
    ///
    /// # Errors
    /// Those of loading them, and [`Error::Model`] for one that doesn't fit the denoiser.
    pub(in crate::pipelines) fn controlled(
        self,
        runtime: &Runtime,
        folder: &Folder,
        channels: usize,
    ) -> Result<Self, Error> {
        let device = self.session.device();
        let ports = self.residuals.as_ref().map(|residuals| residuals.ports.as_slice());
        let nets = ControlNets::load(runtime, folder, device, channels, ports)?;
        Ok(Self { nets, ..self })
    }

    /// The same, giving so many values for each of the sample's: so many times its channels.
    pub(in crate::pipelines) fn giving(self, gives: usize) -> Self {
        Self { gives, ..self }
    }

    /// The input of that name, if the graph has it.
    pub(in crate::pipelines) fn input(&self, name: &str) -> Option<&Port> {
        self.session.inputs().iter().find(|port| port.name == name)
    }

    /// Rows and columns of the latents, if the graph has them built in.
    pub(in crate::pipelines) fn fixed_size(&self) -> Option<[u32; 2]> {
        match self.input(self.ports.sample).map(|port| port.dims.as_slice()) {
            Some([_, _, Some(rows), Some(columns)]) => {
                Some([*rows, *columns].map(|side| side.min(MAX_SIDE as usize) as u32))
            }
            _ => None,
        }
    }

    /// Chunks of a prompt that it takes: one, if the graph has the length of a prompt built in.
    pub(in crate::pipelines) fn max_prompt_chunks(&self) -> u32 {
        let built_in = |port: &Port| port.dims.get(1).copied().flatten().is_some();
        let fixed = self.input(HIDDEN).into_iter().chain(self.nets.inputs(HIDDEN)).any(built_in);
        if fixed { 1 } else { MAX_CHUNKS as u32 }
    }

    /// What can be done about a prompt that is cut, as the end of a sentence.
    pub(in crate::pipelines) fn cut_remedy(&self) -> &'static str {
        if self.max_prompt_chunks() > 1 { "; set long_prompt to have all of it read" } else { "" }
    }

    /// Its LoRA adapters. Their strengths are constants of a picture, as its prompt is.
    pub(in crate::pipelines) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The folder's part.
    pub(in crate::pipelines) fn part(&self) -> &'static str {
        self.ports.part
    }

    /// The graph itself, and those that steer it.
    pub(in crate::pipelines) fn graphs(&mut self) -> Vec<&mut Session> {
        let mut graphs = vec![&mut self.session];
        graphs.extend(self.nets.graphs());
        graphs
    }

    /// Time spent in the sessions so far.
    pub(in crate::pipelines) fn busy(&self) -> Duration {
        self.session.busy() + self.nets.busy()
    }

    /// The model's prediction for the state's next step, guided if it has guidance.
    pub(in crate::pipelines) fn predict(
        &mut self,
        state: &State,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Error> {
        let conditioning = &state.conditioning;
        let elements = state.latents.len();
        let given = elements * self.gives;
        self.output.resize(conditioning.copies * given, 0.0);
        self.scaled.resize(elements, 0.0);
        let takes = self.ports.takes();
        let mut memory = match self.memory.take() {
            Some(memory) if memory.fits(takes, state) => memory,
            _ => self.memory_for(state)?,
        };
        memory.fill(takes, state, &mut self.scaled, self.ports.time_scale);
        if let Some(residuals) = &mut self.residuals {
            let given = self.nets.run(state, &mut self.scaled, interrupt)?;
            residuals.feed(&self.session, &mut memory.bound, given, conditioning.copies)?;
        }
        let ran = self.session.run_bound(&mut memory.bound, interrupt);
        memory.bound.read(0, 0, &mut self.output);
        self.memory = Some(memory);
        ran?;

        let (first, second) = self.output.split_at_mut(given);
        if conditioning.copies == 2 {
            guidance::guide(first, second, conditioning.guidance_scale);
            if conditioning.guidance_rescale > 0.0 {
                guidance::rescale(first, second, conditioning.guidance_rescale);
            }
        }
        Ok(first)
    }

    fn memory_for(&mut self, state: &State) -> Result<Memory, Error> {
        let copies = state.conditioning.copies;
        let mut output = [&[copies], state.layout.dims(state.shape).as_slice()].concat();
        output[1] *= self.gives;
        let outputs = [(self.ports.output, output.as_slice())];
        if let Some(residuals) = &mut self.residuals {
            residuals.forget();
        }
        Memory::new(&self.session, self.ports.takes(), state, &[], &outputs)
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
        [_, _, Some(rows), Some(columns)] if *rows.max(columns) > MAX_SIDE as usize => {
            return Some(format!(
                "input {sample} has {rows} rows and {columns} columns built in, more than \
                 {MAX_SIDE}; export it with open axes"
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
