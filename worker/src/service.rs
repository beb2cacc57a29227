//! From a call to its method: is the caller allowed, is this the run it means, which method is it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hearth_api::{CallError, ErrorKind};
use hearth_fabric::quic::{IncomingCall, Peer, Service};
use hearth_inference::session::Interrupt;
use hearth_protocol::message::{Request, Trailer};
use hearth_protocol::methods::Method;
use hearth_protocol::version::Welcome;

use crate::methods::{self, Answer, Call, Handler, Methods};
use crate::owner::Binding;
use crate::state::Shared;

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

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;
type Answered = Pin<Box<dyn Future<Output = Result<Answer, CallError>> + Send>>;

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
            Ok(Route::Attach) => Box::pin(methods::attach(Arc::clone(&self.shared), call)),
            Ok(Route::Order(method)) => self.order(method, call),
            Ok(Route::Control(method)) => self.control(method, call),
            Ok(Route::Registered(handler)) => self.registered(&handler, peer, call),
        };
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

type ControlMethod = fn(&Shared, &Request) -> Result<Vec<u8>, CallError>;

enum Route {
    Generate,
    Attach,
    /// It waits: for the engine, or for the disk.
    Order(Method),
    /// It is done at once.
    Control(ControlMethod),
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
        Ok(match method {
            Method::Generate => Route::Generate,
            Method::Attach => Route::Attach,
            Method::Infer
            | Method::Drain
            | Method::Resume
            | Method::Sleep
            | Method::WakeUp
            | Method::LoadModel
            | Method::UnloadModel
            | Method::Profile => Route::Order(method),
            Method::GetRank => Route::Control(|shared, _| methods::get_rank(shared)),
            Method::CheckHealth => Route::Control(|shared, _| methods::check_health(shared)),
            Method::Stats => Route::Control(|shared, _| methods::stats(shared)),
            Method::ListModels => Route::Control(|shared, _| methods::list_models(shared)),
            Method::ListRequests => Route::Control(|shared, _| methods::list_requests(shared)),
            Method::Cancel => Route::Control(methods::cancel),
            Method::Shutdown => Route::Control(|shared, _| methods::shutdown(shared)),
        })
    }

    fn refuse(&self, call: IncomingCall, error: CallError) -> Served {
        Box::pin(call.responder.fail(self.shared.located(error)))
    }

    fn control(&self, method: ControlMethod, call: IncomingCall) -> Served {
        let value = method(&self.shared, &call.request);
        match value {
            Ok(value) => {
                Box::pin(call.responder.succeed(value, Vec::new(), Vec::new(), Trailer::default()))
            }
            Err(error) => self.refuse(call, error),
        }
    }

    /// What has to be waited for: the engine's word, or the disk's.
    fn order(&self, method: Method, call: IncomingCall) -> Served {
        let IncomingCall { request, payload, responder } = call;
        let (shared, deadline) = (Arc::clone(&self.shared), request.deadline_ms);
        let interrupt = Interrupt::new();
        let stopped = interrupt.clone();
        let ours = Arc::clone(&shared);
        let answer: Answered = match method {
            Method::Infer => Box::pin(methods::infer(ours, request, payload, interrupt)),
            Method::Profile => Box::pin(methods::profile(ours, request, interrupt)),
            Method::Drain => Box::pin(methods::drain(ours)),
            Method::Resume => Box::pin(methods::resume(ours)),
            Method::Sleep => Box::pin(methods::sleep(ours, request)),
            Method::WakeUp => Box::pin(methods::wake_up(ours, request)),
            Method::LoadModel => Box::pin(methods::load_model(ours, request)),
            _ => Box::pin(methods::unload_model(ours, request)),
        };
        Box::pin(async move {
            methods::respond(&shared, responder, deadline, answer, || stopped.interrupt()).await;
        })
    }

    /// Runs an embedding program's method until it ends, its caller cancels or its deadline passes.
    fn registered(&self, handler: &Handler, peer: &Arc<Peer>, call: IncomingCall) -> Served {
        let IncomingCall { request, payload, responder } = call;
        let (shared, deadline) = (Arc::clone(&self.shared), request.deadline_ms);
        let answer = handler(Call { peer: Arc::clone(peer), request, payload });
        Box::pin(async move {
            methods::respond(&shared, responder, deadline, answer, || ()).await;
        })
    }
}
