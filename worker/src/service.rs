//! From a call to its method: is the caller allowed, is this the run it means, which method is it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::{IncomingCall, Peer, Service};
use hearth_protocol::message::Trailer;
use hearth_protocol::methods::Method;
use hearth_protocol::version::Welcome;

use crate::methods::{self, Call, CallFuture, Handler, Methods, Route};
use crate::owner::Binding;
use crate::shared::Shared;

/// Serves the calls of all connections.
pub(crate) struct WorkerService {
    pub(crate) shared: Arc<Shared>,
    pub(crate) methods: Methods,
    /// Whose life the worker is bound to.
    pub(crate) owner: Option<Arc<Binding>>,
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
            load: (minor >= 2).then(|| self.shared.inbox.look(|plan| plan.items().load())),
        }
    }

    fn serve(&self, peer: &Arc<Peer>, call: IncomingCall) -> CallFuture {
        let open = Open::new(&self.open);
        let served = self.route(peer, call);
        Box::pin(async move {
            served.await;
            drop(open);
        })
    }

    fn connections(&self, peer: &Peer, change: i32) {
        if let Some(owner) = &self.owner {
            owner.connections(peer, change);
        }
        let count = &self.shared.connections;
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            Some(count.saturating_add_signed(change))
        });
    }
}

impl WorkerService {
    fn route(&self, peer: &Arc<Peer>, call: IncomingCall) -> CallFuture {
        let request = &call.request;
        let ours = self.shared.incarnation;
        if request.incarnation.is_some_and(|meant| meant != ours) {
            let message = format!("the worker was started anew and is {ours} now: list it again");
            return self.refuse(call, CallError::new(ErrorKind::StaleIncarnation, message));
        }
        let role = peer.id.role();
        let Ok(method) = request.method.parse::<Method>() else {
            return match self.methods.find(&request.method, role).cloned() {
                Ok(handler) => self.registered(&handler, peer, call),
                Err(error) => self.refuse(call, error),
            };
        };
        if !role.may_call(method) {
            let id = peer.id.to_string();
            if self.shared.refusals.allow(&id, method.name(), Instant::now()) {
                tracing::warn!(peer = id, %method, "call refused: the role may not");
            }
            return self.refuse(call, methods::denied(role, method.name()));
        }
        match methods::route(method) {
            Route::Stream(serve) => serve(Arc::clone(&self.shared), call),
            Route::Wait(waiting) => waiting.serve(Arc::clone(&self.shared), call),
            Route::Control(control) => {
                let outcome = control(&self.shared, &call.request);
                self.answer(call, outcome)
            }
            Route::Personal(control) => {
                let outcome = control(&self.shared, peer, &call.request);
                self.answer(call, outcome)
            }
        }
    }

    fn answer(&self, call: IncomingCall, outcome: Result<Vec<u8>, CallError>) -> CallFuture {
        match outcome {
            Ok(value) => {
                let (none, trailer) = (Vec::new(), Trailer::default());
                Box::pin(call.responder.succeed(value, none, Vec::new(), trailer))
            }
            Err(error) => self.refuse(call, error),
        }
    }

    fn refuse(&self, call: IncomingCall, error: CallError) -> CallFuture {
        Box::pin(call.responder.fail(self.shared.located(error)))
    }

    /// Runs an embedding program's method until it ends, its caller cancels or its deadline passes.
    fn registered(&self, handler: &Handler, peer: &Arc<Peer>, call: IncomingCall) -> CallFuture {
        let IncomingCall { request, payload, responder, .. } = call;
        let (shared, deadline) = (Arc::clone(&self.shared), request.deadline_ms);
        let answer = handler(Call { peer: Arc::clone(peer), request, payload });
        Box::pin(async move {
            methods::respond(&shared, responder, deadline, answer, || ()).await;
        })
    }
}
