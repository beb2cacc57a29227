//! How long other workers' queues are: asked by an item that waits in one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hearth_api::WorkerId;
use hearth_protocol::codec;
use hearth_protocol::methods::{Health, Method};

use super::dispatch::{Dispatcher, Slot, Wish, note_items};
use crate::draw;
use crate::executor::{CallEvent, OutgoingCall};
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
        let asked = choices.iter().map(|worker| async move { (self.queue(worker).await, worker) });
        let answers = join_all(asked).await.into_iter();
        let known = answers.filter_map(|(ahead, worker)| Some((ahead?, worker)));
        let (ahead, worker) = known.min_by_key(|(ahead, _)| *ahead)?;
        (ahead < position).then(|| self.reserve(worker))
    }

    /// How many items would be before a new one on this worker; none where it does not say, as one of
    /// minor 1, or takes nothing.
    async fn queue(&self, worker: &Arc<WorkerView>) -> Option<u32> {
        let call = OutgoingCall {
            id: draw::request_id(),
            attempt: 0,
            method: Method::CheckHealth.name().to_owned(),
            args: Bytes::from_static(codec::EMPTY),
            deadline: Some(ANSWER),
            trace: None,
            attachments: Vec::new(),
        };
        let asked = async {
            let mut stream = self.executor().call(&worker.id, &call).await.ok()?;
            loop {
                if let CallEvent::Reply(reply) = stream.next().await.ok()? {
                    return reply.outcome.ok();
                }
            }
        };
        let value = tokio::time::timeout(ANSWER, asked).await.ok()??;
        let health: Health = codec::decode(&value).ok()?;
        let load = health.load.filter(|_| health.healthy)?;
        note_items(worker, load.items());
        Some(load.ahead(worker.capacity?.slots))
    }
}
