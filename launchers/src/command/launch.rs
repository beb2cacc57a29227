//! A launch: all of it, or nothing is left.

use super::answer::{self, MAX_ANSWER};
use super::cancel::cancel;
use super::config::{Call, Config, NAME};
use super::memory::{Memory, save_handle};
use super::programs::Programs;
use super::request::{self, Launch};
use super::run::{Failure, Limits, run};
use super::target::LaunchTargets;
use crate::draft::Draft;
use crate::state::make_folder;
use crate::{Error, Handle, LaunchRecord, LaunchSpec, StateDir};

pub(super) async fn launch(
    state: &StateDir,
    config: &Config,
    spec: &LaunchSpec,
) -> Result<Vec<Handle>, Error> {
    spec.check()?;
    request::check(spec)?;
    let programs = Programs::find(config)?;
    let mut record = LaunchRecord::new(spec.launch_id(), NAME, spec, "");
    let mut draft = Draft::new(state, &record.id);
    // Before the record, which others may find: they go on with these programs.
    make_folder(&state.launch_folder(&record.id))?;
    programs.save(state, &record.id)?;
    state.create(&record, &spec.files)?;
    // From here on something may run, whatever comes back, and where this is broken off as well:
    // the record stays, so that it can be ended.
    draft.keep();
    if let Err(failure) = start(state, &programs, &record, spec).await {
        return Err(match failure {
            StartFailure::Nothing(error) => {
                state.remove(&record.id)?;
                error
            }
            StartFailure::Something(error) => give_up(state, &record, error).await,
        });
    }
    record.native = programs.argv(Call::Launch).first().cloned().unwrap_or_default();
    if let Err(error) = state.save(&record) {
        return Err(give_up(state, &record, error).await);
    }
    let handles: Vec<Handle> = record.handles().collect();
    end_cancelled(state, &handles).await?;
    Ok(handles)
}

/// Why a launch failed.
enum StartFailure {
    /// Nothing was started.
    Nothing(Error),
    /// Something may run.
    Something(Error),
}

/// Runs the program, and keeps what it calls the replicas.
async fn start(
    state: &StateDir,
    programs: &Programs,
    record: &LaunchRecord,
    spec: &LaunchSpec,
) -> Result<(), StartFailure> {
    let names: Vec<Vec<&str>> =
        spec.files.iter().map(|files| files.keys().map(String::as_str).collect()).collect();
    let request = Launch { record, programs, state }.launch(&names);
    let limits = Limits { time: programs.config.launch_timeout, output: MAX_ANSWER };
    let printed = run(programs, Call::Launch, &record.id, &request, limits).await;
    let printed = printed.map_err(|failure| match failure {
        Failure::Unstarted(error) => StartFailure::Nothing(error),
        Failure::Refused { printed, reason } => {
            let named = answer::refusal(&printed, &spec.program);
            let manager = || Error::Manager { launcher: NAME, reason };
            StartFailure::Nothing(named.unwrap_or_else(manager))
        }
        Failure::Unknown(_) | Failure::TryAgain(_) | Failure::Failed(_) => {
            StartFailure::Something(failure.into())
        }
    })?;
    let handles = answer::handles(&printed, spec.replicas).map_err(|why| {
        let reason = format!("{} {why}", programs.name(Call::Launch));
        StartFailure::Something(Error::Manager { launcher: NAME, reason })
    })?;
    for (rank, handle) in handles {
        let folder = state.replica_folder(&record.id, rank);
        save_handle(&folder, &handle).map_err(StartFailure::Something)?;
    }
    Ok(())
}

/// Ends what may run of a launch that failed. Where that fails too the launch is kept, so that it
/// can be ended later. Returns why it failed.
async fn give_up(state: &StateDir, record: &LaunchRecord, error: Error) -> Error {
    let handles: Vec<Handle> = record.handles().collect();
    let ended = match LaunchTargets::of(state, &handles) {
        Ok(launches) => cancel(state, &launches).await,
        Err(unread) => Err(unread),
    };
    match ended {
        Ok(()) => state.remove(&record.id).err().unwrap_or(error),
        Err(unended) => Error::Manager {
            launcher: NAME,
            reason: format!(
                "{error}; what came of it could not be ended ({unended}): hearth replicas cancel \
                 {NAME}/{} tries it again",
                record.id
            ),
        },
    }
}

/// Somebody may have cancelled replicas before their program knew of them: they are ended now that
/// it does.
async fn end_cancelled(state: &StateDir, handles: &[Handle]) -> Result<(), Error> {
    let mut cancelled = Vec::new();
    for handle in handles {
        let folder = state.replica_folder(&handle.launch, handle.rank);
        if Memory::load(&folder)?.cancelled {
            Memory { cancelled: true, ..Memory::default() }.save(&folder)?;
            cancelled.push(handle.clone());
        }
    }
    match cancelled.is_empty() {
        true => Ok(()),
        false => cancel(state, &LaunchTargets::of(state, &cancelled)?).await,
    }
}
