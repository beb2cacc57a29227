//! The denoiser: one call of the UNet or transformer per step, with guidance as a batch of two.

use std::time::Duration;

use super::adapters::Adapters;
use super::controlnet::ControlNetSpec;
use super::controlnets::{self, ControlNets};
use super::guidance;
use super::memory::{InputNames, Memory};
use super::prompt::MAX_CHUNKS;
use super::residuals::{self, Residuals, is_residual};
use crate::blueprint::folder::MAX_SIDE;
use crate::blueprint::{Reader, Sessions};
use crate::diffusion::run::PictureRun;
use crate::model::Error;
use crate::session::{Interrupt, Port, Session};

/// The prompt.
const HIDDEN: &str = "encoder_hidden_states";

/// What a family's denoiser calls its inputs and outputs.
#[derive(Debug, Clone, Copy)]
pub(in crate::diffusion) struct Ports {
    /// The folder's component, such as `unet`.
    pub(in crate::diffusion) component: &'static str,
    pub(in crate::diffusion) sample: &'static str,
    pub(in crate::diffusion) timestep: &'static str,
    pub(in crate::diffusion) output: &'static str,
    /// Inputs of every graph of the family, which the conditioning fills.
    pub(in crate::diffusion) required: &'static [&'static str],
    /// Inputs that a graph may have besides.
    pub(in crate::diffusion) optional: &'static [&'static str],
    /// What the scheduler's timesteps are divided by (Flux: 1000).
    pub(in crate::diffusion) time_scale: f32,
}

impl Ports {
    /// Diffusers' UNets.
    pub(in crate::diffusion) const UNET: Self = Self {
        component: "unet",
        sample: "sample",
        timestep: "timestep",
        output: "out_sample",
        required: &[HIDDEN],
        optional: &["timestep_cond"],
        time_scale: 1.0,
    };
    /// Diffusers' transformers.
    pub(in crate::diffusion) const TRANSFORMER: Self = Self {
        component: "transformer",
        sample: "hidden_states",
        timestep: "timestep",
        output: "out_hidden_states",
        required: &[HIDDEN, "pooled_projections"],
        optional: &[],
        time_scale: 1.0,
    };

    fn takes(self) -> InputNames<'static> {
        InputNames { sample: self.sample, timestep: self.timestep, constants: None, beside: true }
    }
}

/// A denoiser as its folder says it.
pub(in crate::diffusion) struct DenoiserSpec {
    ports: Ports,
    inputs: Vec<Port>,
    adapters: Adapters,
    /// What the graph takes of ControlNets, whether there are any or not.
    residuals: Option<Vec<Port>>,
    nets: Vec<ControlNetSpec>,
    /// How many values it gives for each of the sample's: two where it predicts a variance too.
    gives: usize,
}

/// The denoiser and the memory that its calls reuse.
pub(in crate::diffusion) struct Denoiser {
    session: Session,
    ports: Ports,
    adapters: Adapters,
    memory: Option<Memory>,
    residuals: Option<Residuals>,
    nets: ControlNets,
    gives: usize,
    /// Whether the graph takes one timestep for all that it is given at once.
    shares_timestep: bool,
    /// The scaled sample, for graphs that aren't single precision.
    scaled: Vec<f32>,
    /// The model's output; with guidance the unconditional half first.
    output: Vec<f32>,
}

impl DenoiserSpec {
    /// Reads the graph and judges its inputs; `channels` is what the config says of the sample.
    pub(in crate::diffusion) fn read(reader: &Reader<'_>, ports: Ports, channels: usize) -> Self {
        let graph = reader.graph(ports.component);
        let adapters = Adapters::read(&graph);
        let own = graph.inputs().iter().map(|port| port.name.as_str());
        let known: Vec<_> = [ports.sample, ports.timestep]
            .iter()
            .chain(ports.required)
            .chain(ports.optional)
            .copied()
            .chain(adapters.inputs())
            .chain(own.filter(|name| is_residual(name)))
            .collect();
        graph.expect_inputs(&known);
        graph.output(ports.output);
        graph.expect_floats(&[ports.sample, ports.output, HIDDEN]);
        for name in ports.required {
            graph.input(name);
        }
        if let (Some(sample), Some(timestep)) =
            (graph.input(ports.sample), graph.input(ports.timestep))
        {
            graph.note_first(fault(ports, &sample.dims, timestep, channels));
        }
        Self {
            ports,
            adapters,
            residuals: residuals::read(&graph),
            inputs: graph.inputs().to_vec(),
            nets: Vec::new(),
            gives: 1,
        }
    }

    /// The same, steered by the folder's ControlNets of these names; `channels` are those of the
    /// latents.
    ///
    /// # Errors
    /// [`Error::Model`] for one that doesn't fit the denoiser.
    pub(in crate::diffusion) fn controlled(
        self,
        reader: &Reader<'_>,
        names: &[String],
        channels: usize,
    ) -> Result<Self, Error> {
        let residuals = self.residuals.as_deref();
        let nets = controlnets::read(reader, names, channels, residuals)?;
        Ok(Self { nets, ..self })
    }

