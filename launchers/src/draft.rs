//! A launch that is being made: unless all of it comes to be, nothing is kept of it.

use crate::{LaunchId, StateDir};

/// Removes what is kept of a launch when it is dropped before [`Draft::keep`], also where the
/// launch is given up in the middle. A shim that comes to begin after that finds nothing to run.
pub(crate) struct Draft<'a> {
    state: &'a StateDir,
    launch: Option<LaunchId>,
}

impl<'a> Draft<'a> {
    /// To be made before anything is written.
    pub(crate) fn new(state: &'a StateDir, launch: &LaunchId) -> Self {
        Self { state, launch: Some(launch.clone()) }
    }

    /// The launch is there, and stays.
    pub(crate) fn keep(&mut self) {
        self.launch = None;
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let Some(launch) = &self.launch else { return };
        if let Err(error) = self.state.remove(launch) {
            tracing::warn!(%error, %launch, "a launch that failed left files");
        }
    }
}
