//! A model folder on disk, in the layout of a diffusers ONNX export.
//!
//! What the folder says about itself (`model_index.json`, configs, `hearth.json`), where its
//! components are, its digests, and what is missing and how to get it. What a component means is
//! known elsewhere. The layout is described in `docs/model-folders.md`.

mod defaults;
mod digest_cache;
mod error;
mod export;
mod index;
mod inside;
mod json;
mod limits;
mod links;
mod listing;
mod manifest;
mod tiling;

pub use self::defaults::FolderDefaults;
pub use self::digest_cache::DigestCache;
pub use self::error::Error;
pub(crate) use self::export::Folder;
pub(crate) use self::index::Index;
pub(crate) use self::limits::MAX_SIDE;
pub use self::manifest::{Contents, Difference, Differs, MANIFEST, Manifest};
pub(crate) use self::manifest::{contents, examine};
pub use self::tiling::{BadTiling, TilingThreshold, VaeTiling};
