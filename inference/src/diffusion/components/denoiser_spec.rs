//! The denoiser as its folder says it: its inputs judged, and what can be asked of it.

use std::iter::repeat;

use super::adapters::Adapters;
use super::configs::bad;
use super::controlnet::ControlNetSpec;
use super::controlnets::{self, ControlNets};
use super::denoiser::Denoiser;
use super::denoiser_ports::{HIDDEN, Ports};
use super::prompt::MAX_CHUNKS;
use super::residuals::{self, Residuals, is_residual};
use crate::blueprint::folder::MAX_SIDE;
use crate::blueprint::{Axis, Reader, Sessions};
use crate::model::Error;
use crate::session::Port;

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
    /// How many copies of the sample it takes at once, where that is built in.
    batch: Option<usize>,
    /// What it computes of one copy depends on the others.
    mixes_copies: bool,
}

/// They scale by the largest of all that they are given.
const MIXING: [&str; 3] = ["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"];

impl DenoiserSpec {
    /// Reads the graph and judges its inputs; `channels` is what the config says of the sample.
    pub(in crate::diffusion) fn read(reader: &Reader<'_>, ports: Ports, channels: usize) -> Self {
        let graph = reader.graph_spread(ports.component, ports.timestep);
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
        let per_copy = |name: &&str| {
            let rank = graph.inputs().iter().find(|port| port.name == *name).map(Port::rank);
            let shared = ports.places.contains(name) && rank == Some(2);
            !shared && !adapters.inputs().any(|own| own == *name)
        };
        let batched: Vec<_> = known.iter().copied().filter(per_copy).collect();
        let batch = graph.batch(&batched);
        for name in batched {
            let Some(port) = graph.inputs().iter().find(|port| port.name == name) else { continue };
            let axes = [Axis::Batch(&[1, 2])].into_iter().chain(repeat(Axis::Any));
            graph.expect_shape(name, &axes.take(port.rank()).collect::<Vec<_>>());
        }
        Self {
            ports,
            adapters,
            residuals: residuals::read(&graph),
            inputs: graph.inputs().to_vec(),
            nets: Vec::new(),
            gives: 1,
            batch,
            mixes_copies: reader.has_operator(ports.component, &MIXING),
        }
    }

    /// The same for a model that never takes two predictions to guide by.
    pub(in crate::diffusion) fn unguided(self, reader: &Reader<'_>) -> Self {
        let graph = reader.ports(self.ports.component);
        let sample = graph.inputs().iter().find(|port| port.name == self.ports.sample);
        let axes = [Axis::Batch(&[1])].into_iter().chain(repeat(Axis::Any));
        let axes: Vec<_> = axes.take(sample.map_or(0, Port::rank)).collect();
        graph.expect_shape(self.ports.sample, &axes);
        self
    }

    /// Notes it where an input of the graph has another length built in on `axis` than it will be
    /// given; `length` is none where that isn't known.
    pub(in crate::diffusion) fn expect_length(
        &self,
        reader: &Reader<'_>,
        name: &str,
        axis: usize,
        length: Option<usize>,
    ) {
        let (Some(port), Some(length)) = (self.input(name), length) else { return };
        let mut axes = vec![Axis::Any; port.rank()];
        if let Some(own) = axes.get_mut(axis) {
            *own = Axis::Length(length);
        }
        reader.ports(self.ports.component).expect_shape(name, &axes);
    }

    /// The length that an input of the graph has built in on `axis`.
    pub(in crate::diffusion) fn built_in_length(&self, name: &str, axis: usize) -> Option<usize> {
        self.input(name)?.dims.get(axis).copied().flatten()
    }

    /// How many tokens of a picture a graph of packed latents has built in.
    pub(in crate::diffusion) fn built_in_tokens(&self) -> Option<usize> {
        let sample = self.input(self.ports.sample)?;
        (sample.rank() == 3).then(|| self.built_in_length(self.ports.sample, 1)).flatten()
    }

    /// How many copies of the sample are run at once, where that is built into a graph.
    pub(in crate::diffusion) fn batch(&self) -> Option<usize> {
        self.batch
    }

    /// Whether one call of it can be for several pictures.
    pub(in crate::diffusion) fn is_shareable(&self) -> bool {
        self.batch.is_none() && !self.mixes_copies
    }

    /// Whether the graph takes one timestep for all that it is given at once.
    pub(in crate::diffusion) fn shares_timestep(&self) -> bool {
        self.input(self.ports.timestep).is_some_and(|port| port.rank() == 0)
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
        let mut batch = self.batch;
        for (net, name) in nets.iter().zip(names) {
            if let Some((own, others)) = net.batch.zip(batch).filter(|(own, other)| own != other) {
                let reason = format!(
                    "it has a batch of {own} built in where others have {others}; export them \
                     together"
                );
                return Err(bad(name, reason));
            }
            batch = batch.or(net.batch);
        }
        let mixes = |name: &String| reader.has_operator(name, &MIXING);
        let mixes_copies = self.mixes_copies || names.iter().any(mixes);
        Ok(Self { nets, batch, mixes_copies, ..self })
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
        Ok(Denoiser {
            session: sessions.take(self.ports.component)?,
            ports: self.ports,
            adapters: self.adapters,
            memory: None,
            residuals: self.residuals.map(Residuals::at),
            nets: ControlNets::open(self.nets, sessions)?,
            gives: self.gives,
            batch: self.batch,
            scaled: Vec::new(),
            output: Vec::new(),
        })
    }
}

/// What is wrong with the graph's sample and timestep.
fn fault(ports: Ports, dims: &[Option<usize>], timestep: &Port, channels: usize) -> Option<String> {
    let Ports { component, sample, .. } = ports;
    let own = match dims {
        [_, _, Some(_), None] | [_, _, None, Some(_)] => {
            return Some(format!(
                "input {sample} has one of its rows and columns built in; export it with both open"
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
