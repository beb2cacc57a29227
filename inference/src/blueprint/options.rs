//! How a model is to be loaded.

use std::path::PathBuf;

use super::folder::{DigestCache, VaeTiling};
use crate::session::Device;

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The device that all its sessions run on.
    pub device: Device,
    /// How its VAE cuts large pictures; what isn't given is as the folder says.
    pub vae_tiling: VaeTiling,
    /// Folders that links in the model's folder may lead to.
    pub allow_links_to: Vec<PathBuf>,
    /// Digests of files that were read before.
    pub digested: DigestCache,
}
