//! The worker's side: an endpoint that takes connections and hands each call to a [`Service`].

mod budget;
mod connection;
mod handshake;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::CallError;
use hearth_protocol::message::code;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::renewal::Renewal;
use super::{EndpointKeys, Error, GrantedBuffers, Settings, runtime, settings, socket, tls};
use crate::identity::{CurrentIdentity, Identity};
use hearth_base::repeats::Repeats;
use hearth_base::task::note_panic;

use budget::{Bounds, Budgets, ConnectionPermit};
use handshake::{Caller, HANDSHAKES, Handshakes, Host};

pub use service::{IncomingCall, Peer, Service};

/// What peers can have logged, per cause: one line in so long a time.
const LINE_SPAN: Duration = Duration::from_secs(10);

/// Causes of strangers, and of peers with a certificate, that are told apart in the log. An address can
/// be forged, an identity can't.
const LOGGED_STRANGERS: usize = 32;
const LOGGED_PEERS: usize = 256;

/// How often what was left out of the log is said.
const LOG_TICK: Duration = Duration::from_secs(1);

/// Handshakes under way above which a caller must first prove its address (RFC 9000, section 8.1).
const UNPROVEN_HANDSHAKES: usize = 64;

/// A bound endpoint.
pub struct Listener {
    endpoint: quinn::Endpoint,
    server: Renewal<quinn::ServerConfig>,
    settings: Settings,
    granted: GrantedBuffers,
}

impl Listener {
    /// Binds `addr`; port 0 takes a free one. Each connection uses the `identity` that is
    /// current when it arrives.
    ///
    /// # Errors
    /// [`Error::Bind`] names the address, [`Error::Identity`] the certificate's fault. Must be
    /// called on a tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        identity: impl Into<CurrentIdentity>,
        keys: &EndpointKeys,
        settings: Settings,
    ) -> Result<Self, Error> {
        let server = Renewal::new(identity.into(), server_config)?;
        let failed = |source| Error::Bind { addr, source };
        let (udp, granted) = socket::bind(addr).map_err(failed)?;
        let mut config = keys.endpoint_config();
        config
            .max_udp_payload_size(settings::MAX_DATAGRAM)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let runtime = Arc::new(runtime::Runtime);
        let endpoint = quinn::Endpoint::new(config, Some(server.get().1), udp, runtime);
        Ok(Self { endpoint: endpoint.map_err(failed)?, server, settings, granted })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The socket's buffers.
    #[must_use]
    pub fn granted_buffers(&self) -> GrantedBuffers {
        self.granted
    }

    /// Accepts connections until `cancel`, then closes them all gracefully.
    pub async fn run(self, service: Arc<dyn Service>, cancel: CancellationToken) {
        let budgets = Arc::new(Budgets::new(Bounds::default(), self.settings.request_timeout));
        let strangers = Repeats::new(LINE_SPAN, LOGGED_STRANGERS);
        let peers = Arc::new(Repeats::new(LINE_SPAN, LOGGED_PEERS));
        let mut handshakes = Handshakes::default();
        let mut connections = JoinSet::new();
        let mut tick = tokio::time::interval(LOG_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                // Before what a flood could bring without an end.
                _ = tick.tick() => {
                    strangers.log_omissions(Instant::now());
                    peers.log_omissions(Instant::now());
                }
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    note_panic("connection", &ended);
                }
                Some((address, outcome)) = handshakes.next() => match accept(outcome, &budgets) {
                    Ok((caller, place)) => {
                        let served = connection::serve(
                            caller,
                            Arc::clone(&service),
                            Arc::clone(&peers),
                            self.settings,
                        );
                        connections.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                    Err(error) => refuse(&strangers, address, &error),
                },
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    let address = incoming.remote_address();
                    if let Err(error) = self.admit(incoming, &service, &budgets, &mut handshakes) {
                        refuse(&strangers, address, &error);
                    }
                }
            }
        }
        self.endpoint.close(code::BYE.into(), b"");
        handshakes.shutdown().await;
        connections.shutdown().await;
        self.endpoint.wait_idle().await;
    }

    /// Starts a handshake. When too many are under way the oldest is dropped: an honest peer has
    /// finished long before it is the oldest, and refusing the newest would let a flood shut
    /// everybody out.
    fn admit(
        &self,
        incoming: quinn::Incoming,
        service: &Arc<dyn Service>,
        budgets: &Arc<Budgets>,
        handshakes: &mut Handshakes,
    ) -> Result<(), Error> {
        let address = incoming.remote_address();
        if handshakes.len() >= UNPROVEN_HANDSHAKES && incoming.may_retry() {
            let _ = incoming.retry();
            return Ok(());
        }
        let (own, mut server) = self.server.get();
        server.transport_config(self.settings.transport(settings::Side::Worker, address));
        let connecting = incoming.accept_with(Arc::new(server))?;
        let host = Host {
            service: Arc::clone(service),
            budgets: Arc::clone(budgets),
            own,
            current: self.server.source().clone(),
        };
        handshakes
            .start(address, handshake::complete(connecting, host, self.settings.connect_timeout));
        Ok(())
    }
}

/// The caller of a handshake that has ended, with its place, or why it may not stay.
fn accept(
    outcome: Result<Caller, Error>,
    budgets: &Budgets,
) -> Result<(Caller, ConnectionPermit), Error> {
    let caller = outcome?;
    match budgets.connection(&caller.peer.id, &caller.budget) {
        Ok(place) => Ok((caller, place)),
        Err(full) => {
            caller.quic.close(code::BUSY.into(), full.as_bytes());
            Err(Error::Overloaded(full))
        }
    }
}

/// Says that a connection is refused, unless that was said of its address a moment ago.
fn refuse(strangers: &Repeats, address: SocketAddr, error: &Error) {
    let peer = address.ip().to_canonical().to_string();
    let error = CallError::from(error).to_string();
    if strangers.allow(&peer, &error, Instant::now()) {
        tracing::warn!(%address, error, "refused a connection");
    }
}

fn server_config(identity: &Arc<Identity>) -> Result<quinn::ServerConfig, Error> {
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
    server.max_incoming(HANDSHAKES).migration(true);
    Ok(server)
}
