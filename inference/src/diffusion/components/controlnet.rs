//! One ControlNet (Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models,
//! 2023): a picture, and what the denoiser is given, to what is added inside the denoiser.

use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Part};
use super::configs::{ControlNetConfig, bad};
use super::memory::{InputNames, Memory};
use super::residuals::{self, Residuals, is_residual};
use crate::blueprint::{Ports, Reader, Sessions};
use crate::diffusion::control::Control;
use crate::model::Error;
use crate::session::{Cast, Interrupt, Port, Session, SharedTensor};

const SAMPLE: &str = "sample";
const TIMESTEP: &str = "timestep";
const COND: &str = "controlnet_cond";
const SCALE: &str = "conditioning_scale";
/// What the denoiser is given and it may take as well.
const CONSTANTS: [&str; 3] = ["encoder_hidden_states", "text_embeds", "time_ids"];
const DOWN: &str = "down_block_res_samples.";
const MID: &str = "mid_block_res_sample";

/// A ControlNet as its folder says it.
pub(super) struct ControlNetSpec {
    name: String,
    config: ControlNetConfig,
    inputs: Vec<Port>,
    /// Those of the constants that it takes.
    constants: Vec<&'static str>,
    /// What it takes of the one before, if it can be second.
    before: Option<Vec<Port>>,
    outputs: Vec<Port>,
    /// How many copies of the sample it takes at once, where that is built in.
    pub(super) batch: Option<usize>,
}

/// A loaded ControlNet.
pub(super) struct ControlNet {
    session: Session,
    config: ControlNetConfig,
    constants: Vec<&'static str>,
    before: Option<Residuals>,
    outputs: Vec<Port>,
    memory: Option<NetMemory>,
}

/// Its memory for pictures of one size.
struct NetMemory {
    memory: Memory,
    /// Which of all memories of residuals it is.
    number: u64,
    residuals: Vec<SharedTensor>,
    /// Whether its residuals have rows and columns.
    spread: bool,
    /// The picture that is written in it, and the first copy that its scales are of.
    control: Option<(Arc<Control>, usize)>,
}

/// What one run is about.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    /// Pictures that one control steers, at the same step of theirs.
    pub(super) batch: Batch<'a>,
    /// Which of their ControlNets this one is.
    pub(super) index: usize,
    /// How strongly it counts.
    pub(super) scale: f32,
    pub(super) guess_mode: bool,
    /// The residuals to add to, and the number of their memory.
    pub(super) given: Option<(u64, &'a [SharedTensor])>,
    /// Whether what comes of it has rows and columns.
    pub(super) spread: bool,
}

impl ControlNetSpec {
    /// Reads the folder's ControlNet of that name, for latents of `channels` and a denoiser with
    /// residuals at `taken`.
    ///
    /// # Errors
    /// [`Error::Model`] for a config that can't be used.
    pub(super) fn read(
        reader: &Reader<'_>,
        name: &str,
        channels: usize,
        taken: &[Port],
        first: bool,
    ) -> Result<Self, Error> {
        let file = format!("{name}/config.json");
        let config = ControlNetConfig::read(reader.folder(), &file)?;
        let graph = reader.graph_cast(name, &casts(taken));
        let names = graph.inputs().iter().map(|port| port.name.as_str());
        let known: Vec<_> = [SAMPLE, TIMESTEP, COND, SCALE]
            .into_iter()
            .chain(CONSTANTS)
            .chain(names.clone().filter(|name| is_residual(name)))
            .collect();
        graph.expect_inputs(&known);
        let constants = CONSTANTS.into_iter().filter(|name| names.clone().any(|own| own == *name));
        let constants = constants.collect();
        let before = residuals::read(&graph);
        let count = taken.len();
        let outputs: Vec<_> =
            given(count).filter_map(|name| graph.output(&name).cloned()).collect();
        if config.in_channels != channels {
            let reason =
                format!("in_channels is {}, the latents have {channels}", config.in_channels);
            return Err(bad(&file, reason));
        }
        if config.residuals().len() != count {
            let reason = format!(
                "its blocks give {} residuals, the denoiser takes {count}; they belong to two \
                 models",
                config.residuals().len()
            );
            return Err(bad(&file, reason));
        }
        if !first && before.is_none() {
            let reason = "the graph takes no residuals (down_block_additional_residuals.0 and so \
                          on), which all but the first ControlNet add to; export them together";
            graph.note_first(Some(reason.to_owned()));
        }
        graph.expect_floats(&[SAMPLE, COND, SCALE]);
        graph.note_first(fault(&graph, channels, count));
        graph.note_first(unfit("output", outputs.iter().zip(taken)));
        if before.as_ref().is_some_and(|before| before.len() != count) {
            let reason =
                format!("the graph doesn't take as many residuals as the denoiser: {count}");
            graph.note_first(Some(reason));
        }
        let own = before.iter().flatten();
        graph.note_first(unfit("input", own.zip(taken)));
        let batched: Vec<_> = known.iter().copied().filter(|name| *name != COND).collect();
        let batch = graph.batch(&batched);
        let (name, inputs) = (name.to_owned(), graph.inputs().to_vec());
        Ok(Self { name, config, inputs, constants, before, outputs, batch })
    }

