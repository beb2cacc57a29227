//! A replica's output, as its program prints it.

use std::io;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::timeout;

use super::config::{Call, NAME};
use super::run::{Failure, RunningProgram};
use super::target::LaunchTargets;
use crate::{Error, LogLines, LogOptions, StateDir, log_stream};

/// The lines of the one replica that these launches have.
pub(super) fn lines(
    state: &StateDir,
    launches: &[LaunchTargets],
    options: LogOptions,
) -> Result<LogLines, Error> {
    let one = launches.first().and_then(|launch| Some((launch, launch.targets.first()?)));
    let Some((launch, target)) = one else { return Ok(stream::empty().boxed()) };
    let request = launch.request(state).logs(&target.named(), options);
    let program = RunningProgram::start(&launch.programs, Call::Logs, launch.id(), &request)?;
    let name = launch.programs.name(Call::Logs);
    // One that is followed may have nothing to say for hours.
    let patience = (!options.follow).then_some(launch.programs.config.timeout);
    let chunks = stream::try_unfold((program, name), move |(mut program, name)| async move {
        let chunk = match patience {
            None => program.chunk().await?,
            Some(limit) => timeout(limit, program.chunk()).await.map_err(|_| {
                let limit = humantime::format_duration(limit);
                io::Error::other(format!("{name} printed nothing for {limit}"))
            })??,
        };
        match chunk {
            Some(chunk) => Ok(Some((chunk, (program, name)))),
            None => {
                let ended = program.conclude(&name).await;
                ended.map(|()| None).map_err(|failure: Failure| {
                    io::Error::other(match Error::from(failure) {
                        Error::Manager { reason, .. } => reason,
                        error => error.to_string(),
                    })
                })
            }
        }
    });
    Ok(log_stream::lines(NAME, chunks.boxed().into_async_read()).boxed())
}
