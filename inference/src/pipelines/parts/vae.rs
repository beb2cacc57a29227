//! Both halves of a folder's VAE.

use super::configs::VaeConfig;
use super::decoder::{Decoder, VaeDecoder};
use super::encoder::{ENCODER, VaeEncoder};
use crate::folder::{Family, Folder};
use crate::pipelines::Error;
use crate::session::{Device, Runtime};

/// The decoder, and the encoder where the folder has one.
pub(in crate::pipelines) struct Vae {
    pub(in crate::pipelines) decoder: Decoder,
    pub(in crate::pipelines) encoder: Option<VaeEncoder>,
}

impl Vae {
    /// The graphs that it is made of, for the check of the folder's files.
    pub(in crate::pipelines) fn graphs(folder: &Folder) -> Vec<&'static str> {
        let mut graphs = vec![super::decoder::DECODER];
        if folder.has_graph(ENCODER) {
            graphs.push(ENCODER);
        }
        graphs
    }

    pub(in crate::pipelines) fn load(
        runtime: &Runtime,
        folder: &Folder,
        device: Device,
        config: &VaeConfig,
    ) -> Result<Self, Error> {
        let decoder = VaeDecoder::load(runtime, folder, device, config)?;
        let encoder = VaeEncoder::load(runtime, folder, device, config)?;
        Ok(Self { decoder: Decoder::Vae(Box::new(decoder)), encoder })
    }

    /// What of the family's tasks can be done: with a picture only where there is an encoder.
    pub(in crate::pipelines) fn tasks(&self, family: Family) -> Vec<&'static str> {
        let can = |task: &&&str| self.encoder.is_some() || **task == "text-to-image";
        family.tasks().iter().filter(can).copied().collect()
    }
}
