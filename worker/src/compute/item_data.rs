//! What an item's number stands for: its request, what stops it, who watches it.

use std::sync::Arc;

use hearth_inference::session::Interrupt;
use hearth_protocol::methods::GenerateArgs;
use tokio::sync::watch;

use super::task::{Preparation, RunResult};
use crate::items::ItemView;

pub(super) struct ItemData {
    /// None once the item has ended.
    args: Option<Arc<GenerateArgs>>,
    pub(super) prepared: Option<Arc<Preparation>>,
    /// What compute made of it, until the encoder gets it.
    pub(super) result: Option<RunResult>,
    interrupt: Interrupt,
    pub(super) view: watch::Sender<ItemView>,
}

impl ItemData {
    pub(super) fn new(
        args: Arc<GenerateArgs>,
        prepared: Option<Arc<Preparation>>,
        view: ItemView,
    ) -> Self {
        let (args, view) = (Some(args), watch::Sender::new(view));
        Self { args, prepared, result: None, interrupt: Interrupt::new(), view }
    }

    pub(super) fn args(&self) -> Option<Arc<GenerateArgs>> {
        self.args.clone()
    }

    /// What stops it.
    pub(super) fn switch(&self) -> Interrupt {
        self.interrupt.clone()
    }

    pub(super) fn interrupt(&self) {
        self.interrupt.interrupt();
    }

    /// Lets go what a kept result doesn't need: the request's files may be large.
    pub(super) fn end(&mut self) {
        (self.args, self.prepared, self.result) = (None, None, None);
    }
}
