//! A picture put aside and gone on with.
//!
//! The noise of the steps that were taken is drawn again: that takes a moment, and generators need no
//! form of their own in which they are kept.

use hearth_media::Tensor;

use super::run::PictureRun;
use crate::model::{Error, Snapshot};
use crate::schedulers;

const LATENTS: &str = "latents";
const START: &str = "start";
const SLOPE: &str = "slope";

fn history(back: usize) -> String {
    format!("history.{back}")
}

/// What the picture has come to.
pub(super) fn take(run: &PictureRun) -> Snapshot {
    let remembered = run.scheduler.snapshot();
    let own = [(LATENTS, &run.latents), (START, &remembered.start), (SLOPE, &remembered.slope)];
    let own = own.into_iter().map(|(name, values)| (name.to_owned(), values));
    let past = remembered.history.iter().enumerate();
    let lists = own.chain(past.map(|(back, values)| (history(back), values)));
    Snapshot {
        seed: run.seed,
        step_index: run.call - run.calls.start,
        tensors: lists.map(|(name, values)| (name, Tensor::list(values))).collect(),
    }
}

/// Brings a picture that was just started to where the snapshot was taken.
///
/// # Errors
/// [`Error::Snapshot`].
pub(super) fn put_back(run: &mut PictureRun, snapshot: &Snapshot) -> Result<(), Error> {
    let list = |name: &str| snapshot.tensors.get(name).and_then(Tensor::values);
    let (latents, start, slope) = (list(LATENTS), list(START), list(SLOPE));
    let (Some(latents), Some(start), Some(slope)) = (latents, start, slope) else {
        return Err(Error::Snapshot(format!("{LATENTS}, {START} or {SLOPE} aren't in it")));
    };
    let length = run.latents.len();
    if latents.len() != length {
        let message = format!("its latents are {} numbers, this run has {length}", latents.len());
        return Err(Error::Snapshot(message));
    }
    let (taken, steps) = (snapshot.step_index, run.calls.len());
    if taken > steps {
        let message = format!("it has taken {taken} steps, this run has {steps}");
        return Err(Error::Snapshot(message));
    }
    let history = (0..).map_while(|back| list(&history(back))).collect();
    let remembered = schedulers::Snapshot { taken, history, start, slope };
    let restored = run.scheduler.restore(remembered, length);
    restored.map_err(|error| Error::Snapshot(error.to_string()))?;
    run.latents = latents;
    for _ in 0..taken {
        run.draw();
        run.call += 1;
    }
    Ok(())
}
