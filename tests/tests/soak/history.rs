//! What came of each request, and whether it may be so.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hearth_api::limits::LOST_WORKERS;
use hearth_api::{CallError, ErrorKind, RequestId};

use crate::act::Act;

/// One question of a client, and its end.
pub(crate) struct Ask {
    pub(crate) id: RequestId,
    /// Which picture.
    pub(crate) picture: usize,
    pub(crate) start: Instant,
    pub(crate) took: Duration,
    pub(crate) deadline: Duration,
    /// The picture's digest, or why there is none; nothing where it did not end.
    pub(crate) outcome: Option<Result<String, CallError>>,
}

/// All questions, in the order of their ends.
#[derive(Default)]
pub(crate) struct History {
    asks: Mutex<Vec<Ask>>,
}

/// How late an end may be.
const LATE: Duration = Duration::from_secs(1);

/// How long after a fault's end a worker may be taken for lost.
const NOTICED: Duration = Duration::from_secs(8);

/// Why a request may fail while workers come and go.
const EXCUSED: [ErrorKind; 7] = [
    ErrorKind::WorkerLost,
    ErrorKind::NoWorker,
    ErrorKind::UnknownModel,
    ErrorKind::NotReady,
    ErrorKind::Draining,
    ErrorKind::QueueFull,
    ErrorKind::DeadlineExceeded,
];

impl History {
    pub(crate) fn add(&self, ask: Ask) {
        self.asks.lock().expect("no panic under the lock").push(ask);
    }

    /// How many requests ended with a picture.
    pub(crate) fn finished(&self) -> usize {
        let asks = self.asks.lock().expect("no panic under the lock");
        asks.iter().filter(|ask| matches!(ask.outcome, Some(Ok(_)))).count()
    }

    /// What must not be: a request without an end, a late one, one that failed for a reason that
    /// faults don't excuse, another picture than the one asked for, also where an id is asked for
    /// again.
    pub(crate) fn violations(
        &self,
        pictures: &[String],
        acts: &[(Range<Instant>, Act)],
    ) -> Vec<String> {
        let asks = self.asks.lock().expect("no panic under the lock");
        let mut first = BTreeMap::<&RequestId, Instant>::new();
        for ask in asks.iter() {
            let start = first.entry(&ask.id).or_insert(ask.start);
            *start = ask.start.min(*start);
        }
        let violation = |ask: &Ask| {
            let (first, end) = (first[&ask.id], ask.start + ask.took);
            let lost = acts.iter().filter(|(time, act)| {
                act.loses_a_worker() && time.start <= end && time.end + NOTICED >= first
            });
            ask.violation(pictures, lost.count())
        };
        asks.iter().filter_map(violation).collect()
    }

    pub(crate) fn print(&self) {
        let asks = self.asks.lock().expect("no panic under the lock");
        let mut ends = BTreeMap::<&str, usize>::new();
        for ask in asks.iter() {
            let end = match &ask.outcome {
                Some(Ok(_)) => "done",
                Some(Err(error)) => error.kind.code(),
                None => "no end",
            };
            *ends.entry(end).or_default() += 1;
        }
        let longest = asks.iter().map(|ask| ask.took).max().unwrap_or_default();
        println!("{} requests: {ends:?}; the longest took {longest:.1?}", asks.len());
    }
}

impl Ask {
    /// `lost` is how many workers faults took since its id was first asked for.
    fn violation(&self, pictures: &[String], lost: usize) -> Option<String> {
        let Self { id, picture, took, .. } = self;
        match &self.outcome {
            None => Some(format!("{id} had no end after {took:?}")),
            Some(_) if *took > self.deadline + LATE => Some(format!("{id} was late: {took:?}")),
            // A request that happens to be computed by one killed worker after another looks like
            // the one that kills them.
            Some(Err(error)) if error.kind == ErrorKind::Quarantined && lost >= LOST_WORKERS => {
                None
            }
            Some(Err(error)) if !EXCUSED.contains(&error.kind) => {
                Some(format!("{id} failed as {}: {}", error.kind.code(), error.message))
            }
            Some(Ok(digest)) if *digest != pictures[*picture] => {
                Some(format!("{id} is another picture than picture {picture}"))
            }
            Some(_) => None,
        }
    }
}
