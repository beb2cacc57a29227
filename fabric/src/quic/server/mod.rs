//! The worker's side: an endpoint that takes connections and hands each call to a [`Service`].

mod connection;
mod handshake;
mod quota;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hearth_api::CallError;
use hearth_protocol::message::code;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use super::renewal::Renewal;
use super::{EndpointKeys, Error, GrantedBuffers, Settings, runtime, settings, socket, tls};
use crate::identity::{CurrentIdentity, Identity};
use hearth_base::task::note_panic;

use handshake::{Caller, HANDSHAKES, Handshakes};
use quota::Quota;

pub use service::{IncomingCall, Peer, Service};

/// Connections that a worker holds at once.
const CONNECTIONS: usize = 512;

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
        let endpoint = quinn::Endpoint::new(config, Some(server.get()), udp, runtime);
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
        let memory = Memory::new(self.settings.request_timeout);
        let mut handshakes = Handshakes::default();
        let mut quota = Quota::new(Instant::now());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    note_panic("connection", &ended);
                }
                Some((address, outcome)) = handshakes.next() => {
                    match accept(outcome, connections.len()) {
                        Ok(caller) => {
                            let (service, memory) = (Arc::clone(&service), memory.share());
                            let served = connection::serve(caller, service, memory, self.settings);
                            connections.spawn(served);
                        }
                        Err(reason) if quota.take(Instant::now()) => {
                            tracing::warn!(%address, error = reason, "refused a connection");
                        }
                        Err(_) => {}
                    }
                }
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    self.admit(incoming, &service, &mut handshakes);
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
        handshakes: &mut Handshakes,
    ) {
        let address = incoming.remote_address();
        if handshakes.len() >= UNPROVEN_HANDSHAKES && incoming.may_retry() {
            let _ = incoming.retry();
            return;
        }
        let mut server = self.server.get();
        server.transport_config(self.settings.transport(settings::Side::Worker, address));
        match incoming.accept_with(Arc::new(server)) {
            Ok(connecting) => {
                let limit = self.settings.connect_timeout;
                let caller = handshake::complete(connecting, Arc::clone(service), limit);
                handshakes.start(address, caller);
            }
            Err(error) => tracing::warn!(%address, %error, "refused a connection"),
        }
    }
}

/// The caller of a handshake that has ended, or why it may not stay.
fn accept(outcome: Result<Caller, Error>, connections: usize) -> Result<Caller, String> {
    let caller = outcome.map_err(|error| CallError::from(error).to_string())?;
    if connections >= CONNECTIONS {
        caller.quic.close(code::BUSY.into(), b"too many connections");
        return Err(format!("{CONNECTIONS} are open"));
    }
    Ok(caller)
}

fn server_config(identity: &Identity) -> Result<quinn::ServerConfig, Error> {
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
    server.max_incoming(HANDSHAKES).migration(true);
    Ok(server)
}
