//! A job that Slurm may have taken, though its number is not kept: it is known by its name.

use crate::shim::{ProcessId, Report};
use crate::{LaunchRecord, StateDir, Status};

/// From the moment that Slurm is asked to the moment that its answer is kept. Dropped in between,
/// as where the launch is given up, it has all replicas cancelled: should their tasks come to run,
/// their shims find so and don't begin. The record stays, so that the job can be ended.
pub(super) struct Submission<'a> {
    state: &'a StateDir,
    record: Option<LaunchRecord>,
}

impl<'a> Submission<'a> {
    pub(super) fn begin(state: &'a StateDir, record: &LaunchRecord) -> Self {
        Self { state, record: Some(record.clone()) }
    }

    /// The answer is kept, or there is no job.
    pub(super) fn over(mut self) {
        self.record = None;
    }
}

impl Drop for Submission<'_> {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            mark(self.state, record);
        }
    }
}

/// Has those replicas of a launch cancelled whose shims have not begun.
pub(super) fn mark(state: &StateDir, record: &LaunchRecord) {
    for handle in record.handles() {
        let folder = state.replica_folder(&handle.launch, handle.rank);
        let Ok(None) = Report::read(&folder) else { continue };
        let Some(own) = ProcessId::own() else { return };
        if let Err(error) = Report::begin(own).end(Status::Cancelled, None).write(&folder) {
            tracing::warn!(%error, %handle, "a replica that was given up may begin");
        }
    }
}
