//! Prompts, places and guidance to the transformer's inputs.

use std::time::Duration;

use crate::blueprint::Sessions;
use crate::blueprint::folder::MAX_SIDE;
use crate::diffusion::components::{
    Adapters, ClipEncoder, ClipSpec, DenoiserSpec, Layer, Reading, Syntax, T5Encoder, T5Spec, bad,
    warn_if_cut,
};
use crate::diffusion::conditioning::{Conditioner, Conditioning};
use crate::diffusion::families::stable_diffusion_xl::second_or_first;
use crate::diffusion::settings::{Settings, single};
use crate::model::{Error, SequenceLength};
use crate::session::{Interrupt, Session};

/// Tokens that T5 reads.
pub(super) const LENGTH: SequenceLength = SequenceLength { default: 512, max: 512 };
/// The guidance scale as an input, which dev has.
pub(super) const GUIDANCE: &str = "guidance";
const IMAGE_PLACES: &str = "img_ids";
pub(super) const TEXT_PLACES: &str = "txt_ids";
pub(super) const PLACES: [&str; 2] = [IMAGE_PLACES, TEXT_PLACES];
/// Numbers of a place: none, row, column.
const PLACE: usize = 3;

/// Both text encoders, and what the transformer's graph asks for, as the folder says them.
pub(super) struct TextSpec {
    clip: ClipSpec,
    t5: T5Spec,
    asked: Requirements,
}

/// The same with their sessions.
struct Text {
    clip: ClipEncoder,
    t5: T5Encoder,
    asked: Requirements,
}

/// What the transformer's graph asks for.
#[derive(Clone, Copy)]
struct Requirements {
    guidance: bool,
    /// Older exports have an axis of copies in the places.
    batched_places: bool,
    /// Pixels of a token's side.
    token_side: u32,
    length: SequenceLength,
}

/// Places that an input of the transformer has built in.
pub(super) fn built_in_places(denoiser: &DenoiserSpec, name: &str) -> Option<usize> {
    let rank = denoiser.input(name)?.rank();
    denoiser.built_in_length(name, rank.checked_sub(2)?)
}

/// Rows and columns of the only latents that pictures can have: those built into the VAE as `fixed`,
/// or, where the transformer has a number of tokens built in, those of a square of so many, or of
/// `usual` cells a side.
///
/// # Errors
/// [`Error::Model`] for a number of tokens that is of no such picture.
pub(super) fn fixed_cells(
    denoiser: &DenoiserSpec,
    fixed: Option<[u32; 2]>,
    usual: u32,
) -> Result<Option<[u32; 2]>, Error> {
    let built_in = denoiser.built_in_tokens().or(built_in_places(denoiser, IMAGE_PLACES));
    let Some(tokens) = built_in else { return Ok(fixed) };
    let tokens_of = |[rows, columns]: [u32; 2]| (rows / 2) as usize * (columns / 2) as usize;
    let side = u32::try_from(2 * tokens.isqrt()).unwrap_or(u32::MAX);
    let cells =
        fixed.unwrap_or(if tokens_of([usual; 2]) == tokens { [usual; 2] } else { [side; 2] });
    if tokens_of(cells) == tokens && side <= MAX_SIDE {
        return Ok(Some(cells));
    }
    let reason = format!(
        "it has {tokens} tokens of a picture built in, which isn't a square's nor the VAE's size; \
         export it with open axes"
    );
    Err(bad("transformer", reason))
}

impl TextSpec {
    pub(super) fn new(
        clip: ClipSpec,
        t5: T5Spec,
        denoiser: &DenoiserSpec,
        token_side: u32,
        length: SequenceLength,
    ) -> Self {
        let batched_places = denoiser.input(IMAGE_PLACES).is_some_and(|port| port.rank() == 3);
        let guidance = denoiser.input(GUIDANCE).is_some();
        Self { clip, t5, asked: Requirements { guidance, batched_places, token_side, length } }
    }

    pub(super) fn adapters(&self) -> impl Iterator<Item = &Adapters> {
        [self.clip.adapters()].into_iter()
    }

