//! Which workers run a call.

use hearth_api::{CallError, ErrorKind, Rank};

use super::options::{Exec, ReplyFrom, RpcOptions};
use crate::fleet::{self, FleetView, WorkerView};

/// All workers of the view.
pub(super) fn everyone(view: &FleetView) -> impl Iterator<Item = &WorkerView> {
    view.workers.iter().map(|worker| &**worker)
}

/// The workers that run a call.
///
/// # Errors
/// `no_worker` for an empty fleet, `worker_lost` for a worker that isn't known any more,
/// `invalid_argument` for a rank that no worker has, or that gives no answer.
pub(super) fn targets<'a>(
    view: &'a FleetView,
    options: &RpcOptions,
) -> Result<Vec<&'a WorkerView>, CallError> {
    let targets = runners(view, &options.exec)?;
    match options.reply {
        ReplyFrom::All => {}
        ReplyFrom::Unique(rank) => {
            if of_rank(view, rank).next().is_none() {
                return Err(unknown("reply_rank", rank, view));
            }
            if !targets.iter().any(|worker| worker.rank == Some(rank)) {
                let message = format!(
                    "reply_rank is {rank}, but that rank does not run the call: give the same as \
                     rank, or no rank"
                );
                return Err(CallError::invalid("reply_rank", message));
            }
        }
    }
    Ok(targets)
}

fn runners<'a>(view: &'a FleetView, exec: &Exec) -> Result<Vec<&'a WorkerView>, CallError> {
    let none = || Err(fleet::no_worker(view, "no worker is known"));
    match exec {
        Exec::Worker(id) => view.worker(id).map(|worker| vec![worker]).ok_or_else(|| {
            let message = format!("worker {id} is not known any more");
            CallError::new(ErrorKind::WorkerLost, message)
        }),
        Exec::All if view.workers.is_empty() => none(),
        Exec::All => Ok(everyone(view).collect()),
        Exec::Rank(_) if view.workers.is_empty() => none(),
        Exec::Rank(rank) => {
            let found: Vec<_> = of_rank(view, *rank).collect();
            if found.is_empty() { Err(unknown("rank", *rank, view)) } else { Ok(found) }
        }
    }
}

fn of_rank(view: &FleetView, rank: Rank) -> impl Iterator<Item = &WorkerView> {
    everyone(view).filter(move |worker| worker.rank == Some(rank))
}

fn unknown(param: &str, rank: Rank, view: &FleetView) -> CallError {
    let message = format!("{param} is {rank}, but no worker has that rank: {}", ranks(view));
    CallError::invalid(param, message)
}

/// The ranks that there are, for people.
fn ranks(view: &FleetView) -> String {
    let ranks: Vec<_> = everyone(view).filter_map(|worker| worker.rank).map(|r| r.0).collect();
    match (&ranks[..], ranks.iter().max()) {
        ([], _) | (_, None) => "none is known yet".to_owned(),
        ([one], _) => format!("there is {one}"),
        (all, Some(&last)) if all.len() == last as usize + 1 => format!("there are 0 to {last}"),
        (all, _) => {
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            format!("there are {}", all.join(", "))
        }
    }
}
