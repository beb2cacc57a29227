//! The worker's side: an endpoint that takes connections and hands each call to a [`Service`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use hearth_api::{CallError, Incarnation};
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Request, code};
use hearth_protocol::version::{Hello, ProtocolRange, Welcome};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::{CancellationToken, ReusableBoxFuture};

use super::call::Payload;
use super::error::plain;
use super::memory::Memory;
use super::renewal::Renewal;
use super::responder::Responder;
use super::stream::{FrameReader, FrameWriter};
use super::{EndpointKeys, Error, GrantedBuffers, Settings, runtime, settings, socket, tls};
use crate::identity::{CurrentIdentity, Identity, SpiffeId, peer_id};
use hearth_base::task::note_panic;

/// Connections that a worker holds at once.
const CONNECTIONS: usize = 512;

/// Handshakes under way at once.
const HANDSHAKES: usize = 128;

/// Handshakes under way above which a caller must first prove its address (RFC 9000, section 8.1).
const UNPROVEN_HANDSHAKES: usize = 64;

/// What a worker does with calls.
pub trait Service: Send + Sync + 'static {
    /// What to tell a caller that greets, for the agreed minor version.
    fn welcome(&self, minor: u16) -> Welcome;

    /// Serves one call. Dropped when the connection ends, so that work that must outlive its
    /// caller belongs elsewhere.
    fn serve(
        &self,
        peer: &Arc<Peer>,
        call: IncomingCall,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// A connection of this peer was made (+1) or has ended (-1).
    fn connections(&self, peer: &Peer, change: i32);
}

/// Who calls.
#[derive(Debug)]
pub struct Peer {
    /// The name and role in its certificate.
    pub id: SpiffeId,
    /// What it says of itself.
    pub agent: String,
    /// Where it called from at first.
    pub address: SocketAddr,
}

/// A call that has arrived whole.
pub struct IncomingCall {
    /// What is asked.
    pub request: Request,
    /// Its attachments.
    pub payload: Payload,
    /// Where the answer goes.
    pub responder: Responder,
}

/// A bound endpoint.
pub struct Listener {
    endpoint: quinn::Endpoint,
    server: Renewal<quinn::ServerConfig>,
    settings: Settings,
    granted: GrantedBuffers,
}

impl Listener {
    /// Binds `addr`; port 0 takes a free one. Each connection is taken with what `identity` is at
    /// that time.
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
    /// When the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The socket's buffers.
    #[must_use]
    pub fn granted_buffers(&self) -> GrantedBuffers {
        self.granted
    }

    /// Takes connections until `cancel`, then closes them all in good order.
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
                Some(greeted) = handshakes.next() => {
                    if let Some(greeted) = self.settle(greeted, connections.len(), &mut quota) {
                        let (service, memory) = (Arc::clone(&service), memory.share());
                        connections.spawn(serve(greeted, service, memory, self.settings));
                    }
                }
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    self.admit(incoming, &service, &mut handshakes);
                }
            }
        }
        self.endpoint.close(code::BYE.into(), b"");
        handshakes.tasks.shutdown().await;
        connections.shutdown().await;
        self.endpoint.wait_idle().await;
    }

    /// Starts a handshake. When too many are under way the oldest makes room: a peer of good will is
    /// done long before it is the oldest, and refusing the newest would let a flood shut all out.
    fn admit(
        &self,
        incoming: quinn::Incoming,
        service: &Arc<dyn Service>,
        handshakes: &mut Handshakes,
    ) {
        let address = incoming.remote_address();
        if handshakes.tasks.len() >= UNPROVEN_HANDSHAKES && incoming.may_retry() {
            let _ = incoming.retry();
            return;
        }
        let mut server = self.server.get();
        server.transport_config(self.settings.transport(settings::Side::Worker, address));
        match incoming.accept_with(Arc::new(server)) {
            Ok(connecting) => {
                let limit = self.settings.connect_timeout;
                handshakes.start(address, greeted(connecting, Arc::clone(service), limit));
            }
            Err(error) => tracing::warn!(%address, %error, "refused a connection"),
        }
    }

    /// The peer of a handshake that has ended, if it may stay.
    fn settle(
        &self,
        (address, ended): Ended,
        connections: usize,
        quota: &mut Quota,
    ) -> Option<Greeted> {
        let refused = match ended {
            Ok(greeted) if connections < CONNECTIONS => return Some(greeted),
            Ok(greeted) => {
                greeted.quic.close(code::BUSY.into(), b"too many connections");
                format!("{CONNECTIONS} are open")
            }
            Err(error) => CallError::from(error).to_string(),
        };
        if quota.take(Instant::now()) {
            tracing::warn!(%address, error = refused, "refused a connection");
        }
        None
    }
}

