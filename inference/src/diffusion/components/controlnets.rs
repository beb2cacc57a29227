//! A folder's ControlNets, run one after another before the denoiser.
//!
//! Each adds what it finds to the residuals of the one before, so that nothing is summed outside
//! the graphs and nothing is copied between them. One that doesn't count at a step isn't run.

use std::time::Duration;

use super::batch::Batch;
use super::configs::bad;
use super::controlnet::{ControlNet, ControlNetSpec};
use super::residuals::ZEROS;
use crate::blueprint::{Reader, Sessions};
use crate::model::{Error, Run as _};
use crate::session::{Interrupt, Port, Session, SharedTensor};

/// The first one's folder; the others are numbered from 1, as diffusers saves them.
const FIRST: &str = "controlnet";
/// Most of one folder.
const MOST: usize = 8;

/// The ControlNets of a folder, in order.
pub(super) struct ControlNets {
    nets: Vec<ControlNet>,
    /// The number of the memory that was made last.
    memories: u64,
}

/// The names of the folder's ControlNets.
///
/// # Errors
/// [`Error::Model`] where one is missing among them.
pub(in crate::diffusion) fn names(reader: &Reader<'_>) -> Result<Vec<String>, Error> {
    let is_there = |name: &String| reader.folder().root().join(name).is_dir();
    let names: Vec<_> = (0..MOST).map(name).take_while(is_there).collect();
    match (names.len()..=MOST).map(name).find(is_there) {
        None => Ok(names),
        Some(stranger) => {
            let known = format!("ControlNets are {FIRST}, {FIRST}_1, … {FIRST}_{}", MOST - 1);
            let reason = match names.len() {
                MOST => format!("there are {MOST} before it; {known}"),
                count => format!("there is no {}; {known}", name(count)),
            };
            Err(bad(&stranger, reason))
        }
    }
}

/// Reads those of these names, for latents of `channels` and a denoiser that takes residuals at
/// `inputs`.
pub(super) fn read(
    reader: &Reader<'_>,
    names: &[String],
    channels: usize,
    inputs: Option<&[Port]>,
) -> Result<Vec<ControlNetSpec>, Error> {
    let mut nets = Vec::with_capacity(names.len());
    for name in names {
        let Some(inputs) = inputs else {
            let reason = "the denoiser's graph takes no residuals \
                          (down_block_additional_residuals.0 and so on); export both together";
            return Err(bad(name, reason.to_owned()));
        };
        let first = nets.is_empty();
        nets.push(ControlNetSpec::read(reader, name, channels, inputs, first)?);
    }
    Ok(nets)
}

impl ControlNets {
    /// They with their sessions.
    pub(super) fn open(nets: Vec<ControlNetSpec>, sessions: &mut Sessions) -> Result<Self, Error> {
        let nets = nets.into_iter().map(|net| net.open(sessions)).collect::<Result<_, _>>()?;
        Ok(Self { nets, memories: ZEROS })
    }

    pub(super) fn graphs(&mut self) -> Vec<&mut Session> {
        self.nets.iter_mut().map(ControlNet::graph).collect()
    }

    pub(super) fn busy(&self) -> Duration {
        self.nets.iter().map(ControlNet::busy).sum()
    }

    /// The first that gave anything but numbers when it was run last; for memory of the processor's.
    pub(super) fn overflowed(&mut self) -> Option<String> {
        let net = self.nets.iter_mut().find(|net| !net.gave_numbers())?;
        Some(net.graph().name().to_owned())
    }

    /// Runs those that count at the next step of the pictures, which one control steers. What they add
    /// in all, and the number of the memory that it lies in; `None` if none counts.
    pub(super) fn run(
        &mut self,
        batch: Batch<'_>,
        scaled: &mut [f32],
        interrupt: &Interrupt,
    ) -> Result<Option<(u64, &[SharedTensor])>, Error> {
        let picture = batch.first;
        let Some(control) = &picture.control else { return Ok(None) };
        let global_pool = self.nets.first().is_some_and(ControlNet::pools);
        let guess_mode = control.guess_mode || (global_pool && control.pooled_guesses);
        let calls = picture.scheduler.schedule().timesteps().len() - picture.calls.start;
        let mut last: Option<usize> = None;
        // One value for all places, until one of them has values for each.
        let mut spread = false;
        for (index, steering) in control.nets.iter().enumerate() {
            let scale = steering.scale_at(picture.step_index(), calls);
            if scale == 0.0 {
                continue;
            }
            let Some((before, [net, ..])) = self.nets.split_at_mut_checked(index) else { break };
            let given = last.and_then(|last| before.get(last)).and_then(ControlNet::residuals);
            spread |= !net.pools();
            let run = super::controlnet::Run { batch, index, scale, guess_mode, given, spread };
            net.run(run, scaled, &mut self.memories, interrupt)?;
            last = Some(index);
        }
        Ok(last.and_then(|last| self.nets.get(last)).and_then(ControlNet::residuals))
    }
}

/// The name of the ControlNet of that index.
fn name(index: usize) -> String {
    match index {
        0 => FIRST.to_owned(),
        index => format!("{FIRST}_{index}"),
    }
}
