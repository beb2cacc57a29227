//! The probe's connections: at most so many, of which the oldest gives way to a new one.

use std::collections::VecDeque;

use tokio::task::{AbortHandle, JoinSet};

/// Connections that are being served.
pub(super) struct Connections {
    most: usize,
    tasks: JoinSet<()>,
    /// Oldest first; those that have ended may still be among them.
    order: VecDeque<AbortHandle>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), order: VecDeque::new() }
    }

    /// Serves one, and drops the oldest if there are too many.
    pub(super) fn start(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        if self.order.len() >= self.most {
            self.order.retain(|connection| !connection.is_finished());
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            tracing::debug!("the oldest probe connection gives way");
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(connection));
    }

    /// Waits until one ends; for ever while there is none.
    pub(super) async fn next_end(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Drops those that are left.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
