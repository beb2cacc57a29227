//! How much memory the requests under way may take up: a share for each connection, and a bound for
//! all of them together.
//!
//! Small frames are not counted: the limit on streams bounds them, and control calls get through
//! however full it is.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::{CallError, ErrorKind};
use hearth_protocol::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;

/// Longest frame that is not counted, in bytes.
const SMALL: u64 = 64 << 10;

/// What one connection may have, in bytes: the largest message, and as much again for small ones.
const SHARE: usize = limits::PAYLOAD as usize + (64 << 20);

/// What all connections may have, in bytes.
const ALL: usize = 3 * SHARE;

/// The memory of an endpoint's requests, as one connection sees it.
#[derive(Clone)]
pub(super) struct Memory {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    patience: Duration,
}

/// Memory that is reserved until this is dropped.
pub(super) type Reservation = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Memory {
    /// The memory of a new endpoint. `patience` is how long a request waits for memory.
    pub(super) fn new(patience: Duration) -> Self {
        let all = Arc::new(Semaphore::new(ALL));
        Self { all, own: Arc::new(Semaphore::new(SHARE)), patience }
    }

    /// The share of a new connection.
    pub(super) fn share(&self) -> Self {
        Self { own: Arc::new(Semaphore::new(SHARE)), ..self.clone() }
    }

    /// Reserves `bytes` before they are read; `None` for small frames, which are not counted.
    ///
    /// # Errors
    /// [`ErrorKind::QueueFull`] when not enough is released in time.
    pub(super) async fn take(&self, bytes: u64) -> Result<Option<Reservation>, Error> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let full = || {
            let message = "the requests under way take up all memory for them: try again later";
            Error::Refused(CallError::new(ErrorKind::QueueFull, message))
        };
        let count = u32::try_from(bytes).map_err(|_| full())?;
        let taken = async {
            let own = Arc::clone(&self.own).acquire_many_owned(count).await.ok()?;
            let all = Arc::clone(&self.all).acquire_many_owned(count).await.ok()?;
            Some((own, all))
        };
        let taken = tokio::time::timeout(self.patience, taken).await;
        Ok(Some(taken.ok().flatten().ok_or_else(full)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_share_leaves_other_connections_theirs_and_a_full_whole_nobody() {
        let memory = Memory::new(Duration::from_millis(20));
        let (one, two, three, four) =
            (memory.share(), memory.share(), memory.share(), memory.share());
        let all_of_one = one.take(SHARE as u64).await.unwrap();
        let error = CallError::from(one.take(SMALL + 1).await.unwrap_err());
        assert!(error.kind == ErrorKind::QueueFull && error.retryable, "{error}");
        assert!(one.take(SMALL).await.is_ok_and(|taken| taken.is_none()));
        let _two = two.take(SHARE as u64).await.unwrap();
        let _three = three.take(SHARE as u64).await.unwrap();
        assert!(four.take(SMALL + 1).await.is_err());
        drop(all_of_one);
        assert!(four.take(SHARE as u64).await.is_ok());
    }
}