fn server_config(identity: &Identity) -> Result<quinn::ServerConfig, Error> {
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
    server.max_incoming(HANDSHAKES).migration(true);
    Ok(server)
}

/// A peer that has shown its certificate and greeted.
struct Greeted {
    quic: quinn::Connection,
    peer: Arc<Peer>,
    incarnation: Incarnation,
}

/// What became of a handshake, and with whom.
type Ended = (SocketAddr, Result<Greeted, Error>);

/// Handshakes under way.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<Ended>,
    /// Oldest first.
    order: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn start(
        &mut self,
        address: SocketAddr,
        handshake: impl Future<Output = Result<Greeted, Error>> + Send + 'static,
    ) {
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= HANDSHAKES
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let task = self.tasks.spawn(async move { (address, handshake.await) });
        self.order.push_back(task);
    }

    /// The next that ends by itself; none while nothing is under way.
    async fn next(&mut self) -> Option<Ended> {
        while let Some(ended) = self.tasks.join_next().await {
            note_panic("handshake", &ended);
            if let Ok(ended) = ended {
                return Some(ended);
            }
        }
        None
    }
}

/// Takes a connection and its greeting.
async fn greeted(
    connecting: quinn::Connecting,
    service: Arc<dyn Service>,
    limit: Duration,
) -> Result<Greeted, Error> {
    let greeted = async {
        let quic = connecting.await?;
        let (peer, incarnation) = greet(&quic, &*service).await?;
        Ok(Greeted { quic, peer: Arc::new(peer), incarnation })
    };
    let late = |_| Error::TimedOut("the handshake", limit);
    tokio::time::timeout(limit, greeted).await.map_err(late)?
}

/// Serves one connection until it ends.
async fn serve(greeted: Greeted, service: Arc<dyn Service>, memory: Memory, settings: Settings) {
    let Greeted { quic, peer, incarnation } = greeted;
    tracing::info!(peer = %peer.id, agent = %peer.agent, address = %peer.address, "connected");
    service.connections(&peer, 1);
    let bulk = Arc::new(Semaphore::new(settings::BULK_STREAMS));
    let mut calls = JoinSet::new();
    // The memory of a call that was answered at once serves the next.
    let nothing = || ReusableBoxFuture::new(std::future::ready(()));
    let mut answered = nothing();
    let reason = loop {
        tokio::select! {
            biased;
            Some(ended) = calls.join_next(), if !calls.is_empty() => note_panic("call", &ended),
            stream = quic.accept_bi() => match stream {
                Err(error) => break super::CloseReason::from(error),
                Ok((send, receive)) => {
                    let responder = Responder::new(send, incarnation, Arc::clone(&bulk));
                    let (service, peer) = (Arc::clone(&service), Arc::clone(&peer));
                    // It holds the request's memory until the call has ended.
                    let mut frames = FrameReader::bounded(receive, memory.clone());
                    answered.set(async move {
                        if let Some(call) = receive_call(&mut frames, responder, settings).await {
                            service.serve(&peer, call).await;
                        }
                    });
                    // A control call mostly comes with one packet and is answered at once: that
                    // needs no task. A task polls anew whatever waits.
                    let at_once = AssertUnwindSafe(|| (&mut answered).now_or_never());
                    match std::panic::catch_unwind(at_once) {
                        Ok(Some(())) => {}
                        Ok(None) => drop(calls.spawn(std::mem::replace(&mut answered, nothing()))),
                        Err(_) => tracing::error!("a call panicked"),
                    }
                }
            }
        }
    };
    service.connections(&peer, -1);
    tracing::info!(peer = %peer.id, agent = %peer.agent, %reason, "disconnected");
}

