//! How much memory the requests under way may take up: a share for each identity, and a bound for all
//! of them together, of which administrators have their own.
//!
//! Small frames are not counted: the bounds on calls hold them, and control calls get through however
//! full it is.

use std::sync::Arc;
use std::time::Duration;

use hearth_protocol::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;

/// Longest frame that is not counted, in bytes.
const SMALL: u64 = 64 << 10;

/// What one identity may have, in bytes: the largest message, and as much again for small ones.
const SHARE: usize = limits::PAYLOAD as usize + (64 << 20);

/// What all may have, in bytes.
const ALL: usize = 3 * SHARE;

/// Memory that is given out.
#[derive(Clone)]
pub(super) struct Pool(Arc<Semaphore>);

impl Pool {
    /// For one identity, or for all administrators.
    pub(super) fn for_one() -> Self {
        Self(Arc::new(Semaphore::new(SHARE)))
    }

    /// For all identities that are no administrators'.
    pub(super) fn for_all() -> Self {
        Self(Arc::new(Semaphore::new(ALL)))
    }
}

/// The memory of one identity's requests.
#[derive(Clone)]
pub(super) struct Memory {
    own: Pool,
    all: Pool,
    patience: Duration,
}

/// Memory that is reserved until this is dropped.
pub(super) type Reservation = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Memory {
    /// `patience` is how long a request waits for memory.
    pub(super) fn new(own: Pool, all: Pool, patience: Duration) -> Self {
        Self { own, all, patience }
    }

    /// Reserves `bytes` before they are read; `None` for small frames, which are not counted.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when not enough is released in time, and by whom.
    pub(super) async fn take(&self, bytes: u64) -> Result<Option<Reservation>, Error> {
        if bytes <= SMALL {
            return Ok(None);
        }
        let full = |whose: &str| {
            let message = format!("{whose} under way take up all memory for them: try again later");
            Error::Overloaded(message)
        };
        let own = self.reserve(&self.own, bytes).await;
        let own = own.ok_or_else(|| full("this identity's requests"))?;
        let all = self.reserve(&self.all, bytes).await;
        Ok(Some((own, all.ok_or_else(|| full("the requests"))?)))
    }

    async fn reserve(&self, pool: &Pool, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let count = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&pool.0).acquire_many_owned(count);
        tokio::time::timeout(self.patience, permit).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::{CallError, ErrorKind};

    use super::*;

    #[tokio::test]
    async fn a_full_share_leaves_other_identities_theirs_and_a_full_whole_nobody() {
        let all = Pool::for_all();
        let share = || Memory::new(Pool::for_one(), all.clone(), Duration::from_millis(20));
        let (one, two, three, four) = (share(), share(), share(), share());
        let all_of_one = one.take(SHARE as u64).await.unwrap();
        let error = CallError::from(one.take(SMALL + 1).await.unwrap_err());
        assert!(error.kind == ErrorKind::Overloaded && error.retryable, "{error}");
        assert!(error.message.starts_with("this identity's"), "{error}");
        assert!(one.take(SMALL).await.is_ok_and(|taken| taken.is_none()));
        let _two = two.take(SHARE as u64).await.unwrap();
        let _three = three.take(SHARE as u64).await.unwrap();
        let error = CallError::from(four.take(SMALL + 1).await.unwrap_err());
        assert!(error.message.starts_with("the requests"), "{error}");
        drop(all_of_one);
        assert!(four.take(SHARE as u64).await.is_ok());
    }
}
