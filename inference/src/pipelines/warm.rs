//! A first picture, so that the first request finds everything warm.

use super::{Error, Generation, Pipeline};
use crate::session::{Device, Interrupt};

/// Takes one real step and decodes its result, so that the first request finds everything warm
/// and a broken model shows before it is announced.
///
/// The step is that of a plain scheduler that fits, whatever the folder names: the graphs are the
/// same, every run of it may have one step (PNDM's Runge-Kutta start may not), and a folder whose
/// own scheduler isn't built yet is of use to requests that name another.
///
/// On a GPU the picture has the default size, as kernels are chosen by size there. On the CPU a
/// small one does: it reads every weight as well, in a fraction of the time and memory.
///
/// # Errors
/// As `start`, `step` and `finish`.
pub fn warm_up(pipeline: &mut dyn Pipeline, interrupt: &Interrupt) -> Result<(), Error> {
    let description = pipeline.description();
    if description.tasks.is_empty() {
        // A bare graph says nothing of what to give it.
        return Ok(());
    }
    let small = description.device == Device::Cpu.to_string() && !description.fixed_size;
    let side = |default: u32| match small {
        true => (default / 4).next_multiple_of(description.size_factor).max(description.smallest),
        false => default,
    };
    let own = description.check(&description.plain(None));
    if let Err(invalid) = &own {
        tracing::warn!(%invalid, "a request must name a scheduler: the folder's own can't be used");
    }
    let plain =
        ["euler", "flow_euler"].into_iter().find(|name| description.schedulers.contains(name));
    let request = Generation {
        width: Some(side(description.default_width)),
        height: Some(side(description.default_height)),
        num_inference_steps: Some(1),
        control_image: vec![description.grey(); description.controlnets.len()],
        ..description.plain(plain)
    };
    if own.is_err() && plain.is_none() {
        return Ok(());
    }
    let mut state = pipeline.start(&request, 0, interrupt)?;
    pipeline.step(&mut [&mut state], interrupt)?;
    pipeline.finish(state, interrupt).map(drop)
}
