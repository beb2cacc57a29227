//! From a call to its method: is the caller allowed, is this the run it means, which method is it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hearth_fabric::quic::{IncomingCall, Peer, Service};
use hearth_protocol::message::Trailer;
use hearth_protocol::methods::Method;
use hearth_protocol::version::Welcome;
use hearth_protocol::{CallError, ErrorKind, codec};

use crate::methods::{self, Answer, Call, Handler, Methods};
use crate::state::Shared;

/// Serves the calls of all connections.
pub(crate) struct WorkerService {
    pub(crate) shared: Arc<Shared>,
    pub(crate) methods: Methods,
    /// Calls that are being answered.
    pub(crate) open: Arc<AtomicUsize>,
}

/// Counts a call while it is open, also when its future is dropped.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Service for WorkerService {
    fn welcome(&self, minor: u16) -> Welcome {
        Welcome {
            minor,
            agent: concat!("hearth-worker/", env!("CARGO_PKG_VERSION")).to_owned(),
            capabilities: Vec::new(),
            worker_id: self.shared.id.clone(),
            group: self.shared.group.clone(),
            rank: *self.shared.rank.borrow(),
            incarnation: self.shared.incarnation,
        }
    }

    fn serve(&self, peer: &Arc<Peer>, call: IncomingCall) -> Served {
        let open = Open::new(&self.open);
        let served = match self.route(peer, &call) {
            Err(error) => self.refuse(call, error),
            Ok(Route::Generate) => Box::pin(methods::generate(Arc::clone(&self.shared), call)),
            Ok(Route::Control(method)) => self.control(method, call),
            Ok(Route::Registered(handler)) => self.registered(&handler, peer, call),
        };
        Box::pin(async move {
            served.await;
            drop(open);
        })
    }

    fn connections(&self, change: i32) {
        let count = &self.shared.connections;
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            Some(count.saturating_add_signed(change))
        });
    }
}

enum Route {
    Generate,
    Control(Method),
    Registered(Handler),
}

impl WorkerService {
    fn route(&self, peer: &Peer, call: &IncomingCall) -> Result<Route, CallError> {
        let request = &call.request;
        let ours = self.shared.incarnation;
        if request.incarnation.is_some_and(|meant| meant != ours) {
            let message = format!("the worker was started anew and is {ours} now: list it again");
            return Err(CallError::new(ErrorKind::StaleIncarnation, message));
        }
        let role = peer.id.role();
        let Ok(method) = request.method.parse::<Method>() else {
            return self.methods.find(&request.method, role).cloned().map(Route::Registered);
        };
        if !role.may_call(method) {
            tracing::warn!(peer = %peer.id, %method, "call refused: the role may not");
            return Err(methods::denied(role, method.name()));
        }
        Ok(if method == Method::Generate { Route::Generate } else { Route::Control(method) })
    }

    fn refuse(&self, call: IncomingCall, error: CallError) -> Served {
        Box::pin(call.responder.fail(self.shared.located(error)))
    }

    fn control(&self, method: Method, call: IncomingCall) -> Served {
        let shared = &*self.shared;
        let value = match method {
            Method::GetRank => methods::get_rank(shared),
            Method::CheckHealth => methods::check_health(shared),
            Method::Stats => methods::stats(shared),
            Method::ListModels => methods::list_models(shared),
            Method::ListRequests => methods::list_requests(shared),
            Method::Cancel => methods::cancel(shared, &call.request),
            Method::Drain => methods::drain(shared),
            Method::Resume => methods::resume(shared),
            Method::Shutdown => methods::shutdown(shared),
            Method::Generate => Err(CallError::new(ErrorKind::Internal, "generate is no control")),
        };
        match value {
            Ok(value) => {
                Box::pin(call.responder.succeed(value, Vec::new(), Vec::new(), Trailer::default()))
            }
            Err(error) => self.refuse(call, error),
        }
    }

    /// Runs an embedding program's method until it ends, its caller cancels or its deadline passes.
    fn registered(&self, handler: &Handler, peer: &Arc<Peer>, call: IncomingCall) -> Served {
        let IncomingCall { request, payload, responder } = call;
        let shared = Arc::clone(&self.shared);
        let limit = request.deadline_ms.map_or(Duration::MAX, Duration::from_millis);
        let answer = handler(Call { peer: Arc::clone(peer), request, payload });
        let cancelled = responder.cancelled();
        Box::pin(async move {
            let answer = tokio::select! {
                biased;
                () = cancelled => return,
                answer = tokio::time::timeout(limit, answer) => answer,
            };
            let late = |_| CallError::new(ErrorKind::DeadlineExceeded, "the deadline passed");
            match answer.map_err(late).flatten() {
                Ok(Answer { value, attachments, payload }) => {
                    let value = if value.is_empty() { codec::EMPTY.to_vec() } else { value };
                    responder.succeed(value, attachments, payload, Trailer::default()).await;
                }
                Err(error) => responder.fail(shared.located(error)).await,
            }
        })
    }
}
