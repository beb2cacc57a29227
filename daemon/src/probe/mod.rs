//! The small HTTP server of a daemon: `/live`, `/ready`, `/health` and `/metrics`.
//!
//! It is for orchestrators and scrapers, so it takes one request per connection and holds few
//! connections, each for a short time. When all places are taken the oldest connection gives way: an
//! honest client has its answer long before it is the oldest, and refusing the newest would let
//! stalled clients shut everybody out. It decides nothing: whether the daemon is ready is told to it
//! through a watch.

mod connections;
mod routes;
mod state;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use connections::Connections;

pub use state::{Readiness, State};

/// Where the probe listens and what it allows.
#[derive(Debug, Clone)]
pub struct Config {
    /// The TCP address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections held at once. A further one takes the place of the oldest.
    pub max_connections: usize,
    /// How long a connection's request may take to come.
    pub header_timeout: Duration,
    /// How long a connection may last, from its start to the end of the answer.
    pub connection_timeout: Duration,
}

/// Where a daemon's config has the probe listen: `off`, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Nothing is served.
    Off,
    /// This TCP address.
    At(SocketAddr),
}

impl TryFrom<String> for Listen {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| format!("{text:?}: give \"off\" or IP:PORT"))
    }
}

impl Config {
    /// The usual bounds on the given address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            max_connections: 256,
            header_timeout: Duration::from_secs(2),
            connection_timeout: Duration::from_secs(5),
        }
    }
}

/// Why the probe can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can't be listened on.
    #[error("http.listen {address} can't be used: choose a free port of this host, or 0 for any")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A probe that listens, and serves once it runs.
#[derive(Debug)]
pub struct Probe {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    config: Config,
}

impl Probe {
    /// Listens on the configured address.
    ///
    /// # Errors
    /// [`Error::Bind`] if the address is taken or not this host's.
    pub async fn bind(config: Config, state: State) -> Result<Self, Error> {
        let failed = |source| Error::Bind { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, router: routes::router(state), config })
    }

    /// The address it listens on, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then drops what is still open.
    pub async fn run(self, stop: CancellationToken) {
        let mut connections = Connections::new(self.config.max_connections);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = connections.next_end() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.start(serve(stream, self.router.clone(), self.config.clone()));
                    }
                    Err(error) => pause_after(&error).await,
                },
            }
        }
        connections.shutdown().await;
    }
}

/// Answers the one request of a connection. Errors are the client's and end with its connection.
async fn serve(stream: TcpStream, router: Router, config: Config) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(config.connection_timeout, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "probe connection failed"),
        Err(_) => tracing::debug!("probe connection took too long"),
    }
}

/// `accept` fails at once, and again, while descriptors are short; the pause keeps it from spinning.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "the probe can't accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[cfg(test)]
mod tests;
