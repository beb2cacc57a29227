//! What is known of the workers.

mod view;

use hearth_protocol::{CallError, ErrorKind};

pub use view::{EndpointView, FleetView, InFlight, WorkerStatus, WorkerView};

/// `no_worker`, with what is known of the fleet.
pub(crate) fn no_worker(view: &FleetView, what: &str) -> CallError {
    let _ = view;
    CallError::new(ErrorKind::NoWorker, what)
}

/// `worker_lost` for a worker without a connection.
pub(crate) fn not_connected(worker: &WorkerView) -> CallError {
    CallError::new(ErrorKind::WorkerLost, worker.status.to_string())
}