    /// Whether the guidance scale is an input.
    pub(super) fn takes_guidance(&self) -> bool {
        self.asked.guidance
    }

    pub(super) fn open(self, sessions: &mut Sessions) -> Result<Box<dyn Conditioner>, Error> {
        let Self { clip, t5, asked } = self;
        Ok(Box::new(Text { clip: clip.open(sessions)?, t5: t5.open(sessions)?, asked }))
    }
}

impl Requirements {
    fn push_places(self, conditioning: &mut Conditioning, name: &'static str, places: Vec<f32>) {
        let shape = [places.len() / PLACE, PLACE];
        if self.batched_places {
            conditioning.push(name, &shape, places.repeat(conditioning.copies));
        } else {
            conditioning.push_shared(name, &shape, places);
        }
    }
}

impl Conditioner for Text {
    fn condition(
        &mut self,
        settings: &Settings,
        warnings: &mut Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Conditioning, Error> {
        let request = &settings.request;
        let length = request.max_sequence_length.unwrap_or(self.asked.length.default) as usize;
        let true_cfg_scale = request.true_cfg_scale.map_or(1.0, single);
        let mut prompts = vec![second_or_first(
            ("prompt", &settings.request.prompt),
            ("prompt_2", request.prompt_2.as_deref()),
        )];
        if true_cfg_scale > 1.0 && request.negative_prompt.is_some() {
            let negative = ("negative_prompt", settings.negative_prompt.as_str());
            let second = ("negative_prompt_2", request.negative_prompt_2.as_deref());
            prompts.insert(0, second_or_first(negative, second));
        }
        let reading =
            Reading { layer: Layer::Last, syntax: Syntax::default(), lora: &request.lora };
        let copies = prompts.len();
        let mut read = Vec::with_capacity(copies);
        for [(field, text), (field_2, text_2)] in prompts {
            let clip = self.clip.read(field, text, reading)?;
            read.push((clip, self.t5.read(text_2, length)?, [field, field_2]));
        }
        let (mut hidden, mut pooled) = (Vec::new(), Vec::new());
        let (mut width, mut pooled_width) = (0, 0);
        for (clip, t5, [field, field_2]) in read {
            let clip = self.clip.encode(clip, interrupt)?;
            let t5 = self.t5.encode(t5, interrupt)?;
            // CLIP gives no more than a summary here, so T5 alone says what is left out.
            warn_if_cut(warnings, field_2, t5.truncated, length);
            if let Some(cut) = clip.cut.as_ref().filter(|_| field != field_2) {
                cut.warn(warnings, field, self.clip.max_tokens(), "");
            }
            (width, pooled_width) = (t5.width, clip.pooled.len());
            hidden.extend_from_slice(&t5.hidden);
            pooled.extend_from_slice(&clip.pooled);
        }
        let mut conditioning = Conditioning::new(copies, true_cfg_scale, 0.0);
        conditioning.push("encoder_hidden_states", &[length, width], hidden);
        conditioning.push("pooled_projections", &[pooled_width], pooled);
        let side = self.asked.token_side;
        let (rows, columns) = (settings.height / side, settings.width / side);
        self.asked.push_places(&mut conditioning, IMAGE_PLACES, image_places(rows, columns));
        self.asked.push_places(&mut conditioning, TEXT_PLACES, vec![0.0; length * PLACE]);
        if self.asked.guidance {
            conditioning.push(GUIDANCE, &[], vec![settings.guidance_scale; copies]);
        }
        Ok(conditioning)
    }

    fn busy(&self) -> Duration {
        self.clip.busy() + self.t5.busy()
    }

    fn graphs(&mut self) -> Vec<&mut Session> {
        vec![self.clip.graph(), self.t5.graph()]
    }
}

/// The place of each token: nought, its row, its column.
fn image_places(rows: u32, columns: u32) -> Vec<f32> {
    let tokens = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    tokens.flat_map(|(row, column)| [0.0, row as f32, column as f32]).collect()
}
