//! What is known of the workers: a pure state that events go into and a view comes out of.
//!
//! No async, no clock, no I/O: an executor tells it what the registry and the connections say. It
//! starts and ends no connection; [`Fleet::targets`] says which there should be.

mod input;
mod member;
mod outlook;
mod state;
mod view;

#[cfg(test)]
pub(crate) mod tests;

use hearth_api::{CallError, ErrorKind};

pub use input::{Condition, Description, Introduction, Key, Listing, Target};
pub use outlook::Outlook;
pub use state::Fleet;
pub use view::{Backlog, EndpointView, FleetView, InFlight, WorkerStatus, WorkerView};

/// `no_worker`: what is missing, then what is known of the fleet.
pub(crate) fn no_worker(view: &FleetView, what: &str) -> CallError {
    let FleetView { registry, workers, endpoints, .. } = view;
    let mut message = format!("{what}; {registry} ");
    if let Some(error) = &view.error {
        message += &format!("({error}) ");
    }
    let known = workers.len() + endpoints.len();
    message += &match known {
        0 if !view.synced => "has not answered yet".to_owned(),
        0 => "lists no worker: start one with hearth-worker, or some on this host with hearth up"
            .to_owned(),
        1 => "lists 1".to_owned(),
        _ => format!("lists {known}"),
    };
    let lines = lines(view);
    if !lines.is_empty() {
        message += &format!(": {lines}");
    }
    let any = |status| workers.iter().any(|worker| worker.status == status);
    if any(WorkerStatus::Sleeping) {
        message += "; hearth wake ends a sleep";
    }
    if any(WorkerStatus::Draining) {
        message += "; hearth resume takes a drain back";
    }
    CallError::new(ErrorKind::NoWorker, message)
}

/// How each worker is, for people; of many the first few.
pub(crate) fn lines(view: &FleetView) -> String {
    let FleetView { workers, endpoints, .. } = view;
    let known = workers.len() + endpoints.len();
    // Enough to see a cause that many workers share.
    const SHOWN: usize = 5;
    let workers = workers.iter().map(|worker| describe(worker.id.as_str(), &worker.status));
    let endpoints = endpoints.iter().map(|e| describe(&e.address.to_string(), &e.status));
    let mut lines = workers.chain(endpoints).take(SHOWN).collect::<Vec<_>>().join("; ");
    if known > SHOWN {
        lines += &format!("; and {} more", known - SHOWN);
    }
    lines
}

/// `worker_lost` for a worker without a connection.
pub(crate) fn not_connected(worker: &WorkerView) -> CallError {
    let message = format!("not connected: {}", describe(worker.id.as_str(), &worker.status));
    CallError::new(ErrorKind::WorkerLost, message).at(&worker.id, worker.rank)
}

fn describe(name: &str, status: &WorkerStatus) -> String {
    match status.reason() {
        Some(reason) => format!("{name} is {status} ({reason})"),
        None => format!("{name} is {status}"),
    }
}
