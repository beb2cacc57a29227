//! A request before anything is computed for it: checked, with its defaults, its files decoded and
//! its schedule built.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use hearth_api::GenerationRequest;

use super::{BatchKey, Invalid};

/// Checks and prepares requests for one model. It runs no graph, so that any thread can prepare a
/// request while the model computes another.
pub trait Prepare: Send + Sync {
    /// Checks all of a request, fills in the defaults, decodes what it brings along and builds its
    /// schedule: once, whatever comes of it.
    ///
    /// # Errors
    /// The first field that can't be used.
    fn prepare(&self, request: &GenerationRequest) -> Result<PreparedRequest, Invalid>;

    /// A small request of the model's own choice that uses every graph; `None` where no request can
    /// be made up.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn prepare_warm_up(&self) -> Result<Option<PreparedRequest>, Invalid> {
        Ok(None)
    }
}

/// A prepared request. Its items share it, and differ by the seed that they are started with.
#[derive(Clone)]
pub struct PreparedRequest {
    request: Arc<GenerationRequest>,
    steps: usize,
    warnings: Arc<[String]>,
    shares: Option<BatchKey>,
    content: Arc<dyn Any + Send + Sync>,
}

impl PreparedRequest {
    /// A request of so many steps, with its defaults. `content` is all that the model needs to
    /// start it.
    pub fn new(
        request: GenerationRequest,
        steps: usize,
        warnings: Vec<String>,
        content: impl Any + Send + Sync,
    ) -> Self {
        let (request, content) = (Arc::new(request), Arc::new(content));
        Self { request, steps, warnings: warnings.into(), shares: None, content }
    }

    /// The same, whose runs can share their steps with others of this key, as far as that is known
    /// before they start.
    #[must_use]
    pub fn sharing(self, shares: Option<BatchKey>) -> Self {
        Self { shares, ..self }
    }

    /// What its runs have in common with those that they could share steps with, as far as that is
    /// known before they start; `None` where each takes its steps alone.
    #[must_use]
    pub fn shares(&self) -> Option<&BatchKey> {
        self.shares.as_ref()
    }

    /// The request with every default filled in: one that makes the same again.
    #[must_use]
    pub fn request(&self) -> &Arc<GenerationRequest> {
        &self.request
    }

    /// Steps that each of its items takes.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// What the caller should know, as far as it is known before anything is computed.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the model's own [`Prepare`] has put in; `None` for another type of model.
    #[must_use]
    pub fn content<T: Any>(&self) -> Option<&T> {
        self.content.downcast_ref()
    }
}

impl fmt::Debug for PreparedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedRequest")
            .field("steps", &self.steps)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
