//! Stopping a generation from another thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::session::RunOptions;

use super::{Error, Interruption};

/// A switch that stops one generation: between steps at once, within a running session at its
/// next operator. Clones are the same switch. Once thrown it stays so.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Default)]
struct State {
    thrown: AtomicBool,
    /// The options of the session run that goes on under this switch, if any.
    running: Mutex<Option<Arc<RunOptions>>>,
    /// Told of each run before it begins.
    on_run: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Interrupt {
    /// A switch that isn't thrown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Throws the switch. Returns at once; the running session ends a few milliseconds later.
    pub fn interrupt(&self) {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.thrown.store(true, Ordering::SeqCst);
        if let Some(options) = &*running
            && let Err(error) = options.terminate()
        {
            tracing::warn!(%error, "the running ONNX session can't be told to stop");
        }
    }

    /// Has `tell` called before each session run under this switch, on the thread that runs it:
    /// work of many runs is thereby seen to go on. The first call counts.
    pub fn on_run(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.on_run.set(Box::new(tell));
    }

    /// Whether the switch was thrown.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.thrown.load(Ordering::SeqCst)
    }

    /// Fails if the switch was thrown.
    ///
    /// # Errors
    /// [`Interruption`].
    pub fn check(&self) -> Result<(), Interruption> {
        if self.is_interrupted() { Err(Interruption) } else { Ok(()) }
    }

    /// Runs a session under this switch: `run` uses `options`, which `interrupt` terminates.
    ///
    /// The options are cleared afterwards, as termination would otherwise stop every later run.
    pub(super) fn during<T>(
        &self,
        options: &Arc<RunOptions>,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(tell) = self.0.on_run.get() {
            tell();
        }
        {
            let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            self.check()?;
            *running = Some(Arc::clone(options));
        }
        let result = run();
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = None;
        if self.is_interrupted() {
            if let Err(error) = options.unterminate() {
                tracing::error!(%error, "a stopped ONNX session can't be made ready again");
            }
            return Err(Interruption.into());
        }
        result
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.is_interrupted()).finish()
    }
}
