//! Taking a rank and announcing the worker, in one transaction.
//!
//! The transaction succeeds only if nothing that was read before it has changed, so of many workers
//! that want a rank one gets it.

use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp};
use hearth_api::{Rank, WorkerId};
use hearth_protocol::record::WorkerRecord;

use super::cluster::Cluster;
use super::session::Session;
use crate::registry::record::encode;
use crate::registry::{Error, MAX_WORKERS, RankWish};

/// Lost races after which the claim is postponed.
const TRIES: usize = 32;

/// What a worker wants.
pub(super) struct Claim<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) record: &'a WorkerRecord,
    pub(super) wish: RankWish,
    /// The rank it had last.
    pub(super) last: Option<Rank>,
    /// The lease to put the keys under.
    pub(super) lease: i64,
    /// Leases of this worker, from before too.
    pub(super) own: &'a [i64],
}

impl Claim<'_> {
    /// Puts the worker's two keys.
    ///
    /// # Errors
    /// [`Error::DuplicateRank`], [`Error::WorkerIdInUse`], [`Error::Full`], or the session's error.
    pub(super) async fn make(&self, session: &mut Session<'_>) -> Result<Rank, Error> {
        for _ in 0..TRIES {
            let worker = session.get(self.cluster.worker(&self.record.worker_id)).await?;
            if let Some(worker) = &worker {
                self.check_own(worker)?;
            }
            let (rank, held) = self.pick(session).await?;
            let txn = self.transaction(worker.as_ref(), rank, held.as_ref())?;
            if session.transact(txn).await?.succeeded() {
                return Ok(rank);
            }
        }
        let reason = format!("{TRIES} times another worker was faster");
        Err(Error::Unreachable { target: self.cluster.target.clone(), reason })
    }

    /// A record under a lease that is not ours is another live worker's, as far as one can tell.
    fn check_own(&self, worker: &KeyValue) -> Result<(), Error> {
        if worker.lease() == self.lease || self.own.contains(&worker.lease()) {
            return Ok(());
        }
        let worker_id = self.record.worker_id.clone();
        Err(Error::WorkerIdInUse { worker_id, target: self.cluster.target.clone() })
    }

    /// The rank to take, and its key if it is ours already.
    async fn pick(&self, session: &mut Session<'_>) -> Result<(Rank, Option<KeyValue>), Error> {
        let wanted = match self.wish {
            RankWish::Fixed(rank) => Some(rank),
            RankWish::Auto => self.last,
        };
        if let Some(rank) = wanted {
            let held = session.get(self.cluster.rank(rank)).await?;
            match (&held, self.wish) {
                (Some(key), RankWish::Fixed(_)) if !self.is_ours(key) => {
                    let holder = String::from_utf8_lossy(key.value()).into_owned();
                    let target = self.cluster.target.clone();
                    return Err(Error::DuplicateRank { rank, holder, target });
                }
                (Some(key), RankWish::Auto) if !self.is_ours(key) => {}
                _ => return Ok((rank, held)),
            }
        }
        let prefix = self.cluster.ranks();
        let taken = session.list(&prefix, MAX_WORKERS).await?.pairs;
        // A worker that lost its memory finds its rank by its name.
        if let Some((rank, key)) = taken
            .iter()
            .filter(|key| self.is_ours(key))
            .find_map(|key| Some((rank_of(key, &prefix)?, key)))
        {
            return Ok((rank, Some(key.clone())));
        }
        let taken = taken.iter().filter_map(|key| rank_of(key, &prefix));
        match lowest_free(taken) {
            Some(rank) => Ok((rank, None)),
            None => Err(Error::Full { target: self.cluster.target.clone() }),
        }
    }

    fn is_ours(&self, rank: &KeyValue) -> bool {
        rank.value() == self.record.worker_id.as_str().as_bytes()
    }

    fn transaction(
        &self,
        worker: Option<&KeyValue>,
        rank: Rank,
        held: Option<&KeyValue>,
    ) -> Result<Txn, Error> {
        let id: &WorkerId = &self.record.worker_id;
        let (worker_key, rank_key) = (self.cluster.worker(id), self.cluster.rank(rank));
        // A key that is not there has modification revision 0.
        let unchanged = |key: &str, read: Option<&KeyValue>| {
            Compare::mod_revision(key, CompareOp::Equal, read.map_or(0, KeyValue::mod_revision))
        };
        let when = [unchanged(&worker_key, worker), unchanged(&rank_key, held)];
        let record = encode(&WorkerRecord { rank, ..self.record.clone() })?;
        let under = || Some(PutOptions::new().with_lease(self.lease));
        let then =
            [TxnOp::put(rank_key, id.as_str(), under()), TxnOp::put(worker_key, record, under())];
        Ok(Txn::new().when(when).and_then(then))
    }
}

/// A transaction that succeeds while both keys of a worker are under its lease.
pub(super) fn still_held(cluster: &Cluster, id: &WorkerId, rank: Rank, lease: i64) -> Txn {
    Txn::new().when([
        Compare::lease(cluster.worker(id), CompareOp::Equal, lease),
        Compare::lease(cluster.rank(rank), CompareOp::Equal, lease),
    ])
}

fn rank_of(key: &KeyValue, prefix: &str) -> Option<Rank> {
    let rank = key.key_str().ok()?.strip_prefix(prefix)?;
    rank.parse().ok().map(Rank)
}

/// The lowest rank that is not taken; none when the group is full.
fn lowest_free(taken: impl Iterator<Item = Rank>) -> Option<Rank> {
    let mut taken: Vec<u32> = taken.map(|rank| rank.0).collect();
    taken.sort_unstable();
    taken.dedup();
    let free = taken.iter().zip(0..).take_while(|(rank, index)| **rank == *index).count();
    if free >= MAX_WORKERS { None } else { u32::try_from(free).ok().map(Rank) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_rank_is_found_in_any_order() {
        let free = |taken: &[u32]| lowest_free(taken.iter().copied().map(Rank));
        assert_eq!(free(&[]), Some(Rank(0)));
        assert_eq!(free(&[10, 0, 2, 1]), Some(Rank(3)));
        assert_eq!(free(&[1, 2]), Some(Rank(0)));
        assert_eq!(free(&[0, 0, 1]), Some(Rank(2)));
        let full: Vec<u32> = (0..MAX_WORKERS as u32).collect();
        assert_eq!(free(&full), None);
    }
}
