//! What the worker is: the one place that says whether it loads, serves, sleeps, drains or ends.

use std::collections::BTreeSet;
use std::time::Duration;

use hearth_api::{CallError, ErrorKind};
use hearth_protocol::record::WorkerState;

use super::orders::OrderId;

/// The worker's stage, and whether it is drained besides: a drain outlasts a sleep and a restart.
pub(crate) struct Lifecycle {
    pub(super) stage: Stage,
    pub(super) drained: bool,
}

/// What the worker does as a whole.
pub(super) enum Stage {
    /// It loads the models of its start.
    Starting(Arrivals),
    /// It takes requests, unless it is drained.
    Serving,
    /// It was told to sleep, and finishes what it has accepted.
    Drowsy,
    /// Its models were given back.
    Asleep,
    /// It brings its models back.
    Waking(Arrivals),
    /// It finishes what it has accepted; then this run is over.
    Ending,
    /// A run of a graph doesn't end, and this run of the worker is over.
    Hung,
    /// Nothing is left to do.
    Closed,
}

/// Models that a stage waits for.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Those that are not there yet.
    pub(super) left: BTreeSet<String>,
    /// Those that came.
    pub(super) arrived: Vec<String>,
    /// Why one did not come.
    pub(super) error: Option<CallError>,
    /// Who waits for all of them.
    pub(super) orders: Vec<OrderId>,
}

impl Arrivals {
    /// Waits for these models.
    pub(super) fn of(models: Vec<String>) -> Self {
        Self { left: models.into_iter().collect(), ..Self::default() }
    }
}

impl Lifecycle {
    /// What is announced.
    pub(crate) fn state(&self) -> WorkerState {
        match (&self.stage, self.drained) {
            (Stage::Ending | Stage::Closed, _) => WorkerState::Draining,
            (Stage::Hung, _) => WorkerState::Unhealthy,
            (Stage::Drowsy | Stage::Asleep, _) => WorkerState::Sleeping,
            (Stage::Starting(_) | Stage::Serving | Stage::Waking(_), true) => WorkerState::Draining,
            (Stage::Starting(_) | Stage::Waking(_), false) => WorkerState::Loading,
            (Stage::Serving, false) => WorkerState::Ready,
        }
    }

    /// Whether this run is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending | Stage::Hung | Stage::Closed)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.stage, Stage::Asleep)
    }

    /// Fails in sleep, and while the models of a start or a waking are loaded.
    ///
    /// # Errors
    /// `not_ready`.
    pub(crate) fn check_awake(&self) -> Result<(), CallError> {
        match self.stage {
            Stage::Drowsy | Stage::Asleep => Err(sleeping()),
            Stage::Starting(_) | Stage::Waking(_) => Err(still_loading()),
            Stage::Serving | Stage::Ending | Stage::Hung | Stage::Closed => Ok(()),
        }
    }

    /// Fails unless new work is taken.
    ///
    /// # Errors
    /// `not_ready` while models are loaded and in sleep, `draining`.
    pub(crate) fn check_open(&self) -> Result<(), CallError> {
        match self.state() {
            WorkerState::Loading => Err(still_loading()),
            WorkerState::Sleeping => Err(sleeping()),
            WorkerState::Draining => Err(draining()),
            WorkerState::Unhealthy => Err(about_to_end()),
            WorkerState::Ready | WorkerState::Unknown => Ok(()),
        }
    }

    /// Fails where an item that was checked already can't come in any more. One that waits for its
    /// model meanwhile is taken.
    pub(super) fn check_admission(&self) -> Result<(), CallError> {
        if self.drained {
            return Err(draining());
        }
        match self.stage {
            Stage::Ending | Stage::Hung | Stage::Closed => Err(draining()),
            Stage::Drowsy | Stage::Asleep => Err(sleeping()),
            Stage::Starting(_) | Stage::Waking(_) | Stage::Serving => Ok(()),
        }
    }

    /// Takes requests again.
    ///
    /// # Errors
    /// `draining` for a worker that is about to end.
    pub(super) fn resume(&mut self) -> Result<(), CallError> {
        if self.is_ending() {
            return Err(about_to_end());
        }
        self.drained = false;
        Ok(())
    }

    /// Takes nothing new until it is woken; one that sleeps already stays so.
    ///
    /// # Errors
    /// `draining` for a worker that is about to end, `not_ready` for one that still loads.
    pub(super) fn fall_asleep(&mut self) -> Result<(), CallError> {
        match self.stage {
            Stage::Ending | Stage::Hung | Stage::Closed => Err(about_to_end()),
            Stage::Starting(_) | Stage::Waking(_) => Err(still_loading()),
            Stage::Drowsy | Stage::Asleep => Ok(()),
            Stage::Serving => {
                self.stage = Stage::Drowsy;
                Ok(())
            }
        }
    }

    /// The models that the stage waits for, if it waits for any.
    pub(super) fn arrivals(&mut self) -> Option<&mut Arrivals> {
        match &mut self.stage {
            Stage::Starting(arrivals) | Stage::Waking(arrivals) => Some(arrivals),
            Stage::Serving
            | Stage::Drowsy
            | Stage::Asleep
            | Stage::Ending
            | Stage::Hung
            | Stage::Closed => None,
        }
    }
}

pub(super) fn sleeping() -> CallError {
    let message = "the worker sleeps: hearth wake ends that, or ask another worker";
    CallError::new(ErrorKind::NotReady, message)
}

pub(super) fn about_to_end() -> CallError {
    CallError::new(ErrorKind::Draining, "the worker is about to end: start it again")
}

/// The error of what was computed when a run of a graph hung.
pub(super) fn hung(busy: Duration) -> CallError {
    let message = format!(
        "a run of a graph has taken {busy:.0?}, longer than worker.step_timeout allows: the worker \
         counts as hung and ends, ask another one"
    );
    CallError::new(ErrorKind::WorkerLost, message)
}

fn still_loading() -> CallError {
    let message = "the worker still loads its models: try again or ask another worker";
    CallError::new(ErrorKind::NotReady, message)
}

fn draining() -> CallError {
    CallError::new(ErrorKind::Draining, "the worker is draining: ask another one")
}
