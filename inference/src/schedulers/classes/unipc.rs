//! UniPC: a predictor and a corrector of one form, orders 1 to 3 (Zhao et al. 2023, arXiv
//! 2302.04867). The corrector takes each step again once the model was asked at its end.

use crate::schedulers::about::About;
use crate::schedulers::class::{Assembly, Class};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::keys;
use crate::schedulers::levels::{Family, Level, SolverLevels};
use crate::schedulers::rules::{Base, Conversion, MAX_ORDER, Memory, Rule, Step, Target, Weights};
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

pub(crate) const CLASS: Class = Class {
    about: About {
        name: "UniPCMultistepScheduler",
        keys: &[
            keys::TRAINING,
            &["solver_order", "prediction_type"],
            keys::THRESHOLDING,
            &["predict_x0", "solver_type", "lower_order_final", "disable_corrector", "solver_p"],
            keys::CURVES,
            keys::FLOW,
            keys::SPACING,
            &["final_sigmas_type", "rescale_betas_zero_snr"],
            keys::SHIFTING,
            &["sigma_min", "sigma_max", "shift_terminal"],
        ],
        takes: &["sigmas", "mu"],
        ..About::USUAL
    },
    build,
};

#[derive(Debug)]
struct UniPc {
    levels: Vec<Level>,
    base: Base,
    conversion: Conversion,
    most: usize,
    lower_final: bool,
    /// Steps whose end isn't corrected.
    uncorrected: Vec<usize>,
}

fn build(fields: &Fields<'_>, run: &Run) -> Result<Assembly, Error> {
    refuse_nonsense(fields)?;
    let clean = fields.bool("predict_x0", true)?;
    let solvers =
        [("bh1", true), ("bh2", false), ("midpoint", false), ("heun", false), ("logrho", false)];
    let SolverLevels { schedule, levels } = SolverLevels::read(Family::UniPc, fields, run)?;
    let target = if clean { Target::Clean } else { Target::Noise };
    let rule = UniPc {
        levels,
        base: Base { linear: fields.choice("solver_type", "bh2", &solvers)?, clean },
        conversion: Conversion::read_thresholding_clean(fields, target)?,
        most: fields.integer("solver_order", 2, 1..=MAX_ORDER)?,
        lower_final: fields.bool("lower_order_final", true)?,
        uncorrected: uncorrected(fields)?,
    };
    for step in 0..schedule.timesteps.len() {
        let finite = rule.predictor(step, step + 1).is_finite()
            && (!rule.corrects(step) || rule.corrector(step, step).is_finite());
        if !finite {
            return Err(fields.not_finite(step));
        }
    }
    Ok((Schedule { is_flow: rule.conversion.is_flow(), ..schedule }, Box::new(rule)))
}

impl UniPc {
    /// The order of the step from `step`, with so many predictions `known` as of its own.
    fn order_at(&self, step: usize, known: usize) -> usize {
        let left = if self.lower_final { self.levels.len() - 1 - step } else { self.most };
        self.most.min(left).min(known)
    }

    fn corrects(&self, step: usize) -> bool {
        step > 0 && !self.uncorrected.contains(&(step - 1))
    }

    /// The step on from `step`.
    fn predictor(&self, step: usize, known: usize) -> Weights {
        let past = |back: usize| &self.levels[step.saturating_sub(back)];
        Weights::predictor(self.base, past, &self.levels[step + 1], self.order_at(step, known))
    }

    /// The step that led to `step`, again, with what was known when it was taken.
    fn corrector(&self, step: usize, known: usize) -> Weights {
        let past = |back: usize| &self.levels[(step - 1).saturating_sub(back)];
        let order = self.order_at(step - 1, known);
        Weights::corrector(self.base, past, &self.levels[step], order)
    }
}

impl Rule for UniPc {
    fn step(&self, step: Step<'_>, memory: &mut Memory) {
        let Memory { state, scratch } = memory;
        let prediction = &mut scratch.values;
        prediction.resize(step.sample.len(), 0.0);
        let level = &self.levels[step.call];
        self.conversion.convert(level, &step, prediction, &mut scratch.magnitudes);
        let known = state.history.len();
        if known > 0 && self.corrects(step.call) {
            state.rewind(step.sample);
            let weights = self.corrector(step.call, known);
            weights.apply(state.newest(), Some(prediction), step.sample);
        }
        std::mem::swap(state.remember(self.most, step.sample.len()), prediction);
        state.begin(step.sample);
        let weights = self.predictor(step.call, state.history.len());
        weights.apply(state.newest(), None, step.sample);
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
