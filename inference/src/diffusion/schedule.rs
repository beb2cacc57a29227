//! How a family asks a scheduler for its schedule, and which schedulers fit it.

use std::borrow::Cow;
use std::ops::Range;

use super::settings::Settings;
use crate::model::Invalid;
use crate::schedulers::{self, About, DynamicShift, Kind, Run, Scheduler, SchedulerConfig};

/// What a model was trained to predict, and so which schedulers fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objective {
    /// Noise, the sample or v on a diffusion schedule.
    Diffusion,
    /// The velocity of a flow (Stable Diffusion 3, Flux).
    Flow,
    /// The sample itself, from any level of noise (consistency models).
    Consistency,
}

const NO_FLOW: &str =
    "this model is trained for flow matching; use flow_euler or flow_heun, or leave it out";
const NO_GIVEN_FLOW: &str =
    "this model is trained for flow matching; use flow_euler, or leave it out";
/// What is said to schedulers that make their own noise levels only.
const GIVEN: &str = "this model's own noise levels (sigmas) are given to its scheduler, and this one \
                     takes none; use flow_euler, or leave it out";
/// What is said where a model gives no variance beside its prediction.
const NO_VARIANCE: &str = "it takes the variance that a model predicts, and this one predicts none; \
                           set variance_type to fixed_small or fixed_large";
/// What is said where it does, to schedulers that take none.
const VARIANCE: &str = "this model predicts the noise's variance too; take ddpm or dpmpp_2m with \
                        variance_type learned_range or learned, as the model was trained";

/// A folder's scheduler config, and what the family adds to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    pub(super) config: SchedulerConfig,
    pub(super) objective: Objective,
    /// Pixels of one transformer token's side, for shifts that depend on the picture's size.
    pub(super) token_side: u32,
    /// Whether the family gives its own noise levels, from 1 in equal steps, and always a shift
    /// (Flux).
    pub(super) given_sigmas: bool,
    /// Whether the family's own pipeline gives the strength to the scheduler (LCM).
    pub(super) distilled: bool,
    /// Whether the family's pipelines in diffusers correct what old configs say (Stable Diffusion,
    /// but for its ControlNet pipelines).
    pub(super) corrects: bool,
    /// Whether the model predicts the noise's variance as well.
    pub(super) variance: bool,
}

impl Schedule {
    /// A schedule of the usual kind: the scheduler's own.
    pub(super) fn of(config: SchedulerConfig) -> Self {
        Self {
            config,
            objective: Objective::Diffusion,
            token_side: 1,
            given_sigmas: false,
            distilled: false,
            corrects: false,
            variance: false,
        }
    }

    /// The scheduler for one picture.
    ///
    /// # Errors
    /// A scheduler, or a list of steps, that doesn't fit the model.
    pub(super) fn build(&self, settings: &Settings) -> Result<Scheduler, Invalid> {
        let (spec, config) = (settings.spec.as_ref(), self.config_for(settings));
        let run = self.run(settings);
        let built = run.and_then(|run| {
            schedulers::build(&config, spec, &run).map_err(|error| match error {
                schedulers::Error::NotTaken { field, .. }
                    if field == "sigmas" && settings.request.sigmas.is_none() =>
                {
                    Invalid::new("scheduler", &settings.scheduler, GIVEN)
                }
                other => refusal(settings, &other),
            })
        });
        let scheduler = match built {
            Err(_) if self.objective == Objective::Flow => {
                // Asked plainly: what a flow needs besides, others refuse in other words.
                let plain = Run { steps: settings.num_inference_steps as usize, ..Run::default() };
                match schedulers::build(&config, spec, &plain) {
                    Ok(scheduler) if !scheduler.schedule().is_flow() => scheduler,
                    Ok(_) | Err(_) => built?,
                }
            }
            built => built?,
        };
        let consistency = self.kind(settings) == Some(Kind::Consistency);
        let schedule = scheduler.schedule();
        let message = match self.objective {
            Objective::Flow if !schedule.is_flow() => self.no_flow(),
            _ if schedule.takes_variance() && !self.variance => NO_VARIANCE,
            _ if self.variance && !schedule.takes_variance() => VARIANCE,
            Objective::Consistency if !consistency => {
                "this is a consistency model; its own scheduler is the one that fits, so leave it \
                 out"
            }
            Objective::Diffusion if schedule.is_flow() => {
                "it is for flow-matching models (Stable Diffusion 3, Flux); use another, or leave \
                 it out"
            }
            Objective::Diffusion if consistency => {
                "it is for consistency models; use another, or leave it out"
            }
            _ => return Ok(scheduler),
        };
        Err(Invalid::new("scheduler", &settings.scheduler, message))
    }

