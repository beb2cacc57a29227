//! Which timesteps and noise levels the DPM-Solver family visits: multistep, singlestep, DEIS and
//! UniPC.
//!
//! Their spacings differ from the other classes': timesteps are whole, one step is spared at the
//! quiet end, and the noisy end can be clipped.

use super::betas::Training;
use super::error::Error;
use super::fields::Fields;
use super::k_schedule::CURVED;
use super::level::Form;
use super::run::Run;
use super::sigmas::{
    Curve, Spacing, interpolate, linspace, logarithms, multiples, sigma_to_timestep, trailing,
};

/// Whose habits a schedule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Multistep,
    Singlestep,
    Deis,
    UniPc,
}

/// The run's timesteps, and its noise levels with the one that it ends at.
pub(super) struct SolverSchedule {
    pub(super) timesteps: Vec<f32>,
    pub(super) sigmas: Vec<f32>,
    pub(super) form: Form,
}

impl SolverSchedule {
    pub(super) fn read(
        family: Family,
        fields: &Fields<'_>,
        training: &Training,
        run: &Run,
    ) -> Result<Self, Error> {
        let flow = fields.bool("use_flow_sigmas", false)?;
        let curve = Curve::read(fields)?;
        if fields.has("timestep_spacing") {
            // checked also where a curve has no use for it
            Spacing::read(fields, "linspace")?;
        }
        let table = training.sigmas();
        let (timesteps, mut sigmas) = if let Some(curve) = curve {
            if run.has_list() {
                let key = if run.sigmas.is_some() { "sigmas" } else { "timesteps" };
                return Err(fields.rejected(key, "a list", CURVED));
            }
            training.check_steps(run.steps)?;
            curved(family, fields, training, curve, &table, run.steps, flow)?
        } else if flow {
            flowing(family, fields, training, run)?
        } else {
            if run.sigmas.is_some() {
                let reason = "a list of noise levels goes with use_flow_sigmas only";
                return Err(fields.rejected("sigmas", "a list", reason));
            }
            let spaced = spaced(fields, training, run)?;
            let sigmas = spaced.iter().map(|timestep| interpolate(&table, *timestep)).collect();
            (spaced, sigmas)
        };
        let quietest = sigmas[sigmas.len() - 1];
        sigmas.push(final_level(family, fields, table[0], quietest, curve.is_some() || flow)?);
        Ok(Self {
            timesteps: timesteps.iter().map(|timestep| timestep.trunc() as f32).collect(),
            sigmas: sigmas.iter().map(|sigma| *sigma as f32).collect(),
            form: if flow { Form::Flow } else { Form::Preserving },
        })
    }
}

/// Levels along a curve over the whole training schedule. All but Karras' and Lu's fall between
/// timesteps, and are cut to the one below.
fn curved(
    family: Family,
    fields: &Fields<'_>,
    training: &Training,
    curve: Curve,
    table: &[f32],
    steps: usize,
    flow: bool,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (min, max) = (f64::from(table[0]), f64::from(table[table.len() - 1]));
    let logs = logarithms(table);
    let mut sigmas = if curve == Curve::Lu {
        // between single-precision logarithms, so that the ends are on their timesteps
        let (low, high) = (f64::from(logs[0]), f64::from(logs[logs.len() - 1]));
        let ramp = linspace(0.0, 1.0, steps);
        ramp.iter().map(|ramp| (high + ramp * (low - high)).exp()).collect()
    } else {
        let (min, max) = Curve::range(fields, min, max)?;
        curve.levels(min, max, steps)
    };
    if family == Family::UniPc && flow && curve == Curve::Karras {
        sigmas.iter_mut().for_each(|sigma| *sigma /= *sigma + 1.0);
        let train = training.len() as f64;
        return Ok((sigmas.iter().map(|sigma| sigma * train).collect(), sigmas));
    }
    let whole = matches!(curve, Curve::Karras | Curve::Lu)
        && !(family == Family::Multistep && training.is_cosine());
    let timestep = |sigma: &f64| {
        let timestep = sigma_to_timestep(*sigma, &logs);
        if whole { timestep.round_ties_even() } else { timestep }
    };
    Ok((sigmas.iter().map(timestep).collect(), sigmas))
}

/// Levels of flow matching, shifted towards noise by `flow_shift` or μ.
fn flowing(
    family: Family,
    fields: &Fields<'_>,
    training: &Training,
    run: &Run,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let train = training.len() as f64;
    if run.timesteps.is_some() && family == Family::Multistep {
        let reason = "the levels of use_flow_sigmas choose the timesteps; give \
                      num_inference_steps instead";
        return Err(fields.rejected("timesteps", "a list", reason));
    }
    let steps = match (&run.timesteps, &run.sigmas) {
        (Some(list), _) | (_, Some(list)) => list.len(),
        _ => run.steps,
    };
    training.check_steps(steps)?;
    let shift = shift(family, fields, run)?;
    let sigmas = if family == Family::UniPc {
        unipc_levels(fields, train, steps, run, shift)?
    } else {
        let rising = linspace(1.0, 1.0 / train, steps + 1);
        let level = |alpha: &f64| {
            let sigma = 1.0 - alpha;
            shift * sigma / (1.0 + (shift - 1.0) * sigma)
        };
        rising.iter().rev().take(steps).map(level).collect()
    };
    Ok((sigmas.iter().map(|sigma| sigma * train).collect(), sigmas))
}

