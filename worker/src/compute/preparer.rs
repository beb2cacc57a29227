//! The thread that prepares requests which came before their model was there. The others were
//! prepared when they were admitted.

use std::sync::Arc;

use super::guard::guarded;
use super::inbox::Inbox;
use super::task::{Preparation, PrepareTask};
use crate::admission::prepare::prepare;

/// Prepares until all is over.
pub(super) fn run(inbox: &Arc<Inbox>) {
    while let Some(PrepareTask { item, args, facts }) = inbox.next_preparation() {
        let prepared = guarded(|| prepare(facts.preparer.as_deref(), &args.request));
        let digest = facts.description.digest.clone();
        let outcome = prepared.unwrap_or_else(Err);
        let outcome = outcome.map(|prepared| Arc::new(Preparation { prepared, digest }));
        inbox.prepared(item, outcome);
    }
}