    /// The folder's config as diffusers' pipeline for the request's task has it: those of Stable
    /// Diffusion set what configs of its first releases got wrong, whatever the file says.
    fn config_for(&self, settings: &Settings) -> Cow<'_, SchedulerConfig> {
        if !self.corrects || settings.controls > 0 {
            return Cow::Borrowed(&self.config);
        }
        // A scheduler that is made from another's config is not told what that one had by default.
        let unsaid = settings.spec.is_none();
        let config = self.config.clone().correct("steps_offset", 1, unsaid);
        Cow::Owned(match settings.fills {
            true => config.correct("skip_prk_steps", true, unsaid),
            false => config.correct("clip_sample", false, unsaid),
        })
    }

    /// What is said to a scheduler that follows no flow.
    fn no_flow(&self) -> &'static str {
        if self.given_sigmas { NO_GIVEN_FLOW } else { NO_FLOW }
    }

    /// The scheduler's calls that a picture takes.
    ///
    /// # Errors
    /// Where none is left.
    pub(super) fn calls(
        &self,
        settings: &Settings,
        schedule: &schedulers::Schedule,
    ) -> Result<Range<usize>, Invalid> {
        let request = &settings.request;
        let timesteps = schedule.timesteps();
        let end = match request.denoising_end.filter(|&end| end < 1.0) {
            None => timesteps.len(),
            Some(end) => {
                let cut_off = self.cut_off(end);
                timesteps.iter().filter(|&&time| f64::from(time) >= cut_off).count()
            }
        };
        let start = match (request.denoising_start, settings.strength) {
            (Some(start), _) => {
                let cut_off = self.cut_off(start);
                let mut left = timesteps.iter().filter(|&&time| f64::from(time) < cut_off).count();
                // a step of two calls is not cut in two
                left += usize::from(schedule.order() == 2 && left.is_multiple_of(2));
                timesteps.len().saturating_sub(left)
            }
            (None, Some(strength)) => self.first_call(settings, strength, schedule)?,
            (None, None) => 0,
        };
        if start < end {
            return Ok(start..end);
        }
        let left = "leaves no step to take; give more steps, or more of the schedule";
        Err(match (request.denoising_start, request.denoising_end, settings.strength) {
            (Some(start), ..) => Invalid::new("denoising_start", &start, left),
            (None, _, Some(strength)) => Invalid::new("strength", &strength, left),
            (None, end, None) => Invalid::new("denoising_end", &end.unwrap_or(1.0), left),
        })
    }

    fn first_call(
        &self,
        settings: &Settings,
        strength: f64,
        schedule: &schedulers::Schedule,
    ) -> Result<usize, Invalid> {
        let steps = settings.num_inference_steps as usize;
        Ok(match self.objective {
            _ if self.takes_strength(settings) => 0,
            // diffusers rounds the other way here
            Objective::Flow => {
                let skipped = (steps as f64 - steps as f64 * strength).max(0.0) as usize;
                skipped * schedule.order()
            }
            _ => self.run(settings)?.first_call(schedule, strength),
        })
    }

    /// Whether the sample that the last call predicts is the result, without the noise that its
    /// step adds to it. A given list that strength cuts ends with such a step.
    pub(super) fn ends_clean(&self, settings: &Settings) -> bool {
        self.distilled && self.class(settings) == "LCMScheduler"
    }

    /// What is to be feared of a scheduler that asks the model in other words than it was trained in.
    pub(super) fn doubt(&self, settings: &Settings) -> Option<String> {
        let class = self.class(settings);
        let own = schedulers::about(&self.config, None).map(|about| about.kind);
        let [asked, own] = [self.kind(settings), own].map(|kind| kind == Some(Kind::Edm));
        let doubt = "the picture may be noise: leave scheduler out";
        match (asked, own) {
            (true, false) => Some(format!("{class} is for models trained with EDM; {doubt}")),
            (false, true) => Some(format!("this model is trained with EDM; {doubt}")),
            _ => None,
        }
    }

    /// Whether the scheduler itself makes a schedule for a share of the way.
    fn takes_strength(&self, settings: &Settings) -> bool {
        let takes = |class: &About| class.takes.contains(&"strength");
        self.distilled && self.about(settings).is_some_and(takes)
    }

    /// The timestep at which a share of the schedule is done.
    fn cut_off(&self, share: f64) -> f64 {
        let steps = f64::from(self.config.num_train_timesteps());
        (steps - share * steps).round_ties_even()
    }

    fn run(&self, settings: &Settings) -> Result<Run, Invalid> {
        let request = &settings.request;
        let spec = settings.spec.as_ref();
        let steps = settings.num_inference_steps as usize;
        let tokens = (settings.width / self.token_side) * (settings.height / self.token_side);
        let failed = |error| refusal(settings, &error);
        let mut run = Run {
            steps,
            timesteps: request.timesteps.clone(),
            sigmas: request.sigmas.clone(),
            eta: settings.eta,
            original_inference_steps: request.original_inference_steps.map(|steps| steps as usize),
            ..Run::default()
        };
        if let Some(strength) = settings.strength.filter(|_| self.takes_strength(settings)) {
            run.strength = strength;
        }
        if self.objective == Objective::Flow {
            let shift = match self.given_sigmas {
                true => DynamicShift::line(&self.config, spec).map(Some),
                false => DynamicShift::read(&self.config, spec),
            };
            run.mu = shift.map_err(failed)?.map(|shift| shift.mu(tokens as usize));
        }
        // Other classes that can follow a flow make their own noise levels.
        if self.given_sigmas && run.sigmas.is_none() && self.kind(settings) == Some(Kind::Flow) {
            run.sigmas = Some(falling(steps));
        }
        Ok(run)
    }

    /// Diffusers' class of the scheduler.
    pub(super) fn class(&self, settings: &Settings) -> &str {
        self.about(settings).map_or(self.config.class_name(), |class| class.name)
    }

    fn kind(&self, settings: &Settings) -> Option<Kind> {
        self.about(settings).map(|class| class.kind)
    }

    fn about(&self, settings: &Settings) -> Option<&'static About> {
        schedulers::about(&self.config, settings.spec.as_ref())
    }
}

