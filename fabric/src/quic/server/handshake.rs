//! Handshakes: TLS, then the peer's greeting, several at a time and each within a limit.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hearth_api::Incarnation;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::code;
use hearth_protocol::version::{Hello, ProtocolRange};
use tokio::task::{AbortHandle, JoinSet};

use super::budget::{Budget, Budgets};
use super::service::{Peer, Service};
use crate::identity::{CurrentIdentity, Identity};
use crate::quic::error::{Error, plain};
use crate::quic::lapse::Credentials;
use crate::quic::stream::{FrameReader, FrameWriter};
use crate::quic::tls;
use hearth_base::task::note_panic;

/// Handshakes under way at once.
pub(super) const HANDSHAKES: usize = 128;

/// A peer that has shown its certificate and greeted.
pub(super) struct Caller {
    pub(super) quic: quinn::Connection,
    pub(super) peer: Arc<Peer>,
    pub(super) incarnation: Incarnation,
    pub(super) budget: Arc<Budget>,
    pub(super) credentials: Credentials,
}

/// What a handshake is made with.
pub(super) struct Host {
    pub(super) service: Arc<dyn Service>,
    pub(super) budgets: Arc<Budgets>,
    /// What this side shows.
    pub(super) own: Arc<Identity>,
    pub(super) current: CurrentIdentity,
}

/// The peer's address, and the result of the handshake with it.
type Outcome = (SocketAddr, Result<Caller, Error>);

/// Handshakes under way.
#[derive(Default)]
pub(super) struct Handshakes {
    tasks: JoinSet<Outcome>,
    /// Oldest first.
    order: VecDeque<AbortHandle>,
}

impl Handshakes {
    /// Starts one, and drops the oldest if too many are under way.
    pub(super) fn start(
        &mut self,
        address: SocketAddr,
        handshake: impl Future<Output = Result<Caller, Error>> + Send + 'static,
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

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The next handshake that ends by itself; `None` while none is under way.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        while let Some(ended) = self.tasks.join_next().await {
            note_panic("handshake", &ended);
            if let Ok(ended) = ended {
                return Some(ended);
            }
        }
        None
    }

    /// Aborts the handshakes that are under way.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Completes a handshake: takes the connection and its greeting.
pub(super) async fn complete(
    connecting: quinn::Connecting,
    host: Host,
    limit: Duration,
) -> Result<Caller, Error> {
    let caller = async {
        let quic = connecting.await?;
        let id = tls::certified_id(&quic).ok_or_else(|| {
            quic.close(code::ROLE.into(), b"the certificate has no role");
            Error::Identity("the peer's certificate has no role".to_owned())
        })?;
        let budget = host.budgets.of(&id);
        let place = budget.greeting().map_err(|full| {
            quic.close(code::BUSY.into(), full.as_bytes());
            Error::Overloaded(format!("{id}: {full}"))
        })?;
        let (agent, incarnation) = greet(&quic, &*host.service).await?;
        drop(place);
        let address = quic.remote_address();
        let peer = Arc::new(Peer { id, agent: plain(&agent), address });
        let credentials = Credentials::of(&quic, tls::CALLERS, host.own, &host.current);
        Ok(Caller { quic, peer, incarnation, budget, credentials })
    };
    let late = |_| Error::TimedOut("the handshake", limit);
    tokio::time::timeout(limit, caller).await.map_err(late)?
}

/// Answers the greeting on the connection's first stream; gives what the peer calls its program.
async fn greet(
    quic: &quinn::Connection,
    service: &dyn Service,
) -> Result<(String, Incarnation), Error> {
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
    Ok((hello.agent, welcome.incarnation))
}
