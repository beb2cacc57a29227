//! UniPC: a predictor and a corrector of one form, orders 1 to 3 (Zhao et al. 2023, arXiv
//! 2302.04867). The corrector takes each step again once the model was asked at its end.

use super::betas::{Defaults, Training};
use super::conversion::{Conversion, Target};
use super::error::Error;
use super::fields::Fields;
use super::level::Level;
use super::multistep::not_finite;
use super::names::About;
use super::solver_schedule::{Family, SolverSchedule, check_mu};
use super::unipc_weights::{Base, MAX_ORDER, Weights};
use super::{Run, Scheduler, mix};

pub(super) const ABOUT: About = About {
    name: "UniPCMultistepScheduler",
    keys: &[
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "solver_order",
        "prediction_type",
        "thresholding",
        "dynamic_thresholding_ratio",
        "sample_max_value",
        "predict_x0",
        "solver_type",
        "lower_order_final",
        "disable_corrector",
        "solver_p",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_flow_sigmas",
        "flow_shift",
        "timestep_spacing",
        "steps_offset",
        "final_sigmas_type",
        "rescale_betas_zero_snr",
        "use_dynamic_shifting",
        "time_shift_type",
        "sigma_min",
        "sigma_max",
        "shift_terminal",
    ],
    takes: &["sigmas", "mu"],
};

pub(super) struct UniPc {
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    levels: Vec<Level>,
    base: Base,
    conversion: Conversion,
    most: usize,
    lower_final: bool,
    /// Steps whose end isn't corrected.
    uncorrected: Vec<usize>,
    /// Predictions, newest first; as many are in use as steps were taken.
    predictions: [Vec<f32>; MAX_ORDER],
    taken: usize,
    /// The newest step's prediction, order and start, for the corrector.
    newest: Vec<f32>,
    last_order: usize,
    start: Vec<f32>,
}

impl UniPc {
    pub(super) fn new(fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let training = Training::read(fields, &Defaults::PLAIN)?.keep_sigmas_finite();
        check_mu(Family::UniPc, fields, run)?;
        refuse_nonsense(fields)?;
        let clean = fields.bool("predict_x0", true)?;
        let solvers = [
            ("bh1", true),
            ("bh2", false),
            ("midpoint", false),
            ("heun", false),
            ("logrho", false),
        ];
        let schedule = SolverSchedule::read(Family::UniPc, fields, &training, run)?;
        let target = if clean { Target::Clean } else { Target::Noise };
        let scheduler = Self {
            levels: Level::all(schedule.form, &schedule.sigmas),
            timesteps: schedule.timesteps,
            sigmas: schedule.sigmas,
            base: Base { linear: fields.choice("solver_type", "bh2", &solvers)?, clean },
            conversion: Conversion::read_thresholding_clean(fields, target)?,
            most: fields.integer("solver_order", 2, 1..=MAX_ORDER)?,
            lower_final: fields.bool("lower_order_final", true)?,
            uncorrected: uncorrected(fields)?,
            predictions: Default::default(),
            taken: 0,
            newest: Vec::new(),
            last_order: 0,
            start: Vec::new(),
        };
        for step in 0..scheduler.timesteps.len() {
            let order = scheduler.order_at(step, step);
            let finite = scheduler.predictor(step, order).is_finite()
                && (step == 0 || {
                    let order = scheduler.order_at(step - 1, step - 1);
                    !scheduler.corrects(step) || scheduler.corrector(step, order).is_finite()
                });
            if !finite {
                return Err(not_finite(fields, step));
            }
        }
        Ok(scheduler)
    }

    /// The order of the step from `step`, after `taken` ones.
    fn order_at(&self, step: usize, taken: usize) -> usize {
        let left = if self.lower_final { self.timesteps.len() - step } else { self.most };
        self.most.min(left).min(taken + 1)
    }

    fn corrects(&self, step: usize) -> bool {
        step > 0 && !self.uncorrected.contains(&(step - 1))
    }

    /// The step on from `step`.
    fn predictor(&self, step: usize, order: usize) -> Weights {
        let past = |back: usize| &self.levels[step.saturating_sub(back)];
        Weights::predictor(self.base, past, &self.levels[step + 1], order)
    }

    /// The step that led to `step`, again.
    fn corrector(&self, step: usize, order: usize) -> Weights {
        let past = |back: usize| &self.levels[(step - 1).saturating_sub(back)];
        Weights::corrector(self.base, past, &self.levels[step], order)
    }
}

impl Scheduler for UniPc {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    fn is_flow(&self) -> bool {
        self.conversion.is_flow()
    }

    fn add_noise(&self, step: usize, original: &[f32], noise: &[f32], noisy: &mut [f32]) {
        let Level { alpha, sigma, .. } = self.levels[step];
        mix(alpha, original, sigma, noise, noisy);
    }

    fn step(
        &mut self,
        step: usize,
        model_output: &[f32],
        sample: &mut [f32],
        _noise: Option<&[f32]>,
    ) {
        if self.taken == 0 {
            let buffers = self.predictions.iter_mut();
            buffers.chain([&mut self.newest]).for_each(|buffer| buffer.resize(sample.len(), 0.0));
        }
        self.conversion.convert(&self.levels[step], model_output, sample, &mut self.newest);
        if self.taken > 0 && self.corrects(step) {
            let weights = self.corrector(step, self.last_order);
            sample.copy_from_slice(&self.start);
            weights.apply(&self.predictions, Some(&self.newest), sample);
        }
        self.predictions.rotate_right(1);
        std::mem::swap(&mut self.predictions[0], &mut self.newest);
        self.start.clear();
        self.start.extend_from_slice(sample);
        let order = self.order_at(step, self.taken);
        self.predictor(step, order).apply(&self.predictions, None, sample);
        self.last_order = order;
        self.taken += 1;
    }
}

fn refuse_nonsense(fields: &Fields<'_>) -> Result<(), Error> {
    if let Some(value) = fields.given("solver_p") {
        let reason = "a predictor of another class isn't a part of a config; leave it out";
        return Err(fields.rejected("solver_p", value, reason));
    }
    match fields.optional_number("shift_terminal")? {
        Some(end) if !fields.bool("use_flow_sigmas", false)? => {
            let reason = "it goes with use_flow_sigmas only";
            Err(fields.rejected("shift_terminal", end, reason))
        }
        Some(end) if !(0.0..1.0).contains(&end) => {
            Err(Error::invalid("shift_terminal", end, "a number from 0 to below 1, or null"))
        }
        _ => Ok(()),
    }
}

fn uncorrected(fields: &Fields<'_>) -> Result<Vec<usize>, Error> {
    let Some(value) = fields.given("disable_corrector") else { return Ok(Vec::new()) };
    let index = |entry: &serde_json::Value| entry.as_u64().and_then(|x| usize::try_from(x).ok());
    value
        .as_array()
        .and_then(|list| list.iter().map(index).collect())
        .ok_or_else(|| Error::invalid("disable_corrector", value, "a list of step numbers"))
}
