//! Fetches the results of replicas that have ended, each once.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use hearth_base::files;

use super::config::Call;
use super::memory::Memory;
use super::run::{Failure, Limits, run};
use super::target::{LaunchTargets, Target};
use crate::collect::MAX_RESULT;
use crate::{Error, Handle, StateDir};

/// Results that are fetched at once: each may have 64 MiB.
const AT_ONCE: usize = 4;

/// Those whose results could not be fetched, with why. They are fetched at the next collect.
pub(super) async fn fetch(
    state: &StateDir,
    launches: &[LaunchTargets],
) -> Result<BTreeMap<Handle, String>, Error> {
    let mut wanted = Vec::new();
    for launch in launches {
        for target in &launch.targets {
            if !Memory::load(&target.folder)?.collected {
                wanted.push((launch, target));
            }
        }
    }
    let each: Vec<_> =
        wanted.iter().map(|(launch, target)| fetch_one(state, launch, target)).collect();
    let fetched: Vec<Result<(), Error>> = stream::iter(each).buffered(AT_ONCE).collect().await;
    let told = wanted.iter().zip(fetched).filter_map(|((_, target), fetched)| {
        let why = fetched.err()?;
        Some((target.handle.clone(), format!("its result can't be fetched: {why}")))
    });
    Ok(told.collect())
}

async fn fetch_one(state: &StateDir, launch: &LaunchTargets, target: &Target) -> Result<(), Error> {
    let request = launch.request(state).collect(&target.named());
    let output = usize::try_from(MAX_RESULT).unwrap_or(usize::MAX);
    let limits = Limits { time: launch.programs.config.timeout, output };
    let result = match run(&launch.programs, Call::Collect, launch.id(), &request, limits).await {
        Ok(printed) => printed,
        // One that was cancelled before it began left nothing.
        Err(Failure::Unknown(_)) => Vec::new(),
        Err(failure) => return Err(failure.into()),
    };
    if !result.is_empty() {
        let path = state.result_file(&target.handle.launch, target.handle.rank);
        files::replace(&path, &result, 0o600).map_err(|source| Error::State { path, source })?;
    }
    let memory = Memory::load(&target.folder)?;
    Memory { collected: true, ..memory }.save(&target.folder)
}