/// How many refusals are logged: strangers cost nothing, and must not fill a disk.
struct Quota {
    since: Instant,
    lines: u32,
}

impl Quota {
    const LINES: u32 = 100;
    const SPAN: Duration = Duration::from_secs(60);

    fn new(now: Instant) -> Self {
        Self { since: now, lines: 0 }
    }

    /// Whether one more is logged. The last one that is says that more may follow unsaid.
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Self::SPAN {
            *self = Self::new(now);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines == Self::LINES {
            tracing::warn!("more refused connections are not logged for up to {:?}", Self::SPAN);
        }
        self.lines < Self::LINES
    }
}

/// Answers the greeting on the connection's first stream.
async fn greet(
    quic: &quinn::Connection,
    service: &dyn Service,
) -> Result<(Peer, Incarnation), Error> {
    let (send, receive) = quic.accept_bi().await?;
    let mut frames = FrameReader::new(receive);
    let hello: Hello = frames.frame().await?.expect(FrameKind::Hello, "the greeting")?.decode()?;
    frames.end().await?;
    let minor = ProtocolRange::OURS.agree(hello.protocol).map_err(|error| {
        quic.close(code::VERSION.into(), error.message.as_bytes());
        Error::Refused(error)
    })?;
    let welcome = service.welcome(minor);
    let mut writer = FrameWriter::new(send);
    writer.put(FrameKind::Welcome, &welcome)?;
    writer.put_end();
    writer.finish().await?;
    let id = certified_id(quic).ok_or_else(|| {
        quic.close(code::ROLE.into(), b"the certificate has no role");
        Error::Identity("the peer's certificate has no role".to_owned())
    })?;
    let peer = Peer { id, agent: plain(&hello.agent), address: quic.remote_address() };
    Ok((peer, welcome.incarnation))
}

/// The id in the certificate that TLS has verified.
fn certified_id(quic: &quinn::Connection) -> Option<SpiffeId> {
    let identity = quic.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<rustls::pki_types::CertificateDer<'static>>>()?;
    peer_id(chain.first()?).ok()
}

/// Reads a call; what is malformed, late or too large is answered here.
async fn receive_call(
    frames: &mut FrameReader,
    mut responder: Responder,
    settings: Settings,
) -> Option<IncomingCall> {
    match read_request(frames, settings).await {
        Ok((request, payload)) => {
            responder.attempt = request.attempt;
            Some(IncomingCall { request, payload, responder })
        }
        Err(error) => {
            frames.stop(code::PROTOCOL);
            responder.fail(error.into()).await;
            None
        }
    }
}

async fn read_request(
    frames: &mut FrameReader,
    settings: Settings,
) -> Result<(Request, Payload), Error> {
    let limit = settings.request_timeout;
    let late = |_| Error::TimedOut("the request", limit);
    let frame = tokio::time::timeout(limit, frames.frame()).await.map_err(late)??;
    let request: Request = frame.expect(FrameKind::Request, "a request")?.decode()?;
    let rest = async {
        let payload = frames.attachments(&request.attachments).await?;
        frames.end().await?;
        Ok::<_, Error>(payload)
    };
    let limit = settings.payload_timeout;
    let late = |_| Error::TimedOut("the request's attachments", limit);
    let payload = tokio::time::timeout(limit, rest).await.map_err(late)??;
    Ok((request, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_up_to_a_bound_and_again_later() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        assert_eq!((0..1000).filter(|_| quota.take(start)).count(), 99);
        assert!(quota.take(start + Quota::SPAN));
    }
}