    /// The same, giving so many values for each of the sample's: so many times its channels.
    pub(in crate::diffusion) fn giving(self, gives: usize) -> Self {
        Self { gives, ..self }
    }

    /// The input of that name, if the graph has it.
    pub(in crate::diffusion) fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// Rows and columns of the latents, if the graph has them built in.
    pub(in crate::diffusion) fn fixed_size(&self) -> Option<[u32; 2]> {
        match self.input(self.ports.sample).map(|port| port.dims.as_slice()) {
            Some([_, _, Some(rows), Some(columns)]) => {
                Some([*rows, *columns].map(|side| side.min(MAX_SIDE as usize) as u32))
            }
            _ => None,
        }
    }

    /// Chunks of a prompt that it takes: one, if the graph has the length of a prompt built in.
    pub(in crate::diffusion) fn max_prompt_chunks(&self) -> u32 {
        let built_in = |port: &Port| port.dims.get(1).copied().flatten().is_some();
        let nets = self.nets.iter().filter_map(|net| net.input(HIDDEN));
        let fixed = self.input(HIDDEN).into_iter().chain(nets).any(built_in);
        if fixed { 1 } else { MAX_CHUNKS as u32 }
    }

    /// What can be done about a prompt that is cut, as the end of a sentence.
    pub(in crate::diffusion) fn cut_remedy(&self) -> &'static str {
        if self.max_prompt_chunks() > 1 { "; set long_prompt to have all of it read" } else { "" }
    }

    /// Its LoRA adapters.
    pub(in crate::diffusion) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// The denoiser with its sessions.
    pub(in crate::diffusion) fn open(self, sessions: &mut Sessions) -> Result<Denoiser, Error> {
        let timestep = self.input(self.ports.timestep);
        Ok(Denoiser {
            session: sessions.take(self.ports.component)?,
            shares_timestep: timestep.is_some_and(|port| port.rank() == 0),
            ports: self.ports,
            adapters: self.adapters,
            memory: None,
            residuals: self.residuals.map(Residuals::at),
            nets: ControlNets::open(self.nets, sessions)?,
            gives: self.gives,
            scaled: Vec::new(),
            output: Vec::new(),
        })
    }
}

impl Denoiser {
    /// Its LoRA adapters. Their strengths are constants of a picture, as its prompt is.
    pub(in crate::diffusion) fn adapters(&self) -> &Adapters {
        &self.adapters
    }

    /// Whether the graph takes one timestep for all that it is given at once.
    pub(in crate::diffusion) fn shares_timestep(&self) -> bool {
        self.shares_timestep
    }

    /// The graph's name.
    pub(in crate::diffusion) fn name(&self) -> &'static str {
        self.ports.component
    }

    /// The graph itself, and those that steer it.
    pub(in crate::diffusion) fn graphs(&mut self) -> Vec<&mut Session> {
        let mut graphs = vec![&mut self.session];
        graphs.extend(self.nets.graphs());
        graphs
    }

    /// Time spent in the sessions so far.
    pub(in crate::diffusion) fn busy(&self) -> Duration {
        self.session.busy() + self.nets.busy()
    }

    /// The model's prediction for the picture's next step, guided if it has guidance.
    pub(in crate::diffusion) fn predict(
        &mut self,
        picture: &PictureRun,
        interrupt: &Interrupt,
    ) -> Result<&[f32], Error> {
        let conditioning = &picture.conditioning;
        let elements = picture.latents.len();
        let given = elements * self.gives;
        self.output.resize(conditioning.copies * given, 0.0);
        self.scaled.resize(elements, 0.0);
        let takes = self.ports.takes();
        let mut memory = match self.memory.take() {
            Some(memory) if memory.fits(takes, picture) => memory,
            _ => self.memory_for(picture)?,
        };
        memory.fill(takes, picture, &mut self.scaled, self.ports.time_scale);
        if let Some(residuals) = &mut self.residuals {
            let given = self.nets.run(picture, &mut self.scaled, interrupt)?;
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

    fn memory_for(&mut self, picture: &PictureRun) -> Result<Memory, Error> {
        let copies = picture.conditioning.copies;
        let mut output = [&[copies], picture.layout.dims(picture.shape).as_slice()].concat();
        output[1] *= self.gives;
        let outputs = [(self.ports.output, output.as_slice())];
        if let Some(residuals) = &mut self.residuals {
            residuals.forget();
        }
        Memory::new(&self.session, self.ports.takes(), picture, &[], &outputs)
    }
}

/// What is wrong with the graph's sample and timestep.
fn fault(ports: Ports, dims: &[Option<usize>], timestep: &Port, channels: usize) -> Option<String> {
    let Ports { component, sample, .. } = ports;
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
            "input {sample} has {own} channels, but {component}/config.json says {channels}"
        ));
    }
    (timestep.rank() > 1).then(|| format!("input {} must be [] or [B]", timestep.name))
}
