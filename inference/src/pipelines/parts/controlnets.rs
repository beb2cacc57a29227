//! A folder's ControlNets, run one after another before the denoiser.
//!
//! Each adds what it finds to the residuals of the one before, so that nothing is summed outside
//! the graphs and nothing is copied between them. One that doesn't count at a step isn't run.

use std::time::Duration;

use super::configs::bad;
use super::controlnet::ControlNet;
use super::residuals::ZEROS;
use crate::folder::Folder;
use crate::pipelines::Error;
use crate::pipelines::state::State;
use crate::session::{Device, Interrupt, Port, Runtime, Session, Shared};

/// The first one's folder; the others are numbered from 1, as diffusers saves them.
const PART: &str = "controlnet";
/// Most of one folder.
const MOST: usize = 8;

/// The ControlNets of a folder, in order.
#[derive(Default)]
pub(in crate::pipelines) struct ControlNets {
    nets: Vec<ControlNet>,
    /// The number of the memory that was made last.
    memories: u64,
}

impl ControlNets {
    /// The folder's parts that are ControlNets; none for a family that takes none.
    ///
    /// # Errors
    /// [`Error::Model`] where one is missing among them.
    pub(in crate::pipelines) fn parts_of(folder: &Folder) -> Result<Vec<String>, Error> {
        if !folder.family().takes_controlnets() {
            return Ok(Vec::new());
        }
        let is_there = |part: &String| folder.root().join(part).is_dir();
        let parts: Vec<_> = (0..MOST).map(part).take_while(is_there).collect();
        match (parts.len()..=MOST).map(part).find(is_there) {
            None => Ok(parts),
            Some(stranger) => {
                let known = format!("ControlNets are {PART}, {PART}_1, … {PART}_{}", MOST - 1);
                let reason = match parts.len() {
                    MOST => format!("there are {MOST} before it; {known}"),
                    count => format!("there is no {}; {known}", part(count)),
                };
                Err(bad(&stranger, reason))
            }
        }
    }

    /// Loads them for latents of `channels` and a denoiser that takes residuals at `inputs`.
    pub(super) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        channels: usize,
        inputs: Option<&[Port]>,
    ) -> Result<Self, Error> {
        let parts = Self::parts_of(folder)?;
        let mut nets: Vec<ControlNet> = Vec::with_capacity(parts.len());
        for part in &parts {
            let Some(inputs) = inputs else {
                let reason = "the denoiser's graph takes no residuals \
                              (down_block_additional_residuals.0 and so on); export both together";
                return Err(bad(part, reason.to_owned()));
            };
            let first = nets.is_empty();
            nets.push(ControlNet::load(runtime, folder, device, part, channels, inputs, first)?);
        }
        Ok(Self { nets, memories: ZEROS })
    }

    /// Their inputs of that name.
    pub(super) fn inputs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Port> {
        self.nets.iter().filter_map(move |net| net.input(name))
    }

    pub(super) fn graphs(&mut self) -> Vec<&mut Session> {
        self.nets.iter_mut().map(ControlNet::graph).collect()
    }

    pub(super) fn busy(&self) -> Duration {
        self.nets.iter().map(ControlNet::busy).sum()
    }

    /// Runs those that count at the state's next step. What they add in all, and the number of the
    /// memory that it lies in; `None` if none counts.
    pub(super) fn run(
        &mut self,
        state: &State,
        scaled: &mut [f32],
        interrupt: &Interrupt,
    ) -> Result<Option<(u64, &[Shared])>, Error> {
        let Some(control) = &state.control else { return Ok(None) };
        let global_pool = self.nets.first().is_some_and(ControlNet::pools);
        let guess_mode = control.guess_mode || (global_pool && control.pooled_guesses);
        let calls = state.scheduler.schedule().timesteps().len() - state.calls.start;
        let mut last: Option<usize> = None;
        // One value for all places, until one of them has values for each.
        let mut spread = false;
        for (index, steering) in control.nets.iter().enumerate() {
            let scale = steering.scale_at(state.step_index(), calls);
            if scale == 0.0 {
                continue;
            }
            let Some((before, [net, ..])) = self.nets.split_at_mut_checked(index) else { break };
            let given = last.and_then(|last| before.get(last)).and_then(ControlNet::residuals);
            spread |= !net.pools();
            let run = super::controlnet::Run { state, index, scale, guess_mode, given, spread };
            net.run(run, scaled, &mut self.memories, interrupt)?;
            last = Some(index);
        }
        Ok(last.and_then(|last| self.nets.get(last)).and_then(ControlNet::residuals))
    }
}

/// The name of the ControlNet of that index.
fn part(index: usize) -> String {
    match index {
        0 => PART.to_owned(),
        index => format!("{PART}_{index}"),
    }
}
