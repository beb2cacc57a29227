//! Methods that only look.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use hearth_api::CallError;
use hearth_protocol::message::Request;
use hearth_protocol::methods::{GetRank, Health, ModelList, Stats};
use hearth_protocol::record::WorkerState;

use super::reply::value;
use crate::shared::Shared;

pub(super) fn get_rank(shared: &Shared, _: &Request) -> Result<Vec<u8>, CallError> {
    value(&GetRank {
        worker_id: shared.id.clone(),
        group: shared.group.clone(),
        rank: *shared.rank.borrow(),
        incarnation: shared.incarnation,
    })
}

pub(super) fn check_health(shared: &Shared, _: &Request) -> Result<Vec<u8>, CallError> {
    let state = shared.inbox.state();
    let hung = shared.hung();
    let reason = match state {
        _ if hung.is_some() => hung.map(|busy| format!("a step has taken {busy:.0?}")),
        WorkerState::Ready => None,
        WorkerState::Loading => Some(format!(
            "models are being loaded ({} %)",
            shared.inbox.look(|plan| plan.models().percent())
        )),
        WorkerState::Draining if shared.inbox.look(|plan| plan.life().is_ending()) => {
            Some("about to end".to_owned())
        }
        WorkerState::Draining => Some("draining: hearth resume ends that".to_owned()),
        WorkerState::Sleeping => {
            let counts = shared.inbox.look(|plan| plan.items().counts());
            let first = match counts.running + counts.queued {
                0 => String::new(),
                left => format!(", once {left} requests have ended"),
            };
            Some(format!("sleeping{first}: hearth wake ends that"))
        }
        WorkerState::Unhealthy => Some("a run of a graph has hung: it ends".to_owned()),
        WorkerState::Unknown => Some("the state is unknown".to_owned()),
    };
    let registered = shared.registered.load(Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    value(&Health {
        healthy: state == WorkerState::Ready && hung.is_none(),
        state,
        reason,
        registered,
        load: Some(shared.inbox.look(|plan| plan.items().load())),
        suspects: shared.journal.suspects(),
        time_ms: now.ok().and_then(|since| u64::try_from(since.as_millis()).ok()),
    })
}

pub(super) fn stats(shared: &Shared, _: &Request) -> Result<Vec<u8>, CallError> {
    let counts = shared.inbox.look(|plan| plan.items().counts());
    // A kernel that does not tell leaves zeros; nothing depends on them.
    let usage = shared.process.usage();
    let (rss_bytes, cpu_ms) = usage.map_or((0, 0), |usage| {
        (usage.rss_bytes, u64::try_from(usage.cpu_time.as_millis()).unwrap_or(u64::MAX))
    });
    let started = shared.process.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    value(&Stats {
        pid: shared.process.pid,
        started_at_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
        rss_bytes,
        cpu_ms,
        model_loads: shared.metrics.model_loads(),
        loaded_bytes: shared.metrics.loaded_bytes(),
        steps: shared.metrics.steps(),
        running: counts.running,
        queued: counts.queued,
        done: counts.done,
        failed: counts.failed,
        cancelled: counts.cancelled,
        refused: counts.refused,
        connections: shared.connections.load(Ordering::Relaxed),
        capacity: shared.capacity,
    })
}

pub(super) fn list_models(shared: &Shared, _: &Request) -> Result<Vec<u8>, CallError> {
    value(&ModelList { models: shared.inbox.look(|plan| plan.models().list()) })
}
