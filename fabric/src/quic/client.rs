//! The caller's side: an endpoint that connects to workers, and one connection to a worker.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Request, code};
use hearth_protocol::version::{Hello, ProtocolRange, Welcome};
use quinn::crypto::rustls::QuicClientConfig;

use super::call::Call;
use super::lapse::{Credentials, LapseGuard};
use super::renewal::Renewal;
use super::stream::{FrameReader, FrameWriter};
use super::{CloseReason, EndpointKeys, Error, Settings, runtime, settings, socket, tls};
use crate::identity::{CurrentIdentity, Identity, Validity, validity};

/// Makes connections to workers, all from one socket.
#[derive(Clone)]
pub struct Connector {
    endpoint: quinn::Endpoint,
    tls: Arc<Renewal<Arc<QuicClientConfig>>>,
    settings: Settings,
    agent: Arc<str>,
}

/// Which worker to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it may be, best first.
    pub addresses: Vec<SocketAddr>,
    /// Its certificate's SHA-256, where that is known.
    pub fingerprint: Option<String>,
}

impl Connector {
    /// Binds a socket on a free port. `agent` is program and version, for the workers' logs. Each
    /// connection is made with what `identity` is at that time.
    ///
    /// # Errors
    /// [`Error::Bind`], [`Error::Identity`]. Must be called on a tokio runtime.
    pub fn new(
        identity: impl Into<CurrentIdentity>,
        settings: Settings,
        agent: &str,
    ) -> Result<Self, Error> {
        let build = |identity: &Arc<Identity>| Ok(Arc::new(tls::client(identity)?));
        let tls = Arc::new(Renewal::new(identity.into(), build)?);
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let failed = |source| Error::Bind { addr: any, source };
        // A machine without IPv6 has no such address to bind.
        let (udp, _) = socket::bind(any)
            .or_else(|_| socket::bind(SocketAddr::from(([0, 0, 0, 0], 0))))
            .map_err(failed)?;
        let mut config = EndpointKeys::random().map_err(failed)?.endpoint_config();
        config
            .max_udp_payload_size(settings::MAX_DATAGRAM)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let runtime = Arc::new(runtime::Runtime);
        let endpoint = quinn::Endpoint::new(config, None, udp, runtime).map_err(failed)?;
        Ok(Self { endpoint, tls, settings, agent: agent.into() })
    }

    /// The timers of its connections.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Connects to a worker at the first of its addresses that answers, and greets it.
    ///
    /// # Errors
    /// [`Error::Connect`] has the last address that was tried; [`Error::NoAddress`].
    pub async fn connect(&self, target: &Target) -> Result<Connection, Error> {
        let mut last = Error::NoAddress;
        for &addr in &target.addresses {
            match self.connect_to(addr, target.fingerprint.as_deref()).await {
                Ok(connection) => return Ok(connection),
                Err(Error::Lost(reason)) => last = Error::Connect { addr, reason },
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_to(
        &self,
        addr: SocketAddr,
        fingerprint: Option<&str>,
    ) -> Result<Connection, Error> {
        let (own, tls) = self.tls.get();
        let mut config = quinn::ClientConfig::new(tls);
        config.transport_config(self.settings.transport(settings::Side::Caller, addr));
        let addr = self.reachable(addr);
        let refused = |error: quinn::ConnectError| Error::Connect {
            addr,
            reason: CloseReason::Other(error.to_string()),
        };
        let connecting =
            self.endpoint.connect_with(config, addr, tls::SERVER_NAME).map_err(refused)?;
        let limit = self.settings.connect_timeout;
        let made = async {
            let quic = connecting.await?;
            if let Some(expected) = fingerprint {
                tls::check_fingerprint(&quic, expected)?;
            }
            let welcome = greet(&quic, &self.agent).await?;
            tls::check_name(&quic, welcome.worker_id.as_str())?;
            let peer = Credentials::of(&quic, tls::WORKERS, own, self.tls.source());
            let guard = Arc::new(LapseGuard::start(quic.clone(), peer));
            Ok(Connection { quic, welcome: Arc::new(welcome), guard })
        };
        let late = |_| Error::Connect { addr, reason: CloseReason::Silent };
        tokio::time::timeout(limit, made).await.map_err(late)?
    }

    /// An IPv4 address as a socket that is bound to IPv6 knows it.
    fn reachable(&self, addr: SocketAddr) -> SocketAddr {
        match (self.endpoint.local_addr(), addr) {
            (Ok(SocketAddr::V6(_)), SocketAddr::V4(v4)) => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            _ => addr,
        }
    }

    /// Closes every connection and waits until the workers know.
    pub async fn close(&self) {
        self.endpoint.close(code::BYE.into(), b"");
        self.endpoint.wait_idle().await;
    }
}

async fn greet(quic: &quinn::Connection, agent: &str) -> Result<Welcome, Error> {
    let (send, receive) = quic.open_bi().await?;
    let mut writer = FrameWriter::new(send);
    let hello =
        Hello { protocol: ProtocolRange::OURS, agent: agent.to_owned(), capabilities: Vec::new() };
    writer.put(FrameKind::Hello, &hello)?;
    writer.put_end();
    writer.finish().await?;
    let mut reader = FrameReader::new(receive);
    let welcome = reader.frame().await?.expect(FrameKind::Welcome, "the welcome")?.decode()?;
    reader.end().await?;
    Ok(welcome)
}

/// A connection to one run of a worker. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct Connection {
    quic: quinn::Connection,
    welcome: Arc<Welcome>,
    guard: Arc<LapseGuard>,
}

impl Connection {
    /// What the worker said of itself.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Where the worker is; an IPv4 address as such, whatever the socket calls it.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        let remote = self.quic.remote_address();
        SocketAddr::new(remote.ip().to_canonical(), remote.port())
    }

    /// From when until when the worker's certificate is valid.
    #[must_use]
    pub fn certificate_validity(&self) -> Option<Validity> {
        validity(tls::peer_chain(&self.quic).first()?).ok()
    }

    /// Starts a call. The payload belongs to `request.attachments`, in order.
    ///
    /// # Errors
    /// [`Error`]: the connection is lost, or the request is beyond a limit.
    pub async fn call(&self, request: &Request, payload: &[Bytes]) -> Result<Call, Error> {
        Call::start(&self.quic, request, payload).await
    }

    /// Waits until the connection ends.
    pub async fn closed(&self) -> CloseReason {
        let reason = self.quic.closed().await;
        self.explain(reason)
    }

    /// Why the connection ended; none while it lasts.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.quic.close_reason().map(|reason| self.explain(reason))
    }

    fn explain(&self, reason: quinn::ConnectionError) -> CloseReason {
        match (CloseReason::from(reason), self.guard.reason()) {
            (CloseReason::Ours, Some(lapse)) => CloseReason::Lapsed(lapse.to_owned()),
            (reason, _) => reason,
        }
    }

    /// Leaves the worker, in good order.
    pub fn close(&self) {
        self.quic.close(code::BYE.into(), b"");
    }
}
