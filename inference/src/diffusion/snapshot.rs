//! What a picture has come to, as named lists of numbers.

use hearth_media::Tensor;

use crate::model::{Error, Snapshot};
use crate::schedulers;

const LATENTS: &str = "latents";
const START: &str = "start";
const SLOPE: &str = "slope";

/// The name of what a rule looks back on.
fn history(back: usize) -> String {
    format!("history.{back}")
}

/// A picture's snapshot, from its latents and what its rule remembers.
pub(super) fn write(seed: u64, latents: &[f32], rule: &schedulers::Snapshot) -> Snapshot {
    let own = [(LATENTS, latents), (START, &rule.start), (SLOPE, &rule.slope)];
    let own = own.into_iter().map(|(name, values)| (name.to_owned(), values));
    let past = rule.history.iter().enumerate();
    let lists = own.chain(past.map(|(back, values)| (history(back), values.as_slice())));
    Snapshot {
        seed,
        step_index: rule.taken,
        tensors: lists.map(|(name, values)| (name, Tensor::list(values))).collect(),
    }
}

/// Latents of `length` numbers and what the rule remembers, from a picture's snapshot.
///
/// # Errors
/// [`Error::Snapshot`].
pub(super) fn read(
    snapshot: &Snapshot,
    length: usize,
) -> Result<(Vec<f32>, schedulers::Snapshot), Error> {
    let list = |name: &str| snapshot.tensors.get(name).and_then(Tensor::values);
    let (latents, start, slope) = (list(LATENTS), list(START), list(SLOPE));
    let (Some(latents), Some(start), Some(slope)) = (latents, start, slope) else {
        return Err(Error::Snapshot(format!("{LATENTS}, {START} or {SLOPE} aren't in it")));
    };
    if latents.len() != length {
        let message = format!("its latents are {} numbers, this run has {length}", latents.len());
        return Err(Error::Snapshot(message));
    }
    let history = (0..).map_while(|back| list(&history(back))).collect();
    Ok((latents, schedulers::Snapshot { taken: snapshot.step_index, history, start, slope }))
}
