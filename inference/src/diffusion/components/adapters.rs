//! LoRA adapters of a graph: low-rank branches beside its weights, the strength of each an input.
//!
//! Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021). `tools/export` writes such
//! graphs; `docs/model-folders.md` says what they are called.

use std::collections::BTreeSet;

use hearth_api::request::Lora;

use crate::blueprint::Ports;
use crate::diffusion::conditioning::Conditioning;
use crate::diffusion::settings::single;
use crate::session::{Input, Values};

/// What an adapter's input is called before its name.
const PREFIX: &str = "lora_scale.";
/// Longest name, in characters.
const LONGEST: usize = 64;

/// The adapters of one graph, in the order of its inputs.
#[derive(Debug, Default)]
pub(in crate::diffusion) struct Adapters(Vec<Adapter>);

#[derive(Debug)]
struct Adapter {
    /// The graph's input.
    input: String,
    /// [] or [1].
    shape: Vec<usize>,
}

impl Adapter {
    fn name(&self) -> &str {
        &self.input[PREFIX.len()..]
    }
}

impl Adapters {
    /// Reads them from the graph; a name or a shape that can't be used is noted.
    pub(super) fn read(ports: &Ports<'_>) -> Self {
        let mut adapters = Vec::new();
        for port in ports.inputs() {
            let Some(name) = port.name.strip_prefix(PREFIX) else { continue };
            let shape = match port.dims[..] {
                [] => Vec::new(),
                [None | Some(1)] => vec![1],
                _ => {
                    ports.note_first(Some(format!("input {port} must be [] or [1]")));
                    continue;
                }
            };
            if !is_name(name) {
                ports.note_first(Some(format!(
                    "input {:?}: an adapter's name has 1 to {LONGEST} letters, digits, _, - and .; \
                     export it by another name",
                    port.name
                )));
                continue;
            }
            adapters.push(Adapter { input: port.name.clone(), shape });
        }
        Self(adapters)
    }

    /// What the graph's inputs are called.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|adapter| adapter.input.as_str())
    }

    /// The strength of each, 0 for those that aren't asked for.
    pub(super) fn scales(&self, lora: &[Lora]) -> Vec<f32> {
        let scale = |adapter: &Adapter| {
            lora.iter()
                .find(|asked| asked.name == adapter.name())
                .map_or(0.0, |asked| single(asked.scale))
        };
        self.0.iter().map(scale).collect()
    }

    /// The graph's inputs for these strengths.
    pub(super) fn given<'a>(&'a self, scales: &'a [f32]) -> impl Iterator<Item = Input<'a>> {
        self.0.iter().zip(scales).map(|(adapter, scale)| Input {
            name: &adapter.input,
            shape: &adapter.shape,
            values: Values::F32(std::slice::from_ref(scale)),
        })
    }

    /// Adds them to a denoiser's inputs, with the strengths that a request asks for.
    pub(in crate::diffusion) fn push_to(&self, conditioning: &mut Conditioning, lora: &[Lora]) {
        for (adapter, scale) in self.0.iter().zip(self.scales(lora)) {
            conditioning.push_shared(adapter.input.clone(), &adapter.shape, vec![scale]);
        }
    }
}

/// The names of a model's adapters: a graph may have some of them only.
pub(in crate::diffusion) fn names<'a>(
    graphs: impl IntoIterator<Item = &'a Adapters>,
) -> Vec<String> {
    let names: BTreeSet<_> =
        graphs.into_iter().flat_map(|graph| graph.0.iter().map(Adapter::name)).collect();
    names.into_iter().map(str::to_owned).collect()
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.chars().count())
        && name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.'))
}
