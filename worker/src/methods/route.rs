//! From a built-in method to what does it: one row each.

use std::pin::Pin;
use std::sync::Arc;

use hearth_api::CallError;
use hearth_fabric::quic::{IncomingCall, Peer};
use hearth_inference::session::Interrupt;
use hearth_protocol::message::Request;
use hearth_protocol::methods::Method;

use super::call::{Answer, MethodCall};
use super::reply::respond;
use super::{attach, control, generate, graphs, logs, models, status};
use crate::shared::Shared;

/// A call that is being answered.
pub(crate) type CallFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

type AnswerFuture = Pin<Box<dyn Future<Output = Result<Answer, CallError>> + Send>>;

/// How a method is done.
pub(crate) enum Route {
    /// Its caller learns how it goes meanwhile.
    Stream(fn(Arc<Shared>, IncomingCall) -> CallFuture),
    /// It waits: for compute, or for the disk.
    Wait(WaitingMethod),
    /// It is done at once.
    Control(fn(&Shared, &Request) -> Result<Vec<u8>, CallError>),
    /// It is done at once, and depends on who asks.
    Personal(fn(&Shared, &Peer, &Request) -> Result<Vec<u8>, CallError>),
}

/// A method that waits.
pub(crate) struct WaitingMethod(fn(MethodCall) -> AnswerFuture);

impl WaitingMethod {
    /// Answers the call, unless its caller cancels or its deadline passes first.
    pub(crate) fn serve(self, shared: Arc<Shared>, call: IncomingCall) -> CallFuture {
        let Self(method) = self;
        let IncomingCall { request, payload, responder, .. } = call;
        let (deadline, interrupt) = (request.deadline_ms, Interrupt::new());
        let stopped = interrupt.clone();
        let answer =
            method(MethodCall { shared: Arc::clone(&shared), request, payload, interrupt });
        Box::pin(async move {
            respond(&shared, responder, deadline, answer, || stopped.interrupt()).await;
        })
    }
}

/// The row of each method.
pub(crate) fn route(method: Method) -> Route {
    let wait = |method| Route::Wait(WaitingMethod(method));
    match method {
        Method::Generate => {
            Route::Stream(|shared, call| Box::pin(generate::generate(shared, call)))
        }
        Method::Attach => Route::Stream(|shared, call| Box::pin(attach::attach(shared, call))),
        Method::Infer => wait(|call| Box::pin(graphs::infer(call))),
        Method::Profile => wait(|call| Box::pin(graphs::profile(call))),
        Method::Logs => wait(|call| Box::pin(logs::logs(call))),
        Method::Drain => wait(|call| Box::pin(control::drain(call))),
        Method::Resume => wait(|call| Box::pin(control::resume(call))),
        Method::Sleep => wait(|call| Box::pin(models::sleep(call))),
        Method::WakeUp => wait(|call| Box::pin(models::wake_up(call))),
        Method::LoadModel => wait(|call| Box::pin(models::load_model(call))),
        Method::UnloadModel => wait(|call| Box::pin(models::unload_model(call))),
        Method::GetRank => Route::Control(status::get_rank),
        Method::CheckHealth => Route::Control(status::check_health),
        Method::Stats => Route::Control(status::stats),
        Method::ListModels => Route::Control(status::list_models),
        Method::ListRequests => Route::Control(control::list_requests),
        Method::Cancel => Route::Personal(control::cancel),
        Method::Shutdown => Route::Control(control::shutdown),
    }
}
