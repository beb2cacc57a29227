//! One update of DPM-Solver: how far a step goes along the last prediction and its differences
//! (Lu et al. 2022, arXiv 2206.00927 and 2211.01095).
//!
//! Multistep and singlestep rules take the same update between two levels; they differ in which
//! predictions the differences are made of.

use super::conversion::Target;
use crate::noise::Draw;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::levels::Level;

/// Which equation is solved, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// The ODE, by the predicted noise.
    Noise,
    /// The ODE, by the predicted clean sample.
    Clean,
    /// The SDE, by the predicted noise.
    NoiseSde,
    /// The SDE, by the predicted clean sample.
    CleanSde,
}

impl Algorithm {
    /// The values of `algorithm_type`; `deis` is another class's, which means `dpmsolver++` here.
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("dpmsolver++", Self::Clean),
        ("sde-dpmsolver++", Self::CleanSde),
        ("deis", Self::Clean),
        ("dpmsolver", Self::Noise),
        ("sde-dpmsolver", Self::NoiseSde),
    ];

    /// What each of its steps draws.
    pub(crate) fn draw(self) -> Option<Draw> {
        match self {
            Self::NoiseSde | Self::CleanSde => Some(Draw::Normal),
            Self::Noise | Self::Clean => None,
        }
    }

    /// What its rule steps with.
    pub(crate) fn target(self) -> Target {
        match self {
            Self::Noise | Self::NoiseSde => Target::Noise,
            Self::Clean | Self::CleanSde => Target::Clean,
        }
    }
}

/// How the second-order update weighs its difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Solver {
    Midpoint,
    Heun,
}

impl Solver {
    /// Reads `solver_type`; for the names of other classes' solvers diffusers takes midpoint.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let choices = [
            ("midpoint", Self::Midpoint),
            ("heun", Self::Heun),
            ("logrho", Self::Midpoint),
            ("bh1", Self::Midpoint),
            ("bh2", Self::Midpoint),
        ];
        fields.choice("solver_type", "midpoint", &choices)
    }
}

/// x' = keep·x + along·D₀ + bend·D₁ + twist·D₂ + noise·z, with D₀ a prediction, D₁ and D₂ its
/// first and second differences, and z unit noise.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Update {
    pub(crate) keep: f32,
    pub(crate) along: f32,
    pub(crate) bend: f32,
    pub(crate) twist: f32,
    pub(crate) noise: f32,
}

impl Update {
    /// The update of `order` 1 to 3 from one level to another. Of the third order on `bend` is
    /// Heun's, whatever the solver.
    pub(crate) fn new(
        algorithm: Algorithm,
        solver: Solver,
        order: usize,
        from: &Level,
        to: &Level,
    ) -> Self {
        let h = to.lambda - from.lambda;
        let mut update = match algorithm {
            Algorithm::Clean => clean(h, from, to),
            Algorithm::Noise => noise(h, from, to),
            Algorithm::CleanSde => clean_sde(h, from, to),
            Algorithm::NoiseSde => noise_sde(h, from, to),
        };
        // at the run's end h is infinite, and what isn't used would be NaN
        if order < 3 {
            update.twist = 0.0;
        }
        match (order, solver) {
            (1, _) => update.bend = 0.0,
            (2, Solver::Midpoint) => update.bend = 0.5 * update.along,
            _ => {}
        }
        update
    }

    pub(crate) fn is_finite(&self) -> bool {
        [self.keep, self.along, self.bend, self.twist, self.noise].iter().all(|x| x.is_finite())
    }
}

fn clean(h: f32, from: &Level, to: &Level) -> Update {
    let growth = (-h).exp() - 1.0;
    Update {
        keep: to.sigma / from.sigma,
        along: -(to.alpha * growth),
        bend: to.alpha * (growth / h + 1.0),
        twist: -(to.alpha * ((growth + h) / (h * h) - 0.5)),
        noise: 0.0,
    }
}

fn noise(h: f32, from: &Level, to: &Level) -> Update {
    let growth = h.exp() - 1.0;
    Update {
        keep: to.alpha / from.alpha,
        along: -(to.sigma * growth),
        bend: -(to.sigma * (growth / h - 1.0)),
        twist: -(to.sigma * ((growth - h) / (h * h) - 0.5)),
        noise: 0.0,
    }
}

fn clean_sde(h: f32, from: &Level, to: &Level) -> Update {
    let decay = 1.0 - (-2.0 * h).exp();
    let double = 2.0 * h;
    Update {
        keep: to.sigma / from.sigma * (-h).exp(),
        along: to.alpha * decay,
        bend: to.alpha * (decay / -double + 1.0),
        twist: to.alpha * ((decay - double) / (double * double) - 0.5),
        noise: to.sigma * decay.sqrt(),
    }
}

fn noise_sde(h: f32, from: &Level, to: &Level) -> Update {
    let growth = h.exp() - 1.0;
    Update {
        keep: to.alpha / from.alpha,
        along: -2.0 * (to.sigma * growth),
        bend: -2.0 * (to.sigma * (growth / h - 1.0)),
        twist: 0.0,
        noise: to.sigma * ((2.0 * h).exp() - 1.0).sqrt(),
    }
}

/// Whether the run ends at σ = 0, which rules that step with the noise can't reach.
pub(crate) fn ends_at_zero(fields: &Fields<'_>, algorithm: Algorithm) -> Result<bool, Error> {
    let choices = [("zero", true), ("sigma_min", false)];
    let zero = fields.choice("final_sigmas_type", "zero", &choices)?;
    // diffusers looks at the name, before it takes dpmsolver++ for another class's
    let foreign = fields.given("algorithm_type").is_some_and(|name| name == "deis");
    if zero && (algorithm.target() == Target::Noise || foreign) {
        let reason = "only dpmsolver++ and sde-dpmsolver++ can end at zero; take sigma_min, or \
                      one of these";
        return Err(fields.rejected("final_sigmas_type", "zero", reason));
    }
    Ok(zero)
}
