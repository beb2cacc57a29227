//! Where replicas are: by what is kept of those that have ended, and of the others by their
//! programs' word.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::answer::{self, MAX_ANSWER};
use super::config::{Call, NAME};
use super::memory::Memory;
use super::run::{Failure, Limits, run};
use super::target::{LaunchTargets, Target};
use crate::{Error, Handle, Replica, StateDir, Status};

/// Launches that are asked for at once.
const AT_ONCE: usize = 8;

/// The replicas of all these launches: one program is run for each that has one that goes on.
pub(super) async fn look(
    state: &StateDir,
    launches: &[LaunchTargets],
) -> Result<BTreeMap<Handle, Replica>, Error> {
    let each: Vec<_> = launches.iter().map(|launch| look_at(state, launch)).collect();
    let all: Vec<Vec<_>> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

async fn look_at(
    state: &StateDir,
    launch: &LaunchTargets,
) -> Result<Vec<(Handle, Replica)>, Error> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for target in &launch.targets {
        match Memory::load(&target.folder)?.end {
            Some(end) => found.push((target.handle.clone(), end)),
            None => open.push(target.clone()),
        }
    }
    if open.is_empty() {
        return Ok(found);
    }
    let open = launch.with(open);
    let mut seen = ask(state, &open).await?;
    for target in &open.targets {
        // Read after the answer: somebody may have asked for its end in between.
        let memory = Memory::load(&target.folder)?;
        if let Some(end) = memory.end {
            found.push((target.handle.clone(), end));
            continue;
        }
        let said = seen.remove(&target.handle.rank).flatten();
        let replica = resolve(&open, target, said, memory.cancelled);
        if replica.status.is_final() {
            memory.with_end(replica.clone()).save(&target.folder)?;
        }
        found.push((target.handle.clone(), replica));
    }
    Ok(found)
}

/// What the program says of each.
async fn ask(
    state: &StateDir,
    open: &LaunchTargets,
) -> Result<BTreeMap<u32, Option<Replica>>, Error> {
    let named = open.named();
    let ranks: Vec<u32> = named.iter().map(|(rank, _)| *rank).collect();
    let request = open.request(state).poll(&named);
    let limits = Limits { time: open.programs.config.timeout, output: MAX_ANSWER };
    match run(&open.programs, Call::Poll, open.id(), &request, limits).await {
        Ok(printed) => answer::replicas(&printed, &ranks).map_err(|why| Error::Manager {
            launcher: NAME,
            reason: format!("{} {why}", open.programs.name(Call::Poll)),
        }),
        Err(Failure::Unknown(_)) => Ok(ranks.into_iter().map(|rank| (rank, None)).collect()),
        Err(failure) => Err(failure.into()),
    }
}

/// A replica by its program's word and by what was asked of it from here.
fn resolve(
    launch: &LaunchTargets,
    target: &Target,
    said: Option<Replica>,
    cancelled: bool,
) -> Replica {
    let rank = target.handle.rank;
    let ended = |status, error: Option<&str>| Replica {
        status,
        error: error.map(str::to_owned),
        ..Replica::pending(rank)
    };
    let is_whole = !launch.record.native.is_empty();
    match said {
        Some(replica) if replica.status == Status::Failed && cancelled => {
            Replica { status: Status::Cancelled, error: None, ..replica }
        }
        Some(replica) => replica,
        None if cancelled => ended(Status::Cancelled, None),
        // The answer to its launch may come yet.
        None if !is_whole && launch.record.age() < launch.programs.answered() => {
            Replica::pending(rank)
        }
        None if !is_whole => {
            let why = "its launch was broken off, and its programs know nothing of it";
            ended(Status::Failed, Some(why))
        }
        None => {
            let why = "its programs no longer know it: somebody removed it, or it ended long ago";
            ended(Status::Failed, Some(why))
        }
    }
}
