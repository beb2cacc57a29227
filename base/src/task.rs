//! A background task with an owner: the one place that spawns.
//!
//! Dropping the owner cancels the task and aborts it where it stands; [`OwnedTask::stop`] lets it
//! end in its own time. What a task does, and how it reports, is its owner's business.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

/// A spawned task that ends with its owner.
#[derive(Debug)]
pub struct OwnedTask {
    name: &'static str,
    cancel: CancellationToken,
    /// Taken when the task is joined.
    handle: Option<JoinHandle<()>>,
}

impl OwnedTask {
    /// Starts a task on the current runtime. It is given the token that asks it to end.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F>(name: &'static str, task: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cancel = CancellationToken::new();
        let future = task(cancel.clone());
        #[expect(clippy::disallowed_methods, reason = "this type is the owner")]
        let handle = tokio::spawn(future);
        Self { name, cancel, handle: Some(handle) }
    }

    /// The token that asks the task to end.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the task to end, and waits until it has.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        self.join().await;
    }

    /// Asks the task to end, and aborts it if it has not after `limit`.
    pub async fn stop_within(mut self, limit: Duration) {
        self.cancel.cancel();
        if tokio::time::timeout(limit, self.join()).await.is_err() {
            tracing::warn!(task = self.name, ?limit, "the task did not end in time: aborted");
        }
    }

    /// Waits until the task ends by itself.
    pub async fn join(&mut self) {
        let Some(handle) = &mut self.handle else { return };
        let ended = handle.await;
        self.handle = None;
        if let Err(error) = ended {
            tracing::error!(task = self.name, %error, "the task did not end by itself");
        }
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

/// Says it when a task of a set has panicked: nobody else would.
pub fn note_panic<T>(name: &'static str, ended: &Result<T, JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(task = name, %error, "a task panicked: standard error says where");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_waits_for_the_task_and_drop_ends_it() {
        let (done, seen) = tokio::sync::oneshot::channel();
        let task = OwnedTask::spawn("polite", |cancel| async move {
            cancel.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = done.send(());
        });
        task.stop().await;
        assert!(seen.await.is_ok());

        let (held, freed) = tokio::sync::oneshot::channel::<()>();
        let task = OwnedTask::spawn("deaf", |_| async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(task);
        assert!(freed.await.is_err());
    }

    #[tokio::test]
    async fn a_task_that_does_not_listen_is_aborted() {
        let task = OwnedTask::spawn("deaf", |_| std::future::pending());
        task.stop_within(Duration::from_millis(20)).await;
    }
}
