//! What one run asks of its scheduler, and where a run that starts from an image begins.

use super::error::Error;
use super::schedule::Schedule;

/// As many steps as the common schedules have; bounds a caller's list before anything is made of
/// it.
const MAX_LIST: usize = 1000;

/// What one run asks of its scheduler. Make it as `Run { steps: 20, ..Run::default() }`.
///
/// It holds what diffusers' pipelines give to `set_timesteps` and, at each step, to `step`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Number of steps, 1 to the schedule's `num_train_timesteps`. Counts for nothing where
    /// `timesteps` or `sigmas` are given.
    pub steps: usize,
    /// The timesteps to visit, falling, for classes that take such a list.
    pub timesteps: Option<Vec<f64>>,
    /// The noise levels to visit, falling, for classes that take such a list. Whether the level
    /// that the run ends at is in it depends on the class, as in diffusers: Euler's list has it
    /// (usually 0), flow matching's hasn't.
    pub sigmas: Option<Vec<f64>>,
    /// The shift μ of classes with `use_dynamic_shifting`; see
    /// [`DynamicShift`](super::DynamicShift).
    pub mu: Option<f64>,
    /// η of DDIM and TCD, 0 (deterministic) to 1 (as noisy as DDPM). The other classes have no
    /// use for it.
    pub eta: f32,
    /// LCM's and TCD's number of steps in the distilled schedule, instead of the config's.
    pub original_inference_steps: Option<usize>,
    /// The share of LCM's or TCD's schedule to run over, above 0 to 1: what their own
    /// image-to-image pipeline gives. Other pipelines leave it at 1 and start at
    /// [`first_call`](Self::first_call).
    pub strength: f64,
}

impl Default for Run {
    /// Diffusers' defaults for Stable Diffusion: 50 steps, η = 0.
    fn default() -> Self {
        Self {
            steps: 50,
            timesteps: None,
            sigmas: None,
            mu: None,
            eta: 0.0,
            original_inference_steps: None,
            strength: 1.0,
        }
    }
}

impl Run {
    /// The call that an image-to-image run of `strength` (0 to 1) begins with: an index into
    /// [`Schedule::timesteps`], its length where no step is left.
    ///
    /// As diffusers' `get_timesteps`: of n steps the last ⌊n · strength⌋ are taken.
    pub fn first_call(&self, schedule: &Schedule, strength: f64) -> usize {
        let calls = schedule.timesteps().len();
        // a given list's steps are counted as calls, as diffusers counts them
        let steps = if self.has_list() { calls } else { self.steps };
        let taken = ((steps as f64 * strength) as usize).min(steps);
        ((steps - taken) * schedule.order()).min(calls)
    }

    /// The fields that are given and that not every class takes.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        [
            ("timesteps", self.timesteps.is_some()),
            ("sigmas", self.sigmas.is_some()),
            ("mu", self.mu.is_some()),
            ("original_inference_steps", self.original_inference_steps.is_some()),
            ("strength", self.strength != 1.0),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
    }

    /// Checks the number of steps where the class's schedule doesn't bound it itself.
    pub(super) fn check_steps(&self, train_timesteps: usize) -> Result<(), Error> {
        if (1..=train_timesteps).contains(&self.steps) {
            return Ok(());
        }
        let expected = format!("a whole number from 1 to {train_timesteps}, num_train_timesteps");
        Err(Error::invalid("num_inference_steps", self.steps, expected))
    }

    pub(super) fn has_list(&self) -> bool {
        self.timesteps.is_some() || self.sigmas.is_some()
    }

    /// Checks what doesn't depend on the class; the schedule checks the number of steps.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.eta) {
            return Err(Error::invalid("eta", self.eta, "a number from 0 to 1"));
        }
        if !(self.strength > 0.0 && self.strength <= 1.0) {
            return Err(Error::invalid("strength", self.strength, "a number above 0, up to 1"));
        }
        if let Some(mu) = self.mu.filter(|mu| !mu.is_finite()) {
            return Err(Error::invalid("mu", mu, "a finite number"));
        }
        if self.timesteps.is_some() && self.sigmas.is_some() {
            return Err(Error::invalid("sigmas", "given beside timesteps", "one of the two"));
        }
        check_list("timesteps", self.timesteps.as_deref())?;
        check_list("sigmas", self.sigmas.as_deref())
    }
}

fn check_list(key: &'static str, list: Option<&[f64]>) -> Result<(), Error> {
    let Some(list) = list else { return Ok(()) };
    if list.is_empty() || list.len() > MAX_LIST {
        let expected = format!("1 to {MAX_LIST} numbers");
        return Err(Error::invalid(key, format!("a list of {}", list.len()), expected));
    }
    if let Some(bad) = list.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
        return Err(Error::invalid(key, format!("a list with {bad} in it"), "numbers from 0 up"));
    }
    match list.windows(2).find(|pair| pair[0] <= pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let found = format!("a list with {} before {}", pair[0], pair[1]);
            Err(Error::invalid(key, found, "numbers that fall, the noisiest first"))
        }
    }
}
