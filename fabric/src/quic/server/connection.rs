//! One connection after its handshake: its calls are read and handed to the [`Service`].

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use hearth_protocol::frame::FrameKind;
use hearth_protocol::message::{Request, code};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::ReusableBoxFuture;

use super::handshake::Caller;
use super::service::{IncomingCall, Peer, Service};
use crate::quic::call::Payload;
use crate::quic::error::{CloseReason, Error};
use crate::quic::responder::Responder;
use crate::quic::settings::{self, Settings};
use crate::quic::stream::FrameReader;
use hearth_base::repeats::Repeats;
use hearth_base::task::note_panic;

/// Serves one connection until it ends.
pub(super) async fn serve(
    caller: Caller,
    service: Arc<dyn Service>,
    said: Arc<Repeats>,
    settings: Settings,
) {
    let Caller { quic, peer, incarnation, budget, credentials } = caller;
    if said.allow(&peer.id.to_string(), "connected", Instant::now()) {
        tracing::info!(peer = %peer.id, agent = %peer.agent, address = %peer.address, "connected");
    }
    service.connections(&peer, 1);
    let memory = budget.memory();
    let mut lapse = pin!(credentials.lapse());
    let bulk = Arc::new(Semaphore::new(settings::BULK_STREAMS));
    let mut calls = JoinSet::new();
    // The allocation of a call that was answered at once is reused for the next one.
    let nothing = || ReusableBoxFuture::new(std::future::ready(()));
    let mut answered = nothing();
    let reason = loop {
        tokio::select! {
            biased;
            Some(ended) = calls.join_next(), if !calls.is_empty() => note_panic("call", &ended),
            lapse = &mut lapse => {
                quic.close(code::CERTIFICATE.into(), lapse.as_bytes());
                break CloseReason::Lapsed(lapse);
            }
            stream = quic.accept_bi() => match stream {
                Err(error) => break CloseReason::from(error),
                Ok((send, receive)) => {
                    let responder = Responder::new(send, incarnation, Arc::clone(&bulk));
                    let (service, peer) = (Arc::clone(&service), Arc::clone(&peer));
                    let place = budget.call();
                    // It holds the request's memory until the call has ended.
                    let mut frames = FrameReader::bounded(receive, memory.clone());
                    answered.set(async move {
                        let _place = match place {
                            Ok(place) => place,
                            Err(full) => {
                                frames.stop(code::BUSY);
                                return responder.fail(Error::Overloaded(full).into()).await;
                            }
                        };
                        let call = receive_call(&mut frames, responder, &peer, settings).await;
                        if let Some(call) = call {
                            service.serve(&peer, call).await;
                        }
                    });
                    // A control call mostly arrives in one packet and is answered at once,
                    // without a task. Whatever has to wait moves to a task, which polls it again.
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
    if said.allow(&peer.id.to_string(), "disconnected", Instant::now()) {
        tracing::info!(peer = %peer.id, agent = %peer.agent, %reason, "disconnected");
    }
}

/// Reads a call. One that is malformed, late or too large is answered here.
async fn receive_call(
    frames: &mut FrameReader,
    mut responder: Responder,
    peer: &Arc<Peer>,
    settings: Settings,
) -> Option<IncomingCall> {
    match read_request(frames, &mut responder, settings).await {
        Ok((request, payload)) => {
            Some(IncomingCall { peer: Arc::clone(peer), request, payload, responder })
        }
        Err(error) => {
            frames.stop(code::PROTOCOL);
            responder.fail(error.into()).await;
            None
        }
    }
}

/// Reads a request and its attachments. Whatever goes wrong once the request itself is there is
/// answered for the attempt that it names.
async fn read_request(
    frames: &mut FrameReader,
    responder: &mut Responder,
    settings: Settings,
) -> Result<(Request, Payload), Error> {
    let limit = settings.request_timeout;
    let late = |_| Error::TimedOut("the request", limit);
    let frame = tokio::time::timeout(limit, frames.frame()).await.map_err(late)??;
    let request: Request = frame.expect(FrameKind::Request, "a request")?.decode()?;
    responder.attempt = request.attempt;
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
