//! A model before its sessions are opened.

use std::fmt;
use std::sync::Arc;

use super::sessions::Sessions;
use crate::model::{Description, Error, Model};

/// What a family has read of a folder: all of a model but its sessions.
pub(crate) struct Draft {
    /// What the model will be; the digest is put in when the files were read.
    pub(crate) description: Description,
    /// What a person should know before they ask for anything.
    pub(crate) warnings: Vec<String>,
    /// Puts the model together.
    pub(crate) build: Build,
}

/// Puts a model together from its sessions.
pub(crate) type Build =
    Box<dyn FnOnce(Arc<Description>, &mut Sessions) -> Result<Box<dyn Model>, Error> + Send>;

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("description", &self.description).finish_non_exhaustive()
    }
}
