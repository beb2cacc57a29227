//! Which timesteps and noise levels the DPM-Solver family visits: multistep, singlestep, DEIS and
//! UniPC.
//!
//! Their spacings differ from the other classes': timesteps are whole, one step is spared at the
//! quiet end, and the noisy end can be clipped.

use super::curve::{CURVED, Curve};
use super::flow::{Shift, is_exponential, stretch_to};
use super::level::{Form, Level};
use super::linspace::linspace;
use super::lookup::{interpolate, logarithms, sigma_to_timestep};
use super::spacing::{Spacing, multiples, read_final_sigma, trailing};
use super::training::{Defaults, Training};
use crate::schedulers::error::Error;
use crate::schedulers::fields::Fields;
use crate::schedulers::run::Run;
use crate::schedulers::schedule::Schedule;

/// Whose habits a schedule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Multistep,
    Singlestep,
    Deis,
    UniPc,
}

/// The run's schedule, and its noise levels with the one that it ends at.
pub(crate) struct SolverLevels {
    pub(crate) schedule: Schedule,
    pub(crate) levels: Vec<Level>,
}

impl SolverLevels {
    /// Reads the keys of the training schedule and of the levels, and lays out the run.
    pub(crate) fn read(family: Family, fields: &Fields<'_>, run: &Run) -> Result<Self, Error> {
        let mut training = Training::read(fields, &Defaults::PLAIN)?;
        if matches!(family, Family::Multistep | Family::UniPc) {
            training = training.keep_sigmas_finite();
        }
        check_mu(family, fields, run)?;
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
            curved(family, fields, &training, curve, &table, run.steps, flow)?
        } else if flow {
            flowing(family, fields, &training, run)?
        } else {
            if run.sigmas.is_some() {
                let reason = "a list of noise levels goes with use_flow_sigmas only";
                return Err(fields.rejected("sigmas", "a list", reason));
            }
            let spaced = spaced(fields, &training, run)?;
            let sigmas = spaced.iter().map(|timestep| interpolate(&table, *timestep)).collect();
            (spaced, sigmas)
        };
        let quietest = sigmas[sigmas.len() - 1];
        sigmas.push(final_level(family, fields, table[0], quietest, curve.is_some() || flow)?);
        let timesteps = timesteps.iter().map(|timestep| timestep.trunc() as f32).collect();
        let sigmas: Vec<f32> = sigmas.iter().map(|sigma| *sigma as f32).collect();
        let form = if flow { Form::Flow } else { Form::Preserving };
        let levels = Level::all(form, &sigmas);
        let mixtures = levels.iter().map(Level::mixture).collect();
        Ok(Self { schedule: Schedule::new(timesteps, sigmas, mixtures), levels })
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
        let level = |alpha: &f64| shift.apply(1.0 - alpha);
        rising.iter().rev().take(steps).map(level).collect()
    };
    Ok((sigmas.iter().map(|sigma| sigma * train).collect(), sigmas))
}

/// The factor that levels are shifted by: e^μ for an image's size, or a fixed one.
fn shift(family: Family, fields: &Fields<'_>, run: &Run) -> Result<Shift, Error> {
    let dynamic = fields.bool("use_dynamic_shifting", false)?;
    let exponential = is_exponential(fields)?;
    let fixed = fields.positive("flow_shift", 1.0)?;
    Ok(Shift(match run.mu {
        Some(mu) if family == Family::UniPc && dynamic && !exponential => mu,
        Some(mu) if dynamic => mu.exp(),
        _ => fixed,
    }))
}

/// Checks that μ is given where the class wants it, and not where it has no use for it.
fn check_mu(family: Family, fields: &Fields<'_>, run: &Run) -> Result<(), Error> {
    let dynamic = fields.bool("use_dynamic_shifting", false)?;
    let exponential = is_exponential(fields)?;
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
    shift: Shift,
) -> Result<Vec<f64>, Error> {
    /// At σ = 1 λ would be minus infinity.
    const NEARLY_ONE: f64 = 1e-6;
    let unshifted = match &run.sigmas {
        Some(given) => given.clone(),
        None => linspace(1.0, 1.0 / train, steps + 1)[..steps].to_vec(),
    };
    let mut sigmas: Vec<f64> = unshifted.iter().map(|sigma| shift.apply(*sigma)).collect();
    if let Some(terminal) = fields.optional_number("shift_terminal")?.filter(|end| *end != 0.0) {
        stretch_to(terminal, &mut sigmas);
    }
    if (sigmas[0] - 1.0).abs() < NEARLY_ONE {
        sigmas[0] -= NEARLY_ONE;
    }
    Ok(sigmas)
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
    read_final_sigma(fields, least)
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
