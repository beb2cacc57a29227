//! Stopping a generation from another thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use ort::session::RunOptions;

use super::{Error, Interruption};

/// A switch that stops one generation: between steps at once, within a running session at its
/// next operator. Clones are the same switch. Once thrown it stays so.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Default)]
struct State {
    thrown: AtomicBool,
    under: Mutex<Under>,
    /// Told of each run before it begins.
    on_run: OnceLock<Arc<dyn Fn() + Send + Sync>>,
    /// Of a shared switch: the members that aren't thrown yet.
    left: AtomicUsize,
}

/// What a switch stops.
#[derive(Default)]
struct Under {
    /// The options of the session run that goes on under this switch, if any.
    running: Option<Arc<RunOptions>>,
    /// The shared switches that this one is a member of.
    shared: Vec<Weak<State>>,
}

impl State {
    fn under(&self) -> MutexGuard<'_, Under> {
        self.under.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member was thrown; the last one throws the shared switch.
    fn lose_member(self: Arc<Self>) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            Interrupt(self).interrupt();
        }
    }
}

impl Interrupt {
    /// A switch that isn't thrown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One switch for a run that several share: it is thrown once all of theirs are, as what some of
    /// them gave up costs the others nothing.
    #[must_use]
    pub fn shared_by(members: &[&Self]) -> Self {
        if let [only] = members {
            return (*only).clone();
        }
        let shared = Self::new();
        shared.0.left.store(members.len(), Ordering::SeqCst);
        if let Some(tell) = members.iter().find_map(|member| member.0.on_run.get()) {
            let _ = shared.0.on_run.set(Arc::clone(tell));
        }
        for member in members {
            let mut under = member.0.under();
            under.shared.retain(|other| other.strong_count() > 0);
            if member.is_interrupted() {
                drop(under);
                Arc::clone(&shared.0).lose_member();
            } else {
                under.shared.push(Arc::downgrade(&shared.0));
            }
        }
        shared
    }

    /// Throws the switch. Returns at once; the running session ends a few milliseconds later.
    pub fn interrupt(&self) {
        let mut under = self.0.under();
        self.0.thrown.store(true, Ordering::SeqCst);
        if let Some(options) = &under.running
            && let Err(error) = options.terminate()
        {
            tracing::warn!(%error, "the running ONNX session can't be told to stop");
        }
        let shared = std::mem::take(&mut under.shared);
        drop(under);
        shared.iter().filter_map(Weak::upgrade).for_each(State::lose_member);
    }

    /// Has `tell` called before each session run under this switch, on the thread that runs it:
    /// work of many runs is thereby seen to go on. The first call counts.
    pub fn on_run(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.on_run.set(Arc::new(tell));
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
            let mut under = self.0.under();
            self.check()?;
            under.running = Some(Arc::clone(options));
        }
        let result = run();
        let mut under = self.0.under();
        under.running = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_switch_is_thrown_with_the_last_of_its_members() {
        let [first, second] = [Interrupt::new(), Interrupt::new()];
        let shared = Interrupt::shared_by(&[&first, &second]);
        first.interrupt();
        first.interrupt();
        assert!(!shared.is_interrupted(), "the second goes on");
        let late = Interrupt::shared_by(&[&first, &second]);
        assert!(!late.is_interrupted());
        second.interrupt();
        assert!(shared.is_interrupted() && late.is_interrupted());
        assert!(Interrupt::shared_by(&[&first, &second]).is_interrupted());
    }

    #[test]
    fn a_switch_remembers_no_run_that_is_over() {
        let [first, second] = [Interrupt::new(), Interrupt::new()];
        for _ in 0..100 {
            drop(Interrupt::shared_by(&[&first, &second]));
        }
        assert!(first.0.under().shared.len() <= 1);
        let alone = Interrupt::shared_by(&[&first]);
        first.interrupt();
        assert!(alone.is_interrupted(), "one member's is that member's");
    }
}
