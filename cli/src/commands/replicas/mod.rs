//! `hearth replicas`: what was launched, from any shell.

mod group;
mod lines;
mod show;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use hearth_launchers::Status as Replicas;
use hearth_launchers::{
    Error, Handle, LaunchRecord, Launchers, Options, Outcome, Replica, StateDir,
};

use crate::app::App;
use crate::args::{ReplicasCommand, StateArgs, Target};
use crate::context::LauncherSection;
use crate::exit::{Failure, Status};
use crate::output;
use crate::signals::Interrupts;

use group::by_launcher;

/// Launches that are asked for at once.
const AT_ONCE: usize = 16;

pub(super) async fn run(command: &ReplicasCommand, app: &App) -> Result<Status, Failure> {
    let launchers = launchers(command.state(), app, options(app)?)?;
    let work = async {
        match command {
            ReplicasCommand::List { .. } => list(&launchers, app).await,
            ReplicasCommand::Poll { targets, .. } => poll(&launchers, targets, app).await,
            ReplicasCommand::Logs { targets, lines, follow, .. } => {
                lines::print(&launchers, &expand(&launchers, targets)?, *lines, *follow, app).await
            }
            ReplicasCommand::Cancel { targets, .. } => cancel(&launchers, targets, app).await,
            ReplicasCommand::Collect { targets, timeout, .. } => {
                collect(&launchers, targets, *timeout, app).await
            }
            ReplicasCommand::Forget { targets, ended, .. } => {
                forget(&launchers, targets, *ended, app).await
            }
        }
    };
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        biased;
        () = interrupts.next() => Ok(Status::Interrupted),
        status = work => status,
    }
}

/// The launchers over the folder that the flag names, the environment, or the user's own.
pub(super) fn launchers(
    args: &StateArgs,
    app: &App,
    options: Options,
) -> Result<Launchers, Failure> {
    let own = || app.env.state_home.as_ref().map(|home| home.join("hearth/replicas"));
    let given = args.state_dir.clone().or_else(|| app.env.state_dir.clone()).or_else(own);
    let path = given.ok_or_else(|| {
        Failure::usage("there is no HOME to remember launches in: give --state-dir DIR")
    })?;
    Ok(Launchers::new(StateDir::new(path), options))
}

/// What the launchers are told by the config files.
pub(super) fn options(app: &App) -> Result<Options, Failure> {
    let LauncherSection { kubernetes, command } = LauncherSection::read(&app.env)?;
    Ok(Options {
        shim: app.env.executable.clone(),
        kubernetes: kubernetes.unwrap_or_default(),
        command: command.unwrap_or_default(),
        ..Options::default()
    })
}

/// Whether all of a launch have ended.
async fn ended(launchers: &Launchers, record: &LaunchRecord) -> Result<bool, Failure> {
    let handles: Vec<Handle> = record.handles().collect();
    let replicas = launchers.by_name(&record.launcher)?.poll(&handles).await?;
    Ok(replicas.iter().all(|replica| replica.status.is_final()))
}

/// The handles that the targets stand for, each once.
fn expand(launchers: &Launchers, targets: &[Target]) -> Result<Vec<Handle>, Failure> {
    let mut handles: Vec<Handle> = Vec::new();
    for target in targets {
        let more: Vec<Handle> = match target {
            Target::Replica(handle) => vec![handle.clone()],
            Target::Launch(launcher, id) => {
                let record = launchers.state().load(id)?;
                let same = |record: &LaunchRecord| {
                    launcher.as_ref().is_none_or(|name| *name == record.launcher)
                };
                let Some(record) = record.filter(same) else {
                    return Err(unknown_launch(launchers, launcher.as_deref(), id.as_str()));
                };
                record.handles().collect()
            }
        };
        for handle in more {
            if !handles.contains(&handle) {
                handles.push(handle);
            }
        }
    }
    Ok(handles)
}

fn unknown_launch(launchers: &Launchers, launcher: Option<&str>, id: &str) -> Failure {
    let name = launcher.map_or_else(|| id.to_owned(), |launcher| format!("{launcher}/{id}"));
    let folder = launchers.state().path().display();
    Failure::usage(format!(
        "launch {name} is not known in {folder}: `hearth replicas list` prints those that are"
    ))
}

async fn states(
    launchers: &Launchers,
    handles: &[Handle],
) -> Result<Vec<(Handle, Replica)>, Failure> {
    let mut found = BTreeMap::new();
    for (launcher, group) in by_launcher(handles) {
        let replicas = launchers.by_name(launcher)?.poll(&group).await?;
        found.extend(group.into_iter().zip(replicas));
    }
    Ok(handles.iter().filter_map(|handle| found.remove_entry(handle)).collect())
}

/// Like [`states`], but leaves out launches whose launcher can't be asked, with a note; the status
/// then says that not all is done.
async fn states_of_those_that_answer(
    launchers: &Launchers,
    records: &[LaunchRecord],
) -> Result<(Vec<(Handle, Replica)>, Status), Failure> {
    let all: Vec<Handle> = records.iter().flat_map(LaunchRecord::handles).collect();
    // One question to each launcher, if all of them answer.
    if let Ok(states) = states(launchers, &all).await {
        return Ok((states, Status::Done));
    }
    let one = async |record: &LaunchRecord| {
        let handles: Vec<Handle> = record.handles().collect();
        states(launchers, &handles).await
    };
    let each: Vec<_> = stream::iter(records).map(one).buffered(AT_ONCE).collect().await;
    let (mut found, mut told) = (Vec::new(), Status::Done);
    for (record, states) in records.iter().zip(each) {
        match states {
            Ok(states) => found.extend(states),
            Err(failure) => told = left_out(record, &failure),
        }
    }
    Ok((found, told))
}