/// `steps` levels from 1 to 1/steps in equal steps, as numpy's `linspace`.
fn falling(steps: usize) -> Vec<f64> {
    let last = 1.0 / steps as f64;
    let step = if steps > 1 { (last - 1.0) / (steps - 1) as f64 } else { 0.0 };
    let mut levels: Vec<_> = (0..steps).map(|index| index as f64 * step + 1.0).collect();
    if steps > 1
        && let Some(end) = levels.last_mut()
    {
        *end = last;
    }
    levels
}

/// A scheduler's refusal, on the field that it is about.
fn refusal(settings: &Settings, error: &schedulers::Error) -> Invalid {
    let request = &settings.request;
    let message = error.to_string();
    for (field, list) in [("timesteps", &request.timesteps), ("sigmas", &request.sigmas)] {
        if let Some(list) = list.as_ref().filter(|_| message.contains(field)) {
            return Invalid::new(field, &format!("{list:?}"), message);
        }
    }
    Invalid::new("scheduler", &settings.scheduler, message)
}

#[cfg(test)]
mod tests {
    use super::falling;

    #[test]
    fn flux_levels_fall_from_one_in_equal_steps() {
        assert_eq!(falling(1), [1.0]);
        assert_eq!(falling(4), [1.0, 0.75, 0.5, 0.25]);
    }
}
