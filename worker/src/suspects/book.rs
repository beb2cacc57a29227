//! Which requests runs of workers were lost to: what is remembered, for how long, and what follows.

use std::collections::BTreeMap;

use hearth_api::{CallError, Incarnation, RequestId, limits};
use hearth_protocol::record::Suspect;
use serde::{Deserialize, Serialize};

/// Most requests that are remembered. They are announced, so a record must have room for them.
const REQUESTS: usize = 100;
/// Most runs of one request: beyond those that quarantine it more say nothing new.
const RUNS: usize = 2 * limits::LOST_WORKERS;
/// How long a request is remembered, in seconds.
const MEMORY: u64 = 600;

/// The requests that runs of workers were lost to, as this worker knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Book(BTreeMap<RequestId, Entry>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    runs: Vec<Incarnation>,
    /// When the last of them was lost, seconds since 1970 (UTC).
    at: u64,
}

impl Book {
    /// Notes that runs were lost to a request.
    pub(super) fn add(
        &mut self,
        request: RequestId,
        runs: impl IntoIterator<Item = Incarnation>,
        now: u64,
    ) {
        let entry = self.0.entry(request).or_insert(Entry { runs: Vec::new(), at: now });
        entry.at = now;
        for run in runs {
            if !entry.runs.contains(&run) && entry.runs.len() < RUNS {
                entry.runs.push(run);
            }
        }
        while self.0.len() > REQUESTS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, entry)| entry.at)
        {
            let oldest = oldest.0.clone();
            self.0.remove(&oldest);
        }
    }

    /// Forgets what is old; says whether anything was. A time to come is a clock that was set back:
    /// its request is remembered from now on.
    pub(super) fn forget(&mut self, now: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|_, entry| {
            entry.at = entry.at.min(now);
            now - entry.at < MEMORY
        });
        self.0.len() != before
    }

    /// Fails for a request that too many workers were lost to, `told` of them as its caller knows.
    ///
    /// # Errors
    /// `quarantined`.
    pub(super) fn check(&self, request: &RequestId, told: &[Incarnation]) -> Result<(), CallError> {
        let known = self.0.get(request).map(|entry| entry.runs.as_slice()).unwrap_or_default();
        let others = told.iter().filter(|run| !known.contains(run)).count();
        let lost = known.len() + others;
        if lost < limits::LOST_WORKERS {
            return Ok(());
        }
        Err(CallError::quarantined(request, lost))
    }

    /// What is announced.
    pub(super) fn suspects(&self) -> Vec<Suspect> {
        let suspect = |(request_id, entry): (&RequestId, &Entry)| Suspect {
            request_id: request_id.clone(),
            runs: entry.runs.clone(),
        };
        self.0.iter().map(suspect).collect()
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::ErrorKind;

    use super::*;

    fn id(name: &str) -> RequestId {
        name.parse().unwrap()
    }

    fn run(number: u128) -> Incarnation {
        Incarnation::from_bits(number)
    }

    #[test]
    fn two_lost_runs_quarantine_a_request_whoever_knows_of_them() {
        let mut book = Book::default();
        book.add(id("r"), [run(1)], 0);
        for (told, lost) in [
            (vec![], false),
            (vec![run(1)], false),
            (vec![run(2)], true),
            (vec![run(1), run(2)], true),
        ] {
            assert_eq!(book.check(&id("r"), &told).is_err(), lost, "{told:?}");
        }
        assert!(book.check(&id("s"), &[run(2)]).is_ok());
        assert!(book.check(&id("s"), &[run(2), run(3)]).is_err());
        book.add(id("r"), [run(1), run(4)], 1);
        let error = book.check(&id("r"), &[]).unwrap_err();
        assert_eq!((error.kind, error.retryable), (ErrorKind::Quarantined, false));
        assert!(error.message.contains("request r") && error.message.contains("2 workers"));
        assert_eq!(book.suspects(), [Suspect { request_id: id("r"), runs: vec![run(1), run(4)] }]);
    }

    #[test]
    fn what_is_remembered_has_an_end_and_a_bound() {
        let mut book = Book::default();
        book.add(id("r"), [run(1)], 1000);
        assert!(!book.forget(1000 + MEMORY - 1));
        assert!(book.forget(1000 + MEMORY));
        // The clock was set back.
        book.add(id("r"), [run(1)], 90_000);
        assert!(!book.forget(1000));
        assert!(book.forget(1000 + MEMORY));
        for number in 0..300_u64 {
            book.add(id(&format!("r{number}")), (0..20).map(run), number);
        }
        assert_eq!(book.suspects().len(), REQUESTS);
        assert!(book.suspects().iter().all(|suspect| suspect.runs.len() == RUNS));
        assert!(book.check(&id("r0"), &[]).is_ok() && book.check(&id("r299"), &[]).is_err());
    }
}
