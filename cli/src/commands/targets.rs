//! Which workers a command means, and one call to each of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::{CallError, ErrorKind, Rank, WorkerId};
use hearth_engine::{Engine, Envelope, FleetView, RpcOptions, WorkerView};
use hearth_protocol::methods::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::args::OperateArgs;
use crate::exit::{Failure, Status};

/// A worker and its place in the group.
pub(super) type Target = (WorkerId, Rank);

/// The workers that flags name, by rank and name.
pub(super) async fn of(view: &Arc<FleetView>, args: &OperateArgs) -> Result<Vec<Target>, Failure> {
    match &args.host {
        Some(host) => named(view, &on_host(view, host).await?),
        None if args.all => named(view, &all(view)),
        None => named(view, &args.workers),
    }
}

/// The workers of these names, all where there are none.
pub(super) fn named_or_all(
    view: &Arc<FleetView>,
    names: &[WorkerId],
) -> Result<Vec<Target>, Failure> {
    if names.is_empty() { named(view, &all(view)) } else { named(view, names) }
}

fn all(view: &FleetView) -> Vec<WorkerId> {
    view.workers.iter().map(|worker| worker.id.clone()).collect()
}

/// The workers that listen on an address of the host.
async fn on_host(view: &FleetView, host: &str) -> Result<Vec<WorkerId>, Failure> {
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
        Failure::usage(format!("--host {host:?} is no host: give its name or address"))
            .caused_by(Some(&error))
    })?;
    let ips: Vec<IpAddr> = found.map(|addr| addr.ip()).collect();
    let there = view
        .workers
        .iter()
        .filter(|worker| worker.addresses.iter().any(|addr| ips.contains(&addr.ip())));
    let ids: Vec<_> = there.map(|worker| worker.id.clone()).collect();
    if ids.is_empty() {
        let message =
            format!("no worker listens on host {host}: hearth workers --json lists addresses");
        return Err(Failure::new(Status::NoWorker, message));
    }
    Ok(ids)
}

/// These names, each once, of workers that there are.
pub(super) fn known(view: &FleetView, names: &[WorkerId]) -> Result<Vec<WorkerId>, Failure> {
    let mut known = Vec::new();
    for name in names {
        find(view, name)?;
        if !known.contains(name) {
            known.push(name.clone());
        }
    }
    Ok(known)
}

fn find<'a>(view: &'a FleetView, id: &WorkerId) -> Result<&'a WorkerView, Failure> {
    view.worker(id).ok_or_else(|| {
        let known: Vec<_> = view.workers.iter().map(|worker| worker.id.as_str()).collect();
        let nearest = hearth_api::nearest(id.as_str(), known.iter().copied());
        let nearest = nearest.map(|name| format!(" (nearest: {name})")).unwrap_or_default();
        let known = known.join(", ");
        Failure::usage(format!("worker {id} is unknown{nearest}: there are {known}"))
    })
}

fn named(view: &Arc<FleetView>, ids: &[WorkerId]) -> Result<Vec<Target>, Failure> {
    let of = |id: &WorkerId| match find(view, id)?.rank {
        Some(rank) => Ok((id.clone(), rank)),
        None => Err(Failure::new(
            Status::NoWorker,
            format!("worker {id} has no rank yet: try again in a moment"),
        )),
    };
    let mut targets = ids.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    targets.sort_by(|(a, rank_a), (b, rank_b)| (rank_a, a).cmp(&(rank_b, b)));
    targets.dedup();
    Ok(targets)
}

/// Calls a method on each of the workers at once; the answers are by rank, and as they came.
pub(super) async fn call(
    engine: &Engine,
    targets: Vec<Target>,
    method: Method,
    args: &Value,
    timeout: Duration,
) -> Vec<(Target, Result<Value, CallError>)> {
    let mut open = JoinSet::new();
    for target in targets {
        let (engine, args) = (engine.clone(), args.clone());
        let options = RpcOptions::new().worker(target.0.clone()).timeout(timeout);
        open.spawn(async move {
            let answers = engine.collective_rpc(method.name(), args, options).await;
            let answer = answers.and_then(only);
            (target, answer)
        });
    }
    let mut answers = open.join_all().await;
    answers.sort_by_key(|((_, rank), _)| *rank);
    answers
}

/// The answer of a call to one worker.
pub(super) fn only<T>(answers: Vec<Envelope<T>>) -> Result<T, CallError> {
    let none = || CallError::new(ErrorKind::Internal, "a call to one worker has no answer");
    answers.into_iter().next().ok_or_else(none)?.outcome
}
