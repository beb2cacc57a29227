//! A list of addresses in place of a registry.
//!
//! Nothing is known about a worker until it is asked, so the view holds addresses and no records.
//! Announcing always succeeds and does nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hearth_api::{OwnerId, Rank};
use hearth_protocol::record::WorkerRecord;
use tokio_util::sync::CancellationToken;

use super::view::Publisher;
use super::{
    AnnounceStatus, Announcement, Error, Observation, OwnerClaim, OwnerState, OwnerWatch, RankWish,
    Registry,
};

/// How often names are looked up: soon while one has no address, and now and then for changes.
const RETRY: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_secs(30);
const LOOKUP: Duration = Duration::from_secs(5);

/// A list of workers' addresses.
pub(super) struct StaticList {
    endpoints: Vec<String>,
}

impl StaticList {
    pub(super) fn open(endpoints: &[String]) -> Self {
        Self { endpoints: endpoints.to_vec() }
    }
}

impl Registry for StaticList {
    fn target(&self) -> String {
        format!("static:{}", self.endpoints.join(","))
    }

    fn announce(
        &self,
        record: WorkerRecord,
        wish: RankWish,
        _state_dir: &Path,
    ) -> Result<Announcement, Error> {
        super::record::encode(&record)?;
        let rank = match wish {
            RankWish::Auto => Rank(0),
            RankWish::Fixed(rank) => rank,
        };
        Ok(Announcement::spawn(record, |desk| async move {
            desk.set(AnnounceStatus::Registered { rank });
            desk.withdraw.cancelled().await;
            desk.set(AnnounceStatus::Withdrawn);
        }))
    }

    fn observe(&self) -> Result<Observation, Error> {
        let endpoints = self.endpoints.clone();
        Ok(Observation::spawn(|publisher, cancel| look_up(endpoints, publisher, cancel)))
    }

    fn own(&self, owner: &OwnerId) -> OwnerClaim {
        OwnerClaim::spawn(owner, |holder| async move {
            holder.held.send_replace(true);
            holder.withdraw.cancelled().await;
        })
    }

    fn watch_owner(&self, _owner: &OwnerId) -> OwnerWatch {
        OwnerWatch::spawn(|state, cancel| async move {
            state.send_replace(OwnerState::Free);
            cancel.cancelled().await;
        })
    }
}

async fn look_up(endpoints: Vec<String>, publisher: Publisher, cancel: CancellationToken) {
    let mut known: Vec<Option<SocketAddr>> = vec![None; endpoints.len()];
    loop {
        let mut error = None;
        for (endpoint, known) in endpoints.iter().zip(&mut known) {
            match resolve(endpoint).await {
                Ok(address) => *known = Some(address),
                // A known address is kept: names may fail to resolve for a while.
                Err(reason) => error = Some(reason),
            }
        }
        let pause = if error.is_some() { RETRY } else { REFRESH };
        publisher.endpoints(known.iter().flatten().copied().collect(), error);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The first address of `HOST:PORT`.
async fn resolve(endpoint: &str) -> Result<SocketAddr, Error> {
    let failed = |reason: String| Error::Resolve { host: endpoint.to_owned(), reason };
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host(endpoint)).await;
    let mut found =
        found.map_err(|_| failed("no answer".to_owned()))?.map_err(|e| failed(e.to_string()))?;
    found.next().ok_or_else(|| failed("none found".to_owned()))
}
