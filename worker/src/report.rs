//! What the worker says of itself without being called: to its probe, its metrics and systemd.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use hearth_daemon::probe::Readiness;
use hearth_daemon::systemd;
use hearth_protocol::record::WorkerState;
use tokio::sync::watch;

use crate::metrics::WorkerFigures;
use crate::shared::Shared;

/// Says again, a few times a second, what has changed.
pub(crate) struct Reporter {
    shared: Arc<Shared>,
    readiness: watch::Sender<Readiness>,
    /// What systemd was told last.
    status: String,
    /// How much of the models was read when that was said last.
    percent: u8,
}

impl Reporter {
    pub(crate) fn new(shared: Arc<Shared>, readiness: watch::Sender<Readiness>) -> Self {
        Self { shared, readiness, status: String::new(), percent: 0 }
    }

    /// Says how the worker is, and that it lives unless a step hangs.
    pub(crate) fn report(&mut self) {
        let shared = &*self.shared;
        let (state, counts, (models, model_bytes)) = shared
            .inbox
            .look(|plan| (plan.life().state(), plan.items().counts(), plan.models().figures()));
        shared.metrics.set(&WorkerFigures {
            queued: counts.queued,
            running: counts.running,
            connections: shared.connections.load(Ordering::Relaxed),
            models,
            model_bytes,
            kept_bytes: counts.kept_bytes,
        });

        let hung = shared.hung();
        let identity = shared.identity.get();
        shared.metrics.set_certificate_end(identity.validity().not_after);
        let in_force = identity.check_in_force(SystemTime::now());
        let now = match (hung, in_force, state) {
            (Some(busy), _, _) => Readiness::NotReady(format!("a step has taken {busy:.0?}")),
            (None, Err(error), _) => Readiness::NotReady(error.to_string()),
            (None, Ok(()), WorkerState::Ready) => Readiness::Ready,
            (None, Ok(()), state) => Readiness::NotReady(state.to_string()),
        };
        self.readiness.send_if_modified(|known| {
            let differs = *known != now;
            *known = now;
            differs
        });

        if state == WorkerState::Loading {
            let percent = shared.inbox.look(|plan| plan.models().percent());
            if std::mem::replace(&mut self.percent, percent) != percent {
                shared.inbox.touch_record();
            }
        }
        if shared.journal.forget() {
            shared.inbox.touch_record();
        }
        let registered = shared.registered.load(Ordering::Relaxed);
        let apart = match (registered, &*shared.pending()) {
            (true, _) => String::new(),
            (false, None) => ", registration pending".to_owned(),
            (false, Some(reason)) => format!(", registration pending: {reason}"),
        };
        let status = format!("{state}, {} run, {} wait{apart}", counts.running, counts.queued);
        if status != self.status {
            systemd::status(&status);
            self.status = status;
        }
        if hung.is_none() {
            systemd::watchdog();
        }
    }
}
