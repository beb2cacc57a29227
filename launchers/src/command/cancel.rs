//! Ends replicas: asks their program, sees that it has come to pass, and asks for force where it has
//! not.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::config::{Call, NAME};
use super::memory::Memory;
use super::poll::look;
use super::run::{Failure, Limits, run};
use super::target::{LaunchTargets, Target};
use crate::{Error, StateDir};

/// Between two looks, at first and at most.
const LOOK: Duration = Duration::from_millis(200);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Bytes that a cancel may print; nothing reads them.
const MAX_OUTPUT: usize = 1 << 20;

/// Ends the replicas of all these launches. One that can't be ended keeps no other.
pub(super) async fn cancel(state: &StateDir, launches: &[LaunchTargets]) -> Result<(), Error> {
    let mut ended = Ok(());
    for launch in launches {
        ended = ended.and(end(state, launch).await);
    }
    ended
}

async fn end(state: &StateDir, launch: &LaunchTargets) -> Result<(), Error> {
    let mut open = match left(state, launch).await {
        // Whoever can't say where they are may still end them.
        Err(Error::Manager { .. }) => launch.clone(),
        seen => seen?,
    };
    for target in &open.targets {
        let memory = Memory::load(&target.folder)?;
        if memory.end.is_none() {
            Memory { cancelled: true, ..memory }.save(&target.folder)?;
        }
    }
    // What a service may take beyond the replicas' grace, and again once force is asked for.
    let margin = launch.programs.config.timeout;
    let limit = margin.saturating_add(launch.record.spec.grace);
    for (force, limit) in [(false, limit), (true, margin)] {
        if open.targets.is_empty() {
            return Ok(());
        }
        ask(state, &open, force).await?;
        open = see_them_end(state, open, limit).await?;
    }
    match open.targets.first() {
        None => Ok(()),
        Some(target) => {
            let (handle, program) = (&target.handle, launch.programs.name(Call::Cancel));
            let reason = format!("{handle} doesn't end, though {program} says that it would");
            Err(Error::Manager { launcher: NAME, reason })
        }
    }
}

/// What the service no longer knows has ended as far as it can.
async fn ask(state: &StateDir, open: &LaunchTargets, force: bool) -> Result<(), Error> {
    let request = open.request(state).cancel(&open.named(), force);
    let time = open.programs.config.timeout.saturating_add(open.record.spec.grace);
    let limits = Limits { time, output: MAX_OUTPUT };
    match run(&open.programs, Call::Cancel, open.id(), &request, limits).await {
        Ok(_) | Err(Failure::Unknown(_)) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Those that have not ended.
async fn left(state: &StateDir, launch: &LaunchTargets) -> Result<LaunchTargets, Error> {
    let seen = look(state, std::slice::from_ref(launch)).await?;
    let ended =
        |target: &Target| seen.get(&target.handle).is_some_and(|replica| replica.status.is_final());
    let open = launch.targets.iter().filter(|target| !ended(target)).cloned();
    Ok(launch.with(open.collect()))
}

/// Waits, and returns those that are left. A service that is away for a moment is asked again.
async fn see_them_end(
    state: &StateDir,
    mut open: LaunchTargets,
    limit: Duration,
) -> Result<LaunchTargets, Error> {
    let (began, mut pause) = (Instant::now(), LOOK);
    loop {
        match left(state, &open).await {
            Ok(left) => open = left,
            Err(Error::Manager { .. }) if began.elapsed() < limit => {}
            Err(error) => return Err(error),
        }
        if open.targets.is_empty() || began.elapsed() >= limit {
            return Ok(open);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}
