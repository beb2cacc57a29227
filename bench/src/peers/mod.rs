//! What is compared: the same fan-out over Hearth, over bare quinn, over plain TCP. Peers in Python
//! are in [`crate::python`].

pub(crate) mod bare_quic;
pub(crate) mod coordinator;
pub(crate) mod hearth;
pub(crate) mod model;
pub(crate) mod tcp;

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::AsyncReadExt as _;

/// One call to each of N servers at once, with replies of `bytes` bytes.
pub(crate) trait FanOut {
    async fn call(&self, bytes: u64) -> Result<()>;

    /// `calls` empty calls to the first server, 64 in flight.
    async fn pipelined(&self, calls: usize) -> Result<()>;
}

/// Calls in flight of the pipelined case.
pub(crate) const IN_FLIGHT: usize = 64;

/// Says where a server is, then waits until its owner closes its standard input.
async fn announce_until_closed(addr: &str) -> Result<()> {
    crate::report::say(addr);
    wait_for_owner().await;
    Ok(())
}

async fn wait_for_owner() {
    let mut buffer = [0; 16];
    while matches!(tokio::io::stdin().read(&mut buffer).await, Ok(1..)) {}
}

fn parse(addrs: &[String]) -> Result<Vec<SocketAddr>> {
    Ok(addrs.iter().map(|addr| addr.parse()).collect::<Result<_, _>>()?)
}
