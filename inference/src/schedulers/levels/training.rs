//! The noise schedule that a model was trained with.
//!
//! In single precision and in torch's order of operations, on purpose: near t = 0 the quantity
//! 1 − ᾱ keeps only a few digits of a single, so an exacter computation gives other sigmas than
//! the ones that diffusers steps with.

use super::linspace::linspace_f32;
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;

/// Betas of the cosine schedule stay below this (Nichol & Dhariwal 2021, section 3.2).
const MAX_BETA: f64 = 0.999;

/// Of a smaller one nothing is left in single precision, and a level of no noise has no logarithm.
const LEAST_BETA: f64 = 1e-7;

/// Stands for ᾱ = 0 where a sigma has to stay finite: the least positive half-precision number.
const NEARLY_ZERO: f32 = 1.0 / 16_777_216.0;

/// The schedule over the training timesteps 0 to `len() - 1`.
pub(crate) struct Training {
    /// ᾱ per timestep: the product of 1 − β up to and with it.
    pub(crate) alphas_cumprod: Vec<f32>,
    zero_snr: bool,
    schedule: BetaSchedule,
}

/// How β runs over the training timesteps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BetaSchedule {
    Linear,
    /// Linear in √β.
    ScaledLinear,
    /// From a cosine ᾱ (Nichol & Dhariwal 2021, equation 17).
    Cosine,
    /// From a Laplace-distributed log SNR (Hang et al. 2024).
    Laplace,
    Sigmoid,
    /// From ᾱ = exp(−12 t).
    Exponential,
}

/// A class's schedule where the folder says nothing, and the schedules that not all classes have.
pub(crate) struct Defaults {
    start: f64,
    end: f64,
    schedule: &'static str,
    more: &'static [(&'static str, BetaSchedule)],
}

impl Defaults {
    /// Ho et al. 2020.
    pub(crate) const PLAIN: Self = Self { start: 0.0001, end: 0.02, schedule: "linear", more: &[] };
    pub(crate) const DDPM: Self = Self {
        more: &[("laplace", BetaSchedule::Laplace), ("sigmoid", BetaSchedule::Sigmoid)],
        ..Self::PLAIN
    };
    /// Stable Diffusion's range, on a straight line.
    pub(crate) const NARROW: Self =
        Self { start: 0.00085, end: 0.012, schedule: "linear", more: &[] };
    pub(crate) const HEUN: Self =
        Self { more: &[("exp", BetaSchedule::Exponential)], ..Self::NARROW };
    /// Stable Diffusion's own.
    pub(crate) const LATENT: Self = Self { schedule: "scaled_linear", ..Self::NARROW };
}

impl Training {
    /// Reads the schedule's keys, which all classes share (but for `rescale_betas_zero_snr`).
    pub(crate) fn read(fields: &Fields<'_>, defaults: &Defaults) -> Result<Self, Error> {
        let steps = fields.train_timesteps(1)?;
        let zero_snr =
            fields.has("rescale_betas_zero_snr") && fields.bool("rescale_betas_zero_snr", false)?;
        let schedule = BetaSchedule::read(fields, defaults)?;
        let mut betas = match fields.optional_list("trained_betas")? {
            Some(betas) => trained(&betas, steps)?,
            None => scheduled(fields, defaults, schedule, steps)?,
        };
        if zero_snr {
            rescale_zero_terminal_snr(&mut betas);
        }
        Ok(Self { alphas_cumprod: cumprod(&betas), zero_snr, schedule })
    }