/// The factor that levels are shifted by: e^μ for an image's size, or a fixed one.
fn shift(family: Family, fields: &Fields<'_>, run: &Run) -> Result<f64, Error> {
    let dynamic = fields.bool("use_dynamic_shifting", false)?;
    let kinds = [("exponential", true), ("linear", false)];
    let exponential = fields.choice("time_shift_type", "exponential", &kinds)?;
    let fixed = fields.positive("flow_shift", 1.0)?;
    match run.mu {
        Some(mu) if family == Family::UniPc && dynamic && !exponential => Ok(mu),
        Some(mu) if dynamic => Ok(mu.exp()),
        _ => Ok(fixed),
    }
}

/// Checks that μ is given where the class wants it, and not where it has no use for it.
pub(super) fn check_mu(family: Family, fields: &Fields<'_>, run: &Run) -> Result<(), Error> {
    let dynamic = fields.bool("use_dynamic_shifting", false)?;
    let kinds = [("exponential", true), ("linear", false)];
    let exponential = fields.choice("time_shift_type", "exponential", &kinds)?;
    if family == Family::UniPc {
        if dynamic && run.mu.is_none() {
            let reason = "the shift for the image's size, mu, is not given";
            return Err(fields.rejected("use_dynamic_shifting", true, reason));
        }
        return Ok(());
    }
    match run.mu {
        Some(mu) if !(dynamic && exponential) => {
            let reason = "it shifts with use_dynamic_shifting and an exponential time_shift_type";
            Err(fields.rejected("mu", mu, reason))
        }
        _ => Ok(()),
    }
}

fn unipc_levels(
    fields: &Fields<'_>,
    train: f64,
    steps: usize,
    run: &Run,
    shift: f64,
) -> Result<Vec<f64>, Error> {
    /// At σ = 1 λ would be minus infinity.
    const NEARLY_ONE: f64 = 1e-6;
    let unshifted = match &run.sigmas {
        Some(given) => given.clone(),
        None => linspace(1.0, 1.0 / train, steps + 1)[..steps].to_vec(),
    };
    let level = |sigma: &f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
    let mut sigmas: Vec<f64> = unshifted.iter().map(level).collect();
    if let Some(terminal) = fields.optional_number("shift_terminal")?.filter(|end| *end != 0.0) {
        stretch_to(terminal, &mut sigmas);
    }
    if (sigmas[0] - 1.0).abs() < NEARLY_ONE {
        sigmas[0] -= NEARLY_ONE;
    }
    Ok(sigmas)
}

/// Stretches levels so that the last one is `terminal` and 1 stays 1.
pub(super) fn stretch_to(terminal: f64, sigmas: &mut [f64]) {
    let Some(last) = sigmas.last() else { return };
    let scale = (1.0 - last) / (1.0 - terminal);
    sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / scale);
}

/// The level that the run ends at.
fn final_level(
    family: Family,
    fields: &Fields<'_>,
    least: f32,
    quietest: f64,
    own_levels: bool,
) -> Result<f64, Error> {
    let least = match family {
        Family::Deis | Family::UniPc if own_levels => quietest,
        _ => f64::from(least),
    };
    if family == Family::Deis {
        return Ok(least);
    }
    fields.choice("final_sigmas_type", "zero", &[("zero", 0.0), ("sigma_min", least)])
}

/// Whole timesteps, noisiest first: as given, or the spacings as these classes have them, with
/// one step to spare at the quiet end, and without the noisy end where λ is below
/// `lambda_min_clipped`.
fn spaced(fields: &Fields<'_>, training: &Training, run: &Run) -> Result<Vec<f64>, Error> {
    if let Some(given) = &run.timesteps {
        return Ok(given.iter().map(|timestep| timestep.trunc()).collect());
    }
    let steps = run.steps;
    training.check_steps(steps)?;
    let end = clipped_end(fields, training)?;
    let spacing = if fields.has("timestep_spacing") {
        Spacing::read(fields, "linspace")?
    } else {
        Spacing::Linspace
    };
    Ok(match spacing {
        Spacing::Linspace => {
            let mut timesteps = linspace(0.0, end as f64 - 1.0, steps + 1);
            timesteps.reverse();
            timesteps.truncate(steps);
            timesteps.iter().map(|timestep| timestep.round_ties_even()).collect()
        }
        Spacing::Leading => {
            let offset = fields.integer("steps_offset", 0, 0..=training.len())?;
            let mut timesteps = multiples(end / (steps + 1), steps + 1, offset);
            timesteps.truncate(steps);
            timesteps
        }
        Spacing::Trailing => trailing(end, training.len() as f64 / steps as f64),
    })
}

/// The number of training timesteps whose λ is not below `lambda_min_clipped`.
fn clipped_end(fields: &Fields<'_>, training: &Training) -> Result<usize, Error> {
    if !fields.has("lambda_min_clipped") {
        return Ok(training.len());
    }
    let least = fields.number("lambda_min_clipped", f64::NEG_INFINITY)?;
    let lambda = |alpha: &f32| alpha.sqrt().ln() - (1.0 - alpha).sqrt().ln();
    let below = |alpha: &&f32| lambda(alpha) < least as f32;
    let end = training.len() - training.alphas_cumprod.iter().rev().take_while(below).count();
    if end > 0 {
        return Ok(end);
    }
    Err(Error::invalid("lambda_min_clipped", least, "a number that leaves timesteps, e.g. -5.1"))
}