    /// The input of that name, if the graph has it.
    pub(super) fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// The ControlNet with its session.
    pub(super) fn open(self, sessions: &mut Sessions) -> Result<ControlNet, Error> {
        let Self { name, config, constants, before, outputs, .. } = self;
        let (session, before) = (sessions.take(&name)?, before.map(Residuals::at));
        Ok(ControlNet { session, config, constants, before, outputs, memory: None })
    }
}

impl ControlNet {
    /// Whether it gives one value for all places.
    pub(super) fn pools(&self) -> bool {
        self.config.global_pool_conditions
    }

    pub(super) fn graph(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(super) fn busy(&self) -> Duration {
        self.session.busy()
    }

    /// Whether what the last run gave are numbers; its memory is the processor's.
    pub(super) fn gave_numbers(&self) -> bool {
        let residuals = self.memory.iter().flat_map(|memory| &memory.residuals);
        residuals.into_iter().all(SharedTensor::is_finite)
    }

    /// What the last run gave, and the number of its memory.
    pub(super) fn residuals(&self) -> Option<(u64, &[SharedTensor])> {
        self.memory.as_ref().map(|memory| (memory.number, memory.residuals.as_slice()))
    }

    /// Adds what it finds to what is given; `memories` counts those that were made.
    pub(super) fn run(
        &mut self,
        run: Run<'_>,
        scaled: &mut [f32],
        memories: &mut u64,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let Run { batch, given, spread, .. } = run;
        let constants = std::mem::take(&mut self.constants);
        let takes = InputNames {
            sample: SAMPLE,
            timestep: TIMESTEP,
            constants: Some(&constants),
            beside: false,
        };
        let ready = match self.memory.take() {
            Some(memory) if memory.spread == spread && memory.memory.fits(takes, batch) => {
                Ok(memory)
            }
            _ => self.memory_for(takes, batch, spread, memories),
        };
        let result = ready.and_then(|mut memory| {
            memory.memory.fill(takes, batch, scaled, 1.0);
            self.write_control(&mut memory, run);
            if let Some(before) = &mut self.before {
                before.feed(&self.session, &mut memory.memory.bound, given, batch.rows())?;
            }
            self.session.run_bound(&mut memory.memory.bound, interrupt)?;
            self.memory = Some(memory);
            Ok(())
        });
        self.constants = constants;
        result
    }

    fn memory_for(
        &mut self,
        takes: InputNames<'_>,
        batch: Batch<'_>,
        spread: bool,
        memories: &mut u64,
    ) -> Result<NetMemory, Error> {
        let picture = batch.first;
        let [_, rows, columns] = picture.shape;
        let (height, width) = (picture.settings.height as usize, picture.settings.width as usize);
        let cond = [1, 3, height, width];
        let scales = [batch.rows(), self.outputs.len()];
        let more = [(COND, cond.as_slice()), (SCALE, scales.as_slice())];
        let mut memory = Memory::new(&self.session, takes, batch, &more, &[])?;
        let mut residuals = Vec::with_capacity(self.outputs.len());
        for (port, (channels, level)) in self.outputs.iter().zip(self.config.residuals()) {
            let side = |cells: usize| if spread { cells.div_ceil(1 << level) } else { 1 };
            let shape = [batch.rows(), channels, side(rows), side(columns)];
            let mut residual = self.session.shared(port.dtype, &shape)?;
            self.session.write_to(&mut memory.bound, &port.name, &mut residual)?;
            residuals.push(residual);
        }
        *memories += 1;
        if let Some(before) = &mut self.before {
            before.forget();
        }
        Ok(NetMemory { memory, number: *memories, residuals, spread, control: None })
    }

    /// Writes the picture and the scales, where others are written.
    fn write_control(&self, memory: &mut NetMemory, run: Run<'_>) {
        let Run { batch, index, scale, guess_mode, .. } = run;
        let (Some(control), first) = (&batch.first.control, memory.memory.more()) else { return };
        let is_current = |(written, of): &(Arc<Control>, usize)| {
            Arc::ptr_eq(written, control) && *of == batch.first_copy()
        };
        if memory.control.as_ref().is_some_and(is_current) {
            return;
        }
        let (bound, count) = (&mut memory.memory.bound, self.outputs.len());
        bound.write(first, 0, &control.nets[index].planes);
        let shallow = guess_mode && !self.pools();
        let own = (0..count).map(|place| match shallow {
            true => scale * guess_share(place, count),
            false => scale,
        });
        let own: Vec<_> = own.collect();
        let none = vec![0.0; count];
        for Part { picture, rows, copies, .. } in batch.parts() {
            for (row, copy) in rows.zip(copies) {
                // What to keep away from is not steered in guess mode.
                let counts = !(guess_mode && picture.conditioning.copies == 2 && copy == 0);
                bound.write(first + 1, row * count, if counts { &own } else { &none });
            }
        }
        memory.control = Some((Arc::clone(control), batch.first_copy()));
    }
}

/// In guess mode, what of a residual counts: from a tenth of the first to all of the middle's, each
/// by the same factor more than the one before.
fn guess_share(place: usize, count: usize) -> f32 {
    let exponent = place as f64 / (count.max(2) - 1) as f64 - 1.0;
    10_f64.powf(exponent) as f32
}

/// What is wrong with the graph's sample, picture and scales.
fn fault(graph: &Ports<'_>, channels: usize, count: usize) -> Option<String> {
    let [sample, cond, scale] = [SAMPLE, COND, SCALE].map(|name| graph.input(name));
    let (sample, cond, scale) = (sample?, cond?, scale?);
    let is = |dim: Option<&Option<usize>>, length| {
        dim.is_some_and(|dim| dim.is_none_or(|own| own == length))
    };
    let wrong = |port, form: String| Some(format!("input {port} must be {form}"));
    match (sample.dims.as_slice(), cond.dims.as_slice(), scale.dims.as_slice()) {
        ([_, own, _, _], ..) if !is(Some(own), channels) => {
            wrong(sample, format!("[B,{channels},h,w]"))
        }
        ([_, _, None, None], [one, three, None, None], _)
            if is(Some(one), 1) && is(Some(three), 3) =>
        {
            let fits = scale.rank() == 2 && is(scale.dims.get(1), count);
            if fits {
                None
            } else {
                wrong(scale, format!("[B,{count}], a scale for each residual"))
            }
        }
        ([_, _, None, None], ..) => wrong(cond, "[1,3,H,W], its rows and columns open".to_owned()),
        _ => wrong(sample, format!("[B,{channels},h,w], its rows and columns open")),
    }
}

/// What of a ControlNet's residuals isn't as the denoiser takes it.
fn unfit<'a>(kind: &str, pairs: impl Iterator<Item = (&'a Port, &'a Port)>) -> Option<String> {
    for (own, taken) in pairs {
        let channels = |port: &Port| port.dims.get(1).copied().flatten();
        let differ = channels(own).zip(channels(taken)).is_some_and(|(a, b)| a != b);
        if own.dtype != taken.dtype || own.rank() != 4 || differ {
            return Some(format!(
                "{kind} {own} doesn't fit the denoiser's input {taken}; export both together"
            ));
        }
    }
    None
}

/// The names of as many residuals as a ControlNet gives them.
fn given(count: usize) -> impl Iterator<Item = String> {
    (0..count.saturating_sub(1)).map(|index| format!("{DOWN}{index}")).chain([MID.to_owned()])
}

/// What a ControlNet gives, and adds to, has the types that the denoiser takes at `inputs`, as both
/// are in one memory.
fn casts(inputs: &[Port]) -> Vec<Cast> {
    let cast = |name, port: &Port| Cast { name, to: port.dtype };
    let given = given(inputs.len()).zip(inputs).map(|(name, port)| cast(name, port));
    given.chain(inputs.iter().map(|port| cast(port.name.clone(), port))).collect()
}

#[cfg(test)]
mod tests {
    use super::guess_share;

    #[test]
    fn in_guess_mode_residuals_count_from_a_tenth_to_all() {
        assert!((guess_share(0, 13) - 0.1).abs() < 1e-7);
        assert!((guess_share(12, 13) - 1.0).abs() < 1e-7);
    }
}
