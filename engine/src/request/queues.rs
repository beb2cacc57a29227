//! How long other workers' queues are: asked by an item that waits in one.

use std::time::Duration;

use hearth_api::WorkerId;
use hearth_protocol::methods::Health;

use super::dispatch::{Dispatcher, Slot, Wish, note_items};
use crate::calls;
use crate::fleet::WorkerView;

/// How long a worker has to say how much it has to do.
const ANSWER: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// A slot on another worker than `current` where fewer than `position` items would be before a new
    /// one. Two at random are asked.
    pub(super) async fn shorter_queue(
        &self,
        wish: Wish<'_>,
        current: &WorkerId,
        position: u32,
    ) -> Option<Slot> {
        let choices = self.two_choices(wish, current, position);
        let workers: Vec<_> = choices.iter().map(AsRef::as_ref).collect();
        let answers = calls::health_of(self.executor(), &workers, ANSWER).await;
        let known = choices.iter().zip(answers).filter_map(|(worker, answer)| {
            let ahead = queue(worker, &answer.outcome.ok()?)?;
            Some((ahead, worker))
        });
        let (ahead, worker) = known.min_by_key(|(ahead, _)| *ahead)?;
        (ahead < position).then(|| self.reserve(worker))
    }
}

/// How many items would be before a new one on this worker; none where it does not say, as one of
/// minor 1, or takes nothing.
fn queue(worker: &WorkerView, health: &Health) -> Option<u32> {
    let load = health.load.filter(|_| health.healthy)?;
    note_items(worker, load.items());
    Some(load.ahead(worker.capacity?.slots))
}
