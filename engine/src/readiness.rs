//! Waiting for a fleet. What a view of it means for a request is [`fleet`](crate::fleet)'s to say.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::CallError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::fleet::{self, FleetView, Outlook};

/// How long workers and registry have to answer at all: as long as a connection may take.
const CONNECT: Duration = Duration::from_millis(5_500);

/// How long a request that could start waits for further workers, so that it spreads over them.
const SPREAD: Duration = Duration::from_millis(50);

/// Waits until `n` workers take requests.
///
/// # Errors
/// `no_worker` when the time is over, or when too many workers have failed for good.
pub(crate) async fn workers(
    mut fleet: watch::Receiver<Arc<FleetView>>,
    n: usize,
    timeout: Duration,
) -> Result<(), CallError> {
    let decided = fleet.wait_for(|view| view.ready().count() >= n || view.is_out_of_reach(n));
    let late = tokio::time::timeout(timeout, decided).await.is_err();
    let view = Arc::clone(&fleet.borrow());
    let ready = view.ready().count();
    if ready >= n {
        return Ok(());
    }
    let after = if late { format!(" after {timeout:?}") } else { String::new() };
    let wanted = format!("{ready} of {n} workers are ready{after}");
    Err(fleet::no_worker(&view, &wanted))
}

/// Waits until it is known of every worker whether it answers, for as long as that may take.
pub(crate) async fn answers(mut fleet: watch::Receiver<Arc<FleetView>>) -> Arc<FleetView> {
    let known = fleet.wait_for(|view| !view.is_open());
    let _ = tokio::time::timeout(CONNECT, known).await;
    Arc::clone(&fleet.borrow())
}

/// Waits until the registry has said which workers there are, or refuses; at most `limit`. While it
/// can't be reached it may still come: `waiting` is called with each view of that.
pub(crate) async fn registry(
    mut fleet: watch::Receiver<Arc<FleetView>>,
    limit: Duration,
    mut waiting: impl FnMut(&FleetView),
) {
    let answered = async {
        loop {
            {
                let view = fleet.borrow_and_update();
                if view.synced || (view.error.is_some() && !view.unreachable) {
                    return;
                }
                if view.unreachable {
                    waiting(&view);
                }
            }
            if fleet.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(limit, answered).await;
}

/// Waits until a request for `model` can start, and a moment longer for the workers that it could
/// spread over. Returns as well when waiting is of no use. `wait` bounds the time that loading
/// models may take; `loading` is called with each view in which they are.
pub(crate) async fn model(
    mut fleet: watch::Receiver<Arc<FleetView>>,
    model: Option<&str>,
    wait: Duration,
    mut loading: impl FnMut(&FleetView),
) {
    let start = Instant::now();
    let mut first = None;
    loop {
        let deadline = {
            let view = fleet.borrow_and_update();
            match view.outlook(model) {
                Outlook::Ready | Outlook::Hopeless => return,
                Outlook::Growing => *first.get_or_insert_with(Instant::now) + SPREAD,
                Outlook::Open => start + CONNECT.min(wait),
                Outlook::Loading => {
                    loading(&view);
                    start + wait
                }
            }
        };
        if !matches!(timeout_at(deadline, fleet.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}
