//! Reaches a worker at whichever of its addresses answers first.
//!
//! A worker with several networks announces several addresses, and not every one can be reached
//! from everywhere. They are tried a little after one another (as in RFC 8305), so that a dead one
//! costs moments and not a timeout.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_fabric::quic::{Connection, Connector, Error, Target};

/// The head start that an address has over the next one.
const HEAD_START: Duration = Duration::from_millis(200);

/// Addresses that are tried.
const MOST: usize = 8;

/// How long one address may take. The handshake's own packets are repeated ever more slowly, so
/// that after a while a fresh try reaches a worker that came back sooner than an old one.
const LIMIT: Duration = Duration::from_secs(2);

/// Connects to the first address that answers.
///
/// # Errors
/// Why the last address that failed did; `fingerprint` is checked at each.
pub(super) async fn dial(
    connector: &Connector,
    addresses: &[SocketAddr],
    fingerprint: Option<&str>,
) -> Result<Connection, Error> {
    let mut tries: FuturesUnordered<_> = (0..)
        .zip(addresses.iter().take(MOST))
        .map(|(place, &address)| async move {
            // A sleep of no time still takes a tick of the timer.
            if place > 0 {
                tokio::time::sleep(HEAD_START * place).await;
            }
            let target = Target {
                addresses: vec![address],
                fingerprint: fingerprint.map(ToOwned::to_owned),
            };
            let late = |_| Error::TimedOut("connecting", LIMIT);
            tokio::time::timeout(LIMIT, connector.connect(&target)).await.map_err(late)?
        })
        .collect();
    let mut last = Error::NoAddress;
    while let Some(result) = tries.next().await {
        match result {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}
