//! Both halves of a folder's VAE.

use super::configs::{VaeConfig, bad};
use super::decoder::{self, Decoder, VaeDecoder};
use super::encoder::{self, ENCODER, VaeEncoder};
use super::tiling::Tiling;
use super::vae_graph::VaeGraph;
use crate::folder::{Family, Folder};
use crate::pipelines::{Error, LoadOptions};
use crate::session::{Runtime, onnx};

/// The decoder, and the encoder where the folder has one.
pub(in crate::pipelines) struct Vae {
    pub(in crate::pipelines) decoder: Decoder,
    pub(in crate::pipelines) encoder: Option<VaeEncoder>,
    tiling: Tiling,
    /// The graphs that take one size only: a part, and its rows and columns of cells.
    built_in: Vec<(&'static str, [usize; 2])>,
    cell: u32,
}

impl Vae {
    /// The graphs that it is made of, for the check of the folder's files.
    pub(in crate::pipelines) fn graphs(folder: &Folder) -> Vec<&'static str> {
        let mut graphs = vec![decoder::DECODER];
        if has_encoder(folder) {
            graphs.push(ENCODER);
        }
        graphs
    }

    /// Loads what the folder has of it. It is cut as `options` say, then as the folder does.
    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        options: &LoadOptions,
        config: &VaeConfig,
    ) -> Result<Self, Error> {
        let (device, cell) = (options.device, config.cell());
        let decoder = VaeGraph::load(runtime, folder, device, decoder::PORTS)?;
        let encoder = match has_encoder(folder) {
            true => Some(VaeGraph::load(runtime, folder, device, encoder::PORTS)?),
            false => None,
        };
        let mut built_in = Vec::new();
        built_in.extend(decoder.fixed_size()?.map(|size| (decoder::DECODER, size)));
        if let Some(encoder) = &encoder {
            let cells = |size: [usize; 2]| size.map(|side| side / cell as usize);
            built_in.extend(encoder.fixed_size()?.map(|size| (ENCODER, cells(size))));
        }
        let asked = options.vae_tiling.over(folder.defaults().vae_tiling);
        let tiling = Tiling::resolve(asked, config, &built_in)?;
        let family = folder.family();
        let decoder = VaeDecoder::new(decoder, family, config, tiling);
        Ok(Self {
            decoder: Decoder::Vae(Box::new(decoder)),
            encoder: encoder.map(|encoder| VaeEncoder::new(encoder, family, config, tiling)),
            tiling,
            built_in,
            cell,
        })
    }

    /// What of the family's tasks can be done: with a picture only where there is an encoder.
    pub(in crate::pipelines) fn tasks(&self, family: Family) -> Vec<&'static str> {
        let can = |task: &&&str| self.encoder.is_some() || **task == "text-to-image";
        family.tasks().iter().filter(can).copied().collect()
    }

    /// Rows and columns of the only latents that pictures can have: those that are built into the
    /// denoiser, or into a graph of the VAE that isn't to work in tiles.
    pub(in crate::pipelines) fn fixed_size(
        &self,
        denoiser: Option<[u32; 2]>,
    ) -> Result<Option<[u32; 2]>, Error> {
        let mut fixed = denoiser;
        for &(part, size) in &self.built_in {
            let own = size.map(|side| side as u32);
            let fits = match (fixed, self.tiling.is_given()) {
                (Some(fixed), true) => fixed.iter().zip(own).all(|(side, own)| *side >= own),
                (Some(fixed), false) => fixed == own,
                (None, _) => true,
            };
            if !fits {
                let [height, width] = fixed.unwrap_or(own).map(|side| side * self.cell);
                let [own_height, own_width] = own.map(|side| side * self.cell);
                let reason = format!(
                    "it has {own_width}x{own_height} built in where pictures are of \
                     {width}x{height}; export it with open axes, or set vae_tiling.tile to its \
                     side if that is the smaller one"
                );
                return Err(bad(part, reason));
            }
            if !self.tiling.is_given() {
                fixed = Some(own);
            }
        }
        Ok(fixed)
    }

    /// The shortest side of a picture, in pixels: a graph of a fixed size can't make less.
    pub(in crate::pipelines) fn smallest(&self) -> u32 {
        let tile = self.tiling.tile() as u32 * self.cell;
        if self.tiling.is_given() && !self.built_in.is_empty() { tile } else { 0 }
    }
}

/// What older exports call their encoder's output.
const DRAWN: &str = "latent_sample";

/// Whether there is an encoder that a picture can start from. Older exports have one that draws
/// its latents by random numbers of its own, so that no seed would make a picture again.
fn has_encoder(folder: &Folder) -> bool {
    folder.has_graph(ENCODER) && !draws_by_itself(folder)
}

/// Whether the folder's encoder is such an older one.
pub(in crate::pipelines) fn draws_by_itself(folder: &Folder) -> bool {
    let graph = folder.root().join(ENCODER).join("model.onnx");
    let Ok(files) = onnx::check(folder.root(), &graph) else { return false };
    let gives = |name: &str| files.header.outputs.iter().flatten().any(|port| port.name == name);
    gives(DRAWN) && !gives(encoder::PORTS.output)
}

/// Refuses settings of a VAE where there is none.
pub(in crate::pipelines) fn without_vae(
    folder: &Folder,
    options: &LoadOptions,
) -> Result<(), Error> {
    if options.vae_tiling.over(folder.defaults().vae_tiling).is_given() {
        return Err(bad("vae_tiling", "there is no VAE in this model; leave it out".to_owned()));
    }
    Ok(())
}
