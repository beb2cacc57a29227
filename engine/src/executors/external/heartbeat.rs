//! Whether a worker still hears this side.
//!
//! QUIC's idle timer starts anew with each packet that comes in (RFC 9000, section 10.1). Where only
//! what this side sends is lost, the worker's own packets keep the connection up until the worker
//! has given it up. So the worker is asked something small once in a while, and one that leaves
//! several questions in a row unanswered counts as lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::Settings;
use hearth_protocol::methods::{GetRank, Method};
use tokio::time::{Instant, MissedTickBehavior};

use super::link::Link;
use crate::draw;

/// Questions, by their number, and which was answered last.
///
/// Questions are counted, and not the time: a process that was stopped for long has asked none
/// meanwhile.
#[derive(Debug)]
struct Heartbeat {
    asked: u32,
    answered: u32,
    /// Questions in a row without an answer that a lost worker leaves.
    limit: u32,
}

impl Heartbeat {
    fn new(limit: u32) -> Self {
        Self { asked: 0, answered: 0, limit }
    }

    /// The number of the next question; none once too many are open.
    fn ask(&mut self) -> Option<u32> {
        if self.asked - self.answered >= self.limit {
            return None;
        }
        self.asked += 1;
        Some(self.asked)
    }

    /// An answer says that the worker hears all up to its question.
    fn answer(&mut self, question: u32) {
        self.answered = self.answered.max(question);
    }
}

/// How often the worker is asked: as often as an idle connection is tried, whose own packets are
/// spared by that.
fn period(settings: Settings) -> Duration {
    settings.keep_alive
}

/// How many questions fit into the idle timeout. One less, so that a worker whose own packets are
/// lost is told of the end: when the timer ends a connection, nobody is.
fn limit(settings: Settings) -> u32 {
    let questions = settings.idle_timeout.as_millis() / period(settings).as_millis().max(1);
    u32::try_from(questions).unwrap_or(u32::MAX).saturating_sub(1).max(2)
}

/// Waits until the worker counts as lost.
pub(super) async fn await_silence(link: Arc<Link>, settings: Settings) {
    let mut heartbeat = Heartbeat::new(limit(settings));
    let mut open = FuturesUnordered::new();
    let period = period(settings);
    let mut tick = tokio::time::interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            Some((question, heard)) = open.next(), if !open.is_empty() => {
                if heard {
                    heartbeat.answer(question);
                }
            }
            _ = tick.tick() => {
                let Some(question) = heartbeat.ask() else { return };
                let link = Arc::clone(&link);
                open.push(async move { (question, is_heard(ask(&link, settings).await)) });
            }
        }
    }
}

async fn ask(link: &Arc<Link>, settings: Settings) -> Result<GetRank, CallError> {
    link.ask(&draw::request_id(), Method::GetRank, settings.idle_timeout).await
}

/// Whatever a worker answers, it has heard the question.
fn is_heard(answer: Result<GetRank, CallError>) -> bool {
    answer.map_or_else(|error| error.kind != ErrorKind::WorkerLost, |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_questions_in_a_row_without_an_answer_are_a_loss() {
        let mut heartbeat = Heartbeat::new(3);
        assert_eq!([(); 3].map(|()| heartbeat.ask()), [Some(1), Some(2), Some(3)]);
        // A late answer to the first is one all the same; the second was lost on its way.
        heartbeat.answer(1);
        assert_eq!(heartbeat.ask(), Some(4));
        assert_eq!(heartbeat.ask(), None);
        heartbeat.answer(3);
        heartbeat.answer(2);
        assert_eq!([(); 3].map(|()| heartbeat.ask()), [Some(5), Some(6), None]);
    }

    #[test]
    fn a_loss_is_noticed_before_the_idle_timer_ends() {
        let usual = Settings::default();
        assert_eq!((period(usual), limit(usual)), (Duration::from_secs(1), 5));
        let brief = Settings { idle_timeout: Duration::from_millis(1500), ..usual };
        assert_eq!(limit(brief), 2);
    }
}
