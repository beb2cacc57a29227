//! A timer that is set anew for nearly every packet, and asks the system for little of that.
//!
//! Each packet that waits for its acknowledgement sets the connection's timer to a time near, and
//! the acknowledgement sets it to one far. For tokio the first is news that must wake the thread
//! that waits for events. So the near time stays with tokio when the far one comes, and is looked
//! at once it has passed: then there is mostly a packet again, with a time that is not nearer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::AsyncTimer;
use tokio::time::{Sleep, sleep_until};

#[derive(Debug)]
pub(super) struct Timer {
    deadline: Instant,
    /// What tokio knows: the deadline, or a time before it.
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline, sleep: Box::pin(sleep_until(deadline.into())) }
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline().into_std() {
            self.sleep.as_mut().reset(deadline.into());
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(Future::poll(self.sleep.as_mut(), cx));
            if self.sleep.deadline().into_std() >= self.deadline {
                return Poll::Ready(());
            }
            let deadline = self.deadline.into();
            self.sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    async fn fires(timer: &mut Pin<Box<Timer>>) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| AsyncTimer::poll(timer.as_mut(), cx)).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn it_fires_at_the_last_time_it_was_set_to() {
        let (near, far) = (Duration::from_millis(20), Duration::from_millis(300));
        let mut timer = Box::pin(Timer::new(Instant::now() + near));
        timer.as_mut().reset(Instant::now() + far);
        assert!(fires(&mut timer).await >= far);
        let far = Duration::from_secs(60);
        timer.as_mut().reset(Instant::now() + far);
        timer.as_mut().reset(Instant::now() + near);
        let took = fires(&mut timer).await;
        assert!(took >= near && took < far, "{took:?}");
        timer.as_mut().reset(Instant::now() + near);
        assert!(fires(&mut timer).await >= near);
    }
}
