//! A first item, so that the first request finds everything warm.

use super::{Error, Model, Turn};
use crate::session::Interrupt;

/// Takes one real step of a request of the model's own choice and finishes it, so that the first
/// request finds everything warm and a broken model shows before it is announced. A model that says
/// nothing of what to give it, such as a bare graph, is left as it is.
///
/// # Errors
/// Those of preparing, starting, stepping and finishing the request.
pub fn warm_up(model: &mut dyn Model, interrupt: &Interrupt) -> Result<(), Error> {
    let (Some(preparer), Some(generator)) = (model.preparer(), model.generator()) else {
        return Ok(());
    };
    let Some(prepared) = preparer.prepare_warm_up()? else { return Ok(()) };
    let mut run = generator.start(&prepared, 0, interrupt)?;
    let mut turns = [Turn::new(run.as_mut(), interrupt)];
    generator.step(&mut turns);
    let [Turn { outcome, .. }] = turns;
    outcome?;
    generator.finish(run, interrupt).map(drop)
}