fn left_out(record: &LaunchRecord, failure: &Failure) -> Status {
    output::say(format_args!(
        "warning: {}/{} is left out: {}",
        record.launcher,
        record.id,
        failure.headline()
    ));
    Status::Failed
}

async fn list(launchers: &Launchers, app: &App) -> Result<Status, Failure> {
    let records = launchers.state().list()?;
    // One unavailable launcher must neither hide the launches of the others nor delay them.
    let row = async |record: &LaunchRecord| {
        let handles: Vec<Handle> = record.handles().collect();
        show::Launch::new(record, states(launchers, &handles).await)
    };
    let rows: Vec<_> = stream::iter(&records).map(row).buffered(AT_ONCE).collect().await;
    if rows.is_empty() {
        let folder = launchers.state().path().display();
        app.output.note(format_args!("nothing is remembered in {folder}: hearth launch"));
    }
    show::launches(&rows, app)?;
    Ok(Status::Done)
}

async fn poll(launchers: &Launchers, targets: &[Target], app: &App) -> Result<Status, Failure> {
    let (found, told) = match targets {
        [] => states_of_those_that_answer(launchers, &launchers.state().list()?).await?,
        _ => (states(launchers, &expand(launchers, targets)?).await?, Status::Done),
    };
    show::replicas(&found, app)?;
    Ok(told)
}

async fn cancel(launchers: &Launchers, targets: &[Target], app: &App) -> Result<Status, Failure> {
    let handles = expand(launchers, targets)?;
    // All must be known before the first is ended.
    states(launchers, &handles).await?;
    for (launcher, group) in by_launcher(&handles) {
        launchers.by_name(launcher)?.cancel(&group).await?;
    }
    show::replicas(&states(launchers, &handles).await?, app)?;
    Ok(Status::Done)
}

async fn collect(
    launchers: &Launchers,
    targets: &[Target],
    timeout: Option<Duration>,
    app: &App,
) -> Result<Status, Failure> {
    let handles = expand(launchers, targets)?;
    // Concurrently: each has the whole timeout.
    let groups = by_launcher(&handles).into_iter();
    let each = groups.map(|(name, group)| collect_group(launchers, name, group, timeout));
    let mut found: BTreeMap<Handle, Outcome> = BTreeMap::new();
    let mut late: Vec<Handle> = Vec::new();
    for collected in join_all(each).await {
        let (ended, running) = collected?;
        found.extend(ended);
        late.extend(running);
    }
    let outcomes: Vec<_> = handles.iter().filter_map(|handle| found.remove_entry(handle)).collect();
    show::outcomes(&outcomes, app)?;
    if !late.is_empty() {
        let timeout = timeout.unwrap_or_default();
        return Err(Error::CollectTimeout { timeout, running: late }.into());
    }
    let all = outcomes.iter().all(|(_, outcome)| outcome.status == Replicas::Succeeded);
    Ok(if all { Status::Done } else { Status::Failed })
}

/// The outcomes of those that ended in time, and those that did not.
async fn collect_group(
    launchers: &Launchers,
    launcher: &str,
    group: Vec<Handle>,
    timeout: Option<Duration>,
) -> Result<(Vec<(Handle, Outcome)>, Vec<Handle>), Failure> {
    let launcher = launchers.by_name(launcher)?;
    let running = match launcher.collect(&group, timeout).await {
        Ok(outcomes) => return Ok((group.into_iter().zip(outcomes).collect(), Vec::new())),
        Err(Error::CollectTimeout { running, .. }) => running,
        Err(error) => return Err(error.into()),
    };
    // What was collected is kept.
    let ended: Vec<Handle> = group.into_iter().filter(|one| !running.contains(one)).collect();
    let outcomes = launcher.collect(&ended, None).await?;
    Ok((ended.into_iter().zip(outcomes).collect(), running))
}

async fn forget(
    launchers: &Launchers,
    targets: &[Target],
    all_ended: bool,
    app: &App,
) -> Result<Status, Failure> {
    let (mut records, mut told) = (Vec::new(), Status::Done);
    if all_ended {
        let all = launchers.state().list()?;
        let one = async |record: &LaunchRecord| ended(launchers, record).await;
        let each: Vec<_> = stream::iter(&all).map(one).buffered(AT_ONCE).collect().await;
        for (record, ended) in all.iter().zip(each) {
            match ended {
                Ok(true) => records.push(record.clone()),
                Ok(false) => {}
                Err(failure) => told = left_out(record, &failure),
            }
        }
    }
    for target in targets {
        let Target::Launch(launcher, id) = target else {
            return Err(Failure::usage("launches are forgotten as a whole: leave the rank out"));
        };
        let Some(record) = launchers.state().load(id)? else {
            return Err(unknown_launch(launchers, launcher.as_deref(), id.as_str()));
        };
        if !ended(launchers, &record).await? {
            return Err(Failure::usage(format!(
                "{}/{id} has not ended: hearth replicas cancel {0}/{id} first",
                record.launcher
            )));
        }
        records.push(record);
    }
    for record in &records {
        launchers.state().remove(&record.id)?;
    }
    let names: Vec<String> = records.iter().map(|r| format!("{}/{}", r.launcher, r.id)).collect();
    if app.output.json {
        app.output.json(&names)?;
    } else {
        names.iter().try_for_each(|name| app.output.line(name))?;
    }
    Ok(told)
}
