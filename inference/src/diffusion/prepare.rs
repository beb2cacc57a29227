//! Preparing a request for pictures: everything that needs no graph, done once.

use std::ops::Range;
use std::sync::Arc;

use hearth_api::GenerationRequest;

use super::check::{CheckedRequest, lora};
use super::control::Control;
use super::request::PictureRequest;
use super::rules::Rules;
use super::settings::Settings;
use super::tasks::Source;
use crate::model::{BatchKey, Invalid, Prepare, PreparedRequest};
use crate::schedulers::Scheduler;

/// Prepares the requests of one model.
#[derive(Debug, Clone)]
pub(super) struct Preparer {
    pub(super) rules: Arc<Rules>,
    /// The model's digest, by which it is known again.
    pub(super) digest: Arc<str>,
    /// Whether one call of its denoiser can be for several pictures.
    pub(super) is_shareable: bool,
    /// Whether its denoiser's graph takes one timestep for all that it is given at once.
    pub(super) shares_timestep: bool,
}

/// A prepared request for pictures: what is in a [`PreparedRequest`] of such a model.
pub(super) struct PreparedPicture {
    /// Those of the model that it was prepared for, and that model's digest.
    pub(super) rules: Arc<Rules>,
    pub(super) digest: Arc<str>,
    pub(super) settings: Arc<Settings>,
    pub(super) control: Option<Arc<Control>>,
    /// What it starts from.
    pub(super) source: Source,
    /// Channels, rows and columns of its latents.
    pub(super) shape: [usize; 3],
    pub(super) calls: Range<usize>,
    /// Those of the calls that have guidance, if the picture has any.
    pub(super) guided: Range<usize>,
    /// Whether the last call's step adds no noise, whatever the schedule.
    pub(super) ends_clean: bool,
    /// What each picture has its own scheduler of.
    pub(super) scheduler: Scheduler,
}

impl Rules {
    /// What a person should know before they ask for anything.
    pub(super) fn warnings(&self) -> Vec<String> {
        let warning = |refusal| {
            format!("a request must name a scheduler, as the folder's own can't be used: {refusal}")
        };
        self.check(&self.plain(None)).err().map(warning).into_iter().collect()
    }
}

impl Prepare for Preparer {
    fn prepare(&self, request: &GenerationRequest) -> Result<PreparedRequest, Invalid> {
        self.prepare_read(&PictureRequest::read(request)?)
    }

    /// A request for one step of a plain scheduler that fits, whatever the folder names: the graphs
    /// are the same, every run of it may have one step (PNDM's Runge-Kutta start may not), and a
    /// folder whose own scheduler isn't built yet is of use to requests that name another.
    ///
    /// On a GPU the picture has the default size, as kernels are chosen by size there. On the CPU a
    /// small one does: it reads every weight as well, in a fraction of the time and memory.
    fn prepare_warm_up(&self) -> Result<Option<PreparedRequest>, Invalid> {
        let rules = &self.rules;
        let pictures = &rules.pictures;
        let side = |default: u32| match rules.warms_up_whole {
            true => default,
            false => (default / 4).next_multiple_of(pictures.size_factor).max(rules.smallest),
        };
        let own = rules.check(&rules.plain(None));
        if let Err(invalid) = &own {
            tracing::warn!(
                %invalid,
                "a request must name a scheduler: the folder's own can't be used"
            );
        }
        let plain =
            ["euler", "flow_euler"].into_iter().find(|name| pictures.schedulers.contains(name));
        if own.is_err() && plain.is_none() {
            return Ok(None);
        }
        let plain = rules.plain(plain);
        let fields = GenerationRequest {
            width: Some(side(pictures.default_width)),
            height: Some(side(pictures.default_height)),
            num_inference_steps: Some(1),
            ..(*plain.fields).clone()
        };
        let request = PictureRequest {
            fields: Arc::new(fields),
            control_image: vec![rules.grey(); pictures.controlnets.len()],
            ..plain
        };
        self.prepare_read(&request).map(Some)
    }
}

impl Preparer {
    /// Prepares a request that was read.
    fn prepare_read(&self, request: &PictureRequest) -> Result<PreparedRequest, Invalid> {
        let Self { rules, digest, .. } = self;
        let CheckedRequest { settings, scheduler, calls } = rules.check(request)?;
        let mut warnings = rules.without_effect(request, &settings);
        warnings.extend(lora::unread(&request.prompt));
        let shape = rules.latent_shape(&settings);
        let picture = PreparedPicture {
            rules: Arc::clone(rules),
            digest: Arc::clone(digest),
            control: Control::of(request, &settings, rules).map(Arc::new),
            source: Source::of(request, &settings, rules.layout(), shape),
            shape,
            guided: guided(&calls, settings.request.guidance_interval),
            calls: calls.clone(),
            ends_clean: rules.schedule.ends_clean(&settings),
            settings: Arc::new(settings),
            scheduler,
        };
        let is_guided = rules.guides(request, picture.settings.guidance_scale);
        let (resolved, shares) = (picture.settings.resolved(), self.shares(&picture, is_guided));
        Ok(PreparedRequest::new(resolved, calls.len(), warnings, picture).sharing(shares))
    }

    /// What pictures that share steps have in common; none for one that is made alone.
    fn shares(&self, picture: &PreparedPicture, is_guided: bool) -> Option<BatchKey> {
        let PreparedPicture { settings, shape, control, .. } = picture;
        if settings.request.exact == Some(true) || !self.is_shareable {
            return None;
        }
        let lora = settings.request.lora.iter();
        let adapters: Vec<_> = lora.map(|lora| format!("{}={}", lora.name, lora.scale)).collect();
        let key = BatchKey::new(format!(
            "{} {shape:?} adapters {} guided {is_guided}",
            self.digest,
            adapters.join(", "),
        ));
        // A ControlNet takes one picture for the whole call, and some graphs one timestep: then the
        // items of one request share steps, and they are at the same place.
        Some(match control.is_some() || self.shares_timestep {
            true => key.of(Arc::as_ptr(settings).addr()),
            false => key,
        })
    }
}

/// The calls within the interval, which is in shares of their number: counted as the guiders of
/// diffusers do (`start` and `stop` of `ClassifierFreeGuidance`). The idea is from Kynkäänniemi et
/// al., Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion
/// Models, 2024.
fn guided(calls: &Range<usize>, interval: Option<[f64; 2]>) -> Range<usize> {
    let place = |share: f64| calls.start + (share * calls.len() as f64) as usize;
    interval.map_or(calls.clone(), |[from, to]| place(from)..place(to))
}
