//! The thread that loads models and profiles them: steps and calls go on meanwhile.

use std::sync::Arc;

use hearth_api::CallError;

use super::guard::guarded;
use super::inbox::Inbox;
use super::load_error::LoadError;
use super::opener::Opener;
use super::profile::profile;
use super::task::LoadTask;

/// Loads until all is over.
pub(super) fn run(inbox: &Arc<Inbox>, mut opener: Opener) {
    while let Some(LoadTask { model, path, progress, profile: order }) = inbox.next_load() {
        let order = order.map(|(order, caller)| {
            let outcome = guarded(|| profile(&mut opener, &order, &path));
            let fault = |_| Err(CallError::from(&LoadError::Panicked));
            (outcome.unwrap_or_else(fault), caller)
        });
        let outcome = guarded(|| opener.load(&model, &path, progress));
        let outcome = outcome.unwrap_or(Err(LoadError::Panicked));
        if let Err(error) = &outcome {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "a model can't be loaded");
        }
        inbox.loaded(model, outcome);
        // Who asked for the profile finds the model as it was.
        if let Some((profiles, caller)) = order {
            let _ = caller.send(profiles);
        }
    }
}
