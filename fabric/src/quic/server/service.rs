//! What a worker brings to an endpoint: who called, what is asked, and where the answer goes.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hearth_protocol::message::Request;
use hearth_protocol::version::Welcome;

use crate::identity::SpiffeId;
use crate::quic::call::Payload;
use crate::quic::responder::Responder;

/// What a worker does with calls.
pub trait Service: Send + Sync + 'static {
    /// The answer to a caller's greeting, for the agreed minor version.
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
    /// The program it says it is.
    pub agent: String,
    /// The address it first called from.
    pub address: SocketAddr,
}

/// A call that has arrived completely.
pub struct IncomingCall {
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What is asked.
    pub request: Request,
    /// Its attachments.
    pub payload: Payload,
    /// Where the answer goes.
    pub responder: Responder,
}