    /// The number of training timesteps.
    pub(crate) fn len(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Whether `beta_schedule` names the cosine schedule, also where `trained_betas` override it.
    pub(crate) fn is_cosine(&self) -> bool {
        self.schedule == BetaSchedule::Cosine
    }

    /// Checks that a run of `steps` steps fits the schedule.
    pub(crate) fn check_steps(&self, steps: usize) -> Result<(), Error> {
        if (1..=self.len()).contains(&steps) {
            return Ok(());
        }
        let expected = format!(
            "a whole number from 1 to {}, the timesteps that the model was trained with",
            self.len()
        );
        Err(Error::invalid("num_inference_steps", steps, expected))
    }

    /// Keeps the last ᾱ of a schedule with zero terminal SNR above zero, for rules whose first
    /// sigma would be infinite otherwise.
    pub(crate) fn keep_sigmas_finite(mut self) -> Self {
        if let (true, Some(last)) = (self.zero_snr, self.alphas_cumprod.last_mut()) {
            *last = NEARLY_ZERO;
        }
        self
    }

    /// The noise level σ = √((1 − ᾱ) / ᾱ) per timestep, rising.
    pub(crate) fn sigmas(&self) -> Vec<f32> {
        self.alphas_cumprod.iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect()
    }
}

impl BetaSchedule {
    fn read(fields: &Fields<'_>, defaults: &Defaults) -> Result<Self, Error> {
        let common = [
            ("linear", Self::Linear),
            ("scaled_linear", Self::ScaledLinear),
            ("squaredcos_cap_v2", Self::Cosine),
        ];
        let choices: Vec<_> = common.iter().chain(defaults.more).copied().collect();
        fields.choice("beta_schedule", defaults.schedule, &choices)
    }
}

fn trained(betas: &[f64], steps: usize) -> Result<Vec<f32>, Error> {
    if betas.len() != steps {
        let value = format!("a list of {}", betas.len());
        let expected = format!("as many numbers as num_train_timesteps says, {steps}");
        return Err(Error::invalid("trained_betas", value, expected));
    }
    if let Some(beta) = betas.iter().find(|beta| !(0.0..1.0).contains(*beta)) {
        return Err(Error::invalid("trained_betas", beta, "numbers from 0 to below 1"));
    }
    Ok(betas.iter().map(|beta| *beta as f32).collect())
}

fn scheduled(
    fields: &Fields<'_>,
    defaults: &Defaults,
    schedule: BetaSchedule,
    steps: usize,
) -> Result<Vec<f32>, Error> {
    let start = beta(fields, "beta_start", defaults.start)?;
    let end = beta(fields, "beta_end", defaults.end)?;
    Ok(match schedule {
        BetaSchedule::Linear => linspace_f32(start, end, steps),
        BetaSchedule::ScaledLinear => {
            linspace_f32(start.sqrt(), end.sqrt(), steps).iter().map(|root| root * root).collect()
        }
        BetaSchedule::Cosine => from_alpha_bar(steps, cosine),
        BetaSchedule::Laplace => from_alpha_bar(steps, laplace),
        BetaSchedule::Exponential => from_alpha_bar(steps, |time| (time * -12.0).exp()),
        BetaSchedule::Sigmoid => {
            let (range, start) = ((end - start) as f32, start as f32);
            let sigmoid = |x: &f32| 1.0 / (1.0 + (-x).exp()) * range + start;
            linspace_f32(-6.0, 6.0, steps).iter().map(sigmoid).collect()
        }
    })
}

fn beta(fields: &Fields<'_>, key: &'static str, default: f64) -> Result<f64, Error> {
    let value = fields.number(key, default)?;
    if (LEAST_BETA..1.0).contains(&value) {
        return Ok(value);
    }
    Err(Error::invalid(key, value, format!("a number from {LEAST_BETA:e} to below 1")))
}

/// β from ᾱ over the training time, a fraction from 0 to 1: never divide integers.
fn from_alpha_bar(steps: usize, alpha_bar: fn(f64) -> f64) -> Vec<f32> {
    let at = |index: usize| alpha_bar(index as f64 / steps as f64);
    let beta = |index| (1.0 - at(index + 1) / at(index)).min(MAX_BETA);
    (0..steps).map(|index| beta(index) as f32).collect()
}

/// ᾱ(t) = cos²((t + 0.008) / 1.008 · π/2).
fn cosine(time: f64) -> f64 {
    ((time + 0.008) / 1.008 * std::f64::consts::PI / 2.0).cos().powi(2)
}

/// √(SNR / (1 + SNR)) at the Laplace quantile of the time.
fn laplace(time: f64) -> f64 {
    let from_middle = 0.5 - time;
    let log_snr =
        -0.5 * 1.0_f64.copysign(from_middle) * (1.0 - 2.0 * from_middle.abs() + 1e-6).ln();
    let snr = log_snr.exp();
    (snr / (1.0 + snr)).sqrt()
}

/// The running product of 1 − β, accumulated in double precision as torch does.
fn cumprod(betas: &[f32]) -> Vec<f32> {
    let mut product = 1.0_f64;
    let next = |beta: &f32| {
        product *= f64::from(1.0 - beta);
        product as f32
    };
    betas.iter().map(next).collect()
}

/// Shifts and scales √ᾱ so that the last timestep is pure noise (Lin et al. 2023, algorithm 1).
fn rescale_zero_terminal_snr(betas: &mut [f32]) {
    let mut roots: Vec<f32> = cumprod(betas).iter().map(|alpha| alpha.sqrt()).collect();
    let (Some(&first), Some(&last)) = (roots.first(), roots.last()) else { return };
    for root in &mut roots {
        *root = (*root - last) * (first / (first - last));
    }
    let mut previous = 1.0;
    for (beta, root) in betas.iter_mut().zip(&roots) {
        let alpha = root * root;
        *beta = 1.0 - alpha / previous;
        previous = alpha;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With integer division every beta of the cosine schedule but the last would be zero.
    #[test]
    fn cosine_betas_rise_to_the_cap() {
        let betas = from_alpha_bar(1000, cosine);
        assert!((betas[0] - 4.128_422_5e-5).abs() < 1e-9, "{}", betas[0]);
        assert!((betas[500] - 0.003_119).abs() < 1e-4, "{}", betas[500]);
        assert_eq!(betas[999], 0.999);
    }

    #[test]
    fn zero_terminal_snr_ends_in_noise_alone() {
        let mut betas = linspace_f32(0.0001, 0.02, 1000);
        let before = cumprod(&betas);
        rescale_zero_terminal_snr(&mut betas);
        let after = cumprod(&betas);
        assert_eq!(after[999], 0.0);
        assert!((after[0] - before[0]).abs() < 1e-6);
    }
}
