//! The worker's side: an endpoint that takes connections and hands each call to a [`Service`].

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{
    Accepted, Attachment, Preview, Progress, Reply, Request, Trailer, check_attachments, code,
};
use hearth_protocol::version::{Hello, ProtocolRange, Welcome};
use hearth_protocol::{CallError, Incarnation};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::call::Payload;
use super::stream::{FrameReader, FrameWriter};
use super::{EndpointKeys, Error, GrantedBuffers, Settings, settings, socket, tls};
use crate::identity::{Identity, SpiffeId, peer_id};

/// Connections that a worker holds at once.
const CONNECTIONS: usize = 512;

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

    /// A connection was made (+1) or has ended (-1).
    fn connections(&self, change: i32);
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
    server: quinn::ServerConfig,
    settings: Settings,
    granted: GrantedBuffers,
}

impl Listener {
    /// Binds `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::Bind`] names the address, [`Error::Identity`] the certificate's fault. Must be
    /// called on a tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        identity: &Identity,
        keys: &EndpointKeys,
        settings: Settings,
    ) -> Result<Self, Error> {
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
        server.max_incoming(CONNECTIONS).migration(true);
        let failed = |source| Error::Bind { addr, source };
        let (udp, granted) = socket::bind(addr).map_err(failed)?;
        let mut config = keys.endpoint_config();
        config
            .max_udp_payload_size(settings::MAX_DATAGRAM)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = quinn::Endpoint::new(config, Some(server.clone()), udp, runtime);
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
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    self.admit(incoming, &service, &mut connections);
                }
            }
        }
        self.endpoint.close(code::BYE.into(), b"");
        connections.shutdown().await;
        self.endpoint.wait_idle().await;
    }

    fn admit(
        &self,
        incoming: quinn::Incoming,
        service: &Arc<dyn Service>,
        connections: &mut JoinSet<()>,
    ) {
        let address = incoming.remote_address();
        if connections.len() >= CONNECTIONS {
            tracing::warn!(%address, "refused a connection: {CONNECTIONS} are open");
            incoming.refuse();
            return;
        }
        let under_way = connections.len().saturating_sub(self.endpoint.open_connections());
        if under_way >= UNPROVEN_HANDSHAKES && incoming.may_retry() {
            let _ = incoming.retry();
            return;
        }
        let mut server = self.server.clone();
        server.transport_config(self.settings.transport(address));
        match incoming.accept_with(Arc::new(server)) {
            Ok(connecting) => {
                let (service, settings) = (Arc::clone(service), self.settings);
                connections.spawn(async move {
                    if let Err(error) = connection(connecting, service, settings).await {
                        let error = CallError::from(error);
                        tracing::warn!(%address, %error, "refused a connection");
                    }
                });
            }
            Err(error) => tracing::warn!(%address, %error, "refused a connection"),
        }
    }
}

