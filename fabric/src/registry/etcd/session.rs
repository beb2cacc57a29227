//! A connection to one member of the cluster: calls with a time limit and typed errors.
//!
//! A session talks to one member only. etcd's client would spread calls over all members, dead ones
//! too; here a failed session is followed by one with the next member, after a growing pause
//! with jitter, so that a returning cluster is not flooded.

use std::error::Error as StdError;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use etcd_client::{
    Client, GetOptions, GetResponse, KeyValue, PutOptions, Txn, TxnResponse, WatchClient,
};

use super::cluster::{Cluster, call_limit};
use crate::registry::Error;

/// Keys of one page of a list. Records are at most 64 KiB, so a page stays under the limit below.
const PAGE: i64 = 500;
/// Longest message that is taken from the server.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;
/// gRPC status codes.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;
const UNAUTHENTICATED: i32 = 16;

/// A connection to one member.
pub(super) struct Session<'a> {
    cluster: &'a Cluster,
    client: Client,
    limit: Duration,
}

/// The keys under a prefix, at one revision.
pub(super) struct Listing {
    pub(super) pairs: Vec<KeyValue>,
    pub(super) revision: i64,
}

impl<'a> Session<'a> {
    /// Connects to the member whose turn it is.
    pub(super) async fn open(cluster: &'a Cluster, turn: usize) -> Result<Self, Error> {
        let endpoint = &cluster.endpoints[turn % cluster.endpoints.len()];
        let limit = call_limit(cluster.ttl);
        let connecting = Client::connect([endpoint], Some(cluster.options.clone()));
        let client = within(cluster, limit, connecting).await?;
        Ok(Self { cluster, client, limit })
    }

    /// Grants a lease of the cluster's TTL.
    pub(super) async fn grant(&mut self) -> Result<i64, Error> {
        let ttl = i64::try_from(self.cluster.ttl.as_secs()).unwrap_or(i64::MAX);
        let granted = self.client.lease_grant(ttl, None);
        Ok(within(self.cluster, self.limit, granted).await?.id())
    }

    /// Renews a lease; false if it is gone.
    pub(super) async fn renew(&mut self, lease: i64) -> Result<bool, Error> {
        let renewal = async {
            match self.client.lease_keep_alive(lease).await {
                Ok(_) => Ok(true),
                // The client's answer to a TTL of 0, which is etcd's for a lease that is gone.
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        within(self.cluster, self.limit, renewal).await
    }

    /// Revokes a lease; one that is gone is fine.
    pub(super) async fn revoke(&mut self, lease: i64) -> Result<(), Error> {
        let revocation = async {
            match self.client.lease_revoke(lease).await {
                Err(etcd_client::Error::GRpcStatus(s)) if i32::from(s.code()) == NOT_FOUND => {
                    Ok(())
                }
                other => other.map(drop),
            }
        };
        within(self.cluster, self.limit, revocation).await
    }

    /// One key.
    pub(super) async fn get(&mut self, key: String) -> Result<Option<KeyValue>, Error> {
        let got = self.client.get(key, None);
        Ok(within(self.cluster, self.limit, got).await?.take_kvs().pop())
    }

    /// A read that is answered only while the member hears the cluster's leader.
    pub(super) async fn probe(&mut self) -> Result<(), Error> {
        let options = GetOptions::new().with_count_only();
        let got = self.client.get(self.cluster.ranks(), Some(options));
        within(self.cluster, self.limit, got).await.map(drop)
    }

    /// Puts a key under a lease.
    pub(super) async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        lease: i64,
    ) -> Result<(), Error> {
        let put = self.client.put(key, value, Some(PutOptions::new().with_lease(lease)));
        within(self.cluster, self.limit, put).await.map(drop)
    }

    /// Runs a transaction.
    pub(super) async fn transact(&mut self, txn: Txn) -> Result<TxnResponse, Error> {
        within(self.cluster, self.limit, self.client.txn(txn)).await
    }

    /// At most `limit` keys under a prefix (which ends with `/`), in their order.
    pub(super) async fn list(&mut self, prefix: &str, limit: usize) -> Result<Listing, Error> {
        let mut kv = self.client.kv_client().max_decoding_message_size(MAX_MESSAGE);
        // '0' follows '/': the end of the range.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let mut listing = Listing { pairs: Vec::new(), revision: 0 };
        let mut from = prefix.as_bytes().to_vec();
        loop {
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(PAGE)
                .with_revision(listing.revision);
            let got = kv.get(from.clone(), Some(options));
            let mut page: GetResponse = within(self.cluster, self.limit, got).await?;
            if listing.revision == 0 {
                listing.revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            let more = page.more();
            listing.pairs.extend(page.take_kvs());
            match listing.pairs.last() {
                Some(last) if more && listing.pairs.len() < limit => {
                    from = [last.key(), b"\0"].concat();
                }
                _ => break,
            }
        }
        listing.pairs.truncate(limit);
        Ok(listing)
    }

    /// The client that opens watches.
    pub(super) fn watcher(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(MAX_MESSAGE)
    }

    /// Waits for an answer of the server, as long as any call may take.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Error> {
        within(self.cluster, self.limit, call).await
    }
}

/// Pauses between sessions: growing, with jitter. A cluster that returns must be used again within
/// the TTL, and within five seconds.
pub(super) fn pauses(ttl: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_factor(1.6)
        .with_max_delay((ttl / 5).min(Duration::from_secs(2)))
        .without_max_times()
        .with_jitter()
        .build()
}

/// A call with its limit and typed error.
async fn within<T>(
    cluster: &Cluster,
    limit: Duration,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(cluster, &error)),
        Err(_) => Err(Error::Unreachable {
            target: cluster.target.clone(),
            reason: format!("no answer within {limit:?}"),
        }),
    }
}

/// What a failed call means.
pub(super) fn failure(cluster: &Cluster, error: &etcd_client::Error) -> Error {
    let target = cluster.target.clone();
    let etcd_client::Error::GRpcStatus(status) = error else {
        return unreachable(target, error.to_string());
    };
    // The deepest cause names the address or the certificate; those above it say "transport error".
    let mut cause: &dyn StdError = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let deepest = if status.source().is_some() { cause.to_string() } else { String::new() };
    let message = status.message();
    let reason = match (message.contains(&deepest), message.is_empty()) {
        (true, false) => message.to_owned(),
        (_, true) => deepest,
        (false, false) => format!("{message}: {deepest}"),
    };
    match i32::from(status.code()) {
        PERMISSION_DENIED | UNAUTHENTICATED => Error::Auth { target, reason },
        // A wrong password, a missing user and a user where none is asked for.
        INVALID_ARGUMENT | FAILED_PRECONDITION
            if reason.contains("authentication") || reason.contains("user name") =>
        {
            Error::Auth { target, reason }
        }
        _ => unreachable(target, reason),
    }
}

/// TLS errors come as text only, from either end; a server that dislikes a client's certificate may
/// close the connection before it says so.
fn unreachable(target: String, reason: String) -> Error {
    let words = ["certificate", "received fatal alert", "corrupt message", "TLS", "tls"];
    let closed = ["closed", "broken pipe", "reset"];
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match says(&words) || target.starts_with("etcds") && says(&closed) {
        true => Error::Tls { target, reason },
        false => Error::Unreachable { target, reason },
    }
}
