//! Which workers run a call.

use hearth_api::{CallError, Rank};

use super::options::{Exec, ReplyFrom, RpcOptions};
use crate::fleet::{self, FleetView, WorkerView};

/// All workers of the view.
pub(super) fn everyone(view: &FleetView) -> impl Iterator<Item = &WorkerView> {
    view.workers.iter().map(|worker| &**worker)
}

/// The workers that run a call.
pub(super) fn targets(
    view: &FleetView,
    options: RpcOptions,
) -> Result<Vec<&WorkerView>, CallError> {
    if view.workers.is_empty() {
        return Err(fleet::no_worker(view, "no worker is known"));
    }
    let has = |rank: Rank| everyone(view).filter(move |worker| worker.rank == Some(rank));
    let unknown = |param: &str, rank: Rank| {
        let message = format!("{param} is {rank}, but no worker has that rank: {}", ranks(view));
        CallError::invalid(param, message)
    };
    let targets: Vec<_> = match options.exec {
        Exec::All => everyone(view).collect(),
        Exec::Rank(rank) => has(rank).collect(),
    };
    if let (Exec::Rank(rank), true) = (options.exec, targets.is_empty()) {
        return Err(unknown("rank", rank));
    }
    if let ReplyFrom::Unique(rank) = options.reply {
        if has(rank).next().is_none() {
            return Err(unknown("reply_rank", rank));
        }
        if !targets.iter().any(|worker| worker.rank == Some(rank)) {
            let message = format!(
                "reply_rank is {rank}, but that rank does not run the call: give the same as rank, \
                 or no rank"
            );
            return Err(CallError::invalid("reply_rank", message));
        }
    }
    Ok(targets)
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