/// Serves one connection until it ends.
async fn connection(
    connecting: quinn::Connecting,
    service: Arc<dyn Service>,
    settings: Settings,
) -> Result<(), Error> {
    let limit = settings.connect_timeout;
    let greeted = async {
        let quic = connecting.await?;
        let (peer, incarnation) = greet(&quic, &*service).await?;
        Ok::<_, Error>((quic, Arc::new(peer), incarnation))
    };
    let late = |_| Error::TimedOut("the handshake", limit);
    let (quic, peer, incarnation) = tokio::time::timeout(limit, greeted).await.map_err(late)??;

    tracing::info!(peer = %peer.id, agent = %peer.agent, address = %peer.address, "connected");
    service.connections(1);
    let bulk = Arc::new(Semaphore::new(settings::BULK_STREAMS));
    let mut calls = JoinSet::new();
    let reason = loop {
        tokio::select! {
            biased;
            Some(_) = calls.join_next(), if !calls.is_empty() => {}
            stream = quic.accept_bi() => match stream {
                Err(error) => break super::CloseReason::from(error),
                Ok((send, receive)) => {
                    let responder = Responder::new(send, incarnation, Arc::clone(&bulk));
                    let (service, peer) = (Arc::clone(&service), Arc::clone(&peer));
                    calls.spawn(async move {
                        let frames = FrameReader::new(receive);
                        if let Some(call) = receive_call(frames, responder, settings).await {
                            service.serve(&peer, call).await;
                        }
                    });
                }
            }
        }
    };
    service.connections(-1);
    tracing::info!(peer = %peer.id, agent = %peer.agent, %reason, "disconnected");
    Ok(())
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
    let peer = Peer { id, agent: hello.agent, address: quic.remote_address() };
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
    mut frames: FrameReader,
    mut responder: Responder,
    settings: Settings,
) -> Option<IncomingCall> {
    match read_request(&mut frames, settings).await {
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

/// Where a call's events and its one reply go. Dropped without a reply, the caller is told that
/// the call failed.
pub struct Responder {
    writer: FrameWriter,
    incarnation: Incarnation,
    attempt: u32,
    bulk: Arc<Semaphore>,
}

/// Streams are served in this order: control calls and progress, results, previews.
mod priority {
    pub(super) const CONTROL: i32 = 2;
    pub(super) const RESULT: i32 = 1;
    pub(super) const PREVIEW: i32 = 0;
}

impl Responder {
    fn new(stream: quinn::SendStream, incarnation: Incarnation, bulk: Arc<Semaphore>) -> Self {
        let writer = FrameWriter::new(stream);
        writer.set_priority(priority::CONTROL);
        Self { writer, incarnation, attempt: 0, bulk }
    }

    /// Completes when the caller cancels; never when the caller's connection is lost.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.writer.stream().stopped();
        async move {
            match stopped.await {
                Ok(Some(stop)) if stop == code::CANCEL.into() => {}
                _ => std::future::pending().await,
            }
        }
    }

    /// Says that the call is taken on.
    ///
    /// # Errors
    /// [`Error`]: the caller is gone.
    pub async fn accepted(&mut self, accepted: Accepted) -> Result<(), Error> {
        self.writer.put(FrameKind::Accepted, &accepted)?;
        self.writer.flush().await
    }

    /// Says how far the call is.
    ///
    /// # Errors
    /// [`Error`]: the caller is gone.
    pub async fn progress(&mut self, progress: &Progress) -> Result<(), Error> {
        self.writer.put(FrameKind::Progress, progress)?;
        self.writer.flush().await
    }

    /// Shows an unfinished result.
    ///
    /// # Errors
    /// [`Error`]: the caller is gone.
    pub async fn preview(&mut self, preview: &Preview, body: Bytes) -> Result<(), Error> {
        self.writer.set_priority(priority::PREVIEW);
        self.writer.put(FrameKind::Preview, preview)?;
        let sent = self.writer.bulk(&[body]).await;
        self.writer.set_priority(priority::CONTROL);
        sent
    }

    /// Ends the call with a value (an encoded MessagePack map) and its attachments.
    pub async fn succeed(
        self,
        value: Vec<u8>,
        attachments: Vec<Attachment>,
        payload: Payload,
        trailer: Trailer,
    ) {
        if let Err(error) = check_attachments(&attachments) {
            return self.fail(error).await;
        }
        let (attempt, incarnation) = (self.attempt, self.incarnation);
        let value = Some(value.into());
        let reply = Reply { attempt, incarnation, value, error: None, attachments };
        self.end(&reply, &payload, &trailer).await;
    }

    /// Ends the call with an error.
    pub async fn fail(self, error: CallError) {
        let (attempt, incarnation) = (self.attempt, self.incarnation);
        let reply = Reply {
            attempt,
            incarnation,
            value: None,
            error: Some(error),
            attachments: Vec::new(),
        };
        self.end(&reply, &[], &Trailer::default()).await;
    }

    /// A caller that has gone or cancelled is not an error here: its reply is of no use to it.
    async fn end(mut self, reply: &Reply, payload: &[Bytes], trailer: &Trailer) {
        let sent = async {
            self.writer.put(FrameKind::Reply, reply)?;
            if !payload.is_empty() {
                self.writer.set_priority(priority::RESULT);
                let _turn = self.bulk.acquire().await;
                self.writer.bulk(payload).await?;
            }
            self.writer.put(FrameKind::Trailer, trailer)?;
            self.writer.put_end();
            self.writer.flush().await
        };
        match sent.await {
            Ok(()) => drop(self.writer.finish().await),
            Err(Error::Stopped | Error::Lost(_)) => {}
            Err(error) => {
                let error = CallError::from(error);
                tracing::error!(%error, "a reply could not be sent");
                self.writer.reset(code::PROTOCOL);
            }
        }
    }
}
