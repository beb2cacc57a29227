//! What a request passes before it runs: hooks, checks, a place among those under way.

use std::sync::Arc;
use std::time::Duration;

use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::drive::Drive;
use super::mailbox::Mailbox;
use super::submission::Submission;
use crate::context::CallContext;
use crate::draw;
use crate::hooks::{self, Hook};
use crate::metrics::CoordinatorMetrics;
use crate::options::EngineOptions;

/// No request takes longer, whatever it asks for: clocks must be able to count it.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Admits requests and starts them.
pub(crate) struct Admission {
    dispatcher: Dispatcher,
    options: EngineOptions,
    hooks: Arc<[Box<dyn Hook>]>,
    /// One permit per request under way.
    room: Arc<Semaphore>,
    closing: CancellationToken,
    metrics: Option<CoordinatorMetrics>,
}

/// What a request does when as many as may be are under way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhenFull {
    /// It is refused.
    Refuse,
    /// It waits for one of them to end.
    Wait,
}

impl Admission {
    pub(crate) fn new(
        dispatcher: Dispatcher,
        options: EngineOptions,
        hooks: Vec<Box<dyn Hook>>,
        metrics: Option<CoordinatorMetrics>,
    ) -> Self {
        let queue = options.queue.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            dispatcher,
            options: EngineOptions { queue, ..options },
            hooks: hooks.into(),
            room: Arc::new(Semaphore::new(queue)),
            closing: CancellationToken::new(),
            metrics,
        }
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// How many requests may be under way at once.
    pub(crate) fn capacity(&self) -> usize {
        self.options.queue
    }

    /// Admits and starts a request.
    ///
    /// # Errors
    /// `invalid_argument`, `unknown_model`, `no_worker`, `queue_full`, `deadline_exceeded`, what a
    /// hook refuses it with.
    pub(crate) async fn submit(
        &self,
        request: GenerationRequest,
        context: CallContext,
        when_full: WhenFull,
    ) -> Result<Submission, CallError> {
        let admitted = self.admit(request, context, when_full).await;
        if let (Err(_), Some(metrics)) = (&admitted, &self.metrics) {
            metrics.request_refused(context.arrived.elapsed());
        }
        Ok(admitted?.start())
    }

    /// Ends the requests under way as cancelled, and waits for at most `limit` until they have
    /// ended. Returns whether there were any.
    pub(crate) async fn close(&self, limit: Duration) -> bool {
        self.closing.cancel();
        let (room, queue) = (&self.room, self.options.queue);
        if room.available_permits() == queue {
            return false;
        }
        let all = u32::try_from(queue).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(limit, room.acquire_many(all)).await;
        true
    }

    async fn admit(
        &self,
        request: GenerationRequest,
        context: CallContext,
        when_full: WhenFull,
    ) -> Result<Drive, CallError> {
        let started = Instant::from_std(context.arrived);
        let deadline = started + self.limit(&request);
        let request = self.show_to_hooks(request, deadline).await?;
        request.check()?;
        let model = self.model(&request, deadline)?;
        let permit = self.permit(when_full, deadline).await?;
        let id = request.id.clone().unwrap_or_else(draw::request_id);
        let seed = request.seed.unwrap_or_else(draw::seed);
        // A hook may have changed what the request allows itself.
        let deadline = started + self.limit(&request);
        Ok(Drive {
            dispatcher: self.dispatcher.clone(),
            mailbox: Arc::new(Mailbox::default()),
            id: id.clone(),
            seed,
            request: GenerationRequest {
                id: Some(id),
                seed: Some(seed),
                model: Some(model),
                ..request
            },
            started,
            deadline,
            trace: context.trace,
            cancel: CancellationToken::new(),
            closing: self.closing.clone(),
            hooks: Arc::clone(&self.hooks),
            timer: self.metrics.as_ref().map(|m| m.request_began(started.into_std())),
            waits: self.options.wait_for_place,
            permit: Some(permit),
        })
    }

    /// The model that a request means.
    ///
    /// # Errors
    /// As [`Dispatcher::model`]; `deadline_exceeded` where the request's time is over before a worker
    /// could take it.
    fn model(&self, request: &GenerationRequest, deadline: Instant) -> Result<String, CallError> {
        self.dispatcher.model(request.model.as_deref()).map_err(|error| {
            if error.kind != ErrorKind::NoWorker || Instant::now() < deadline {
                return error;
            }
            let limit = self.limit(request);
            let message = format!("no worker could take it within {limit:?}: allow more time");
            CallError::new(ErrorKind::DeadlineExceeded, message).caused_by(&error)
        })
    }

    /// A permit to be under way, waited for until `deadline` at most.
    async fn permit(
        &self,
        when_full: WhenFull,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        let (room, queue) = (Arc::clone(&self.room), self.options.queue);
        let under_way = format!("{queue} requests are under way, the most at once");
        match when_full {
            WhenFull::Refuse => room.try_acquire_owned().map_err(|_| {
                CallError::new(ErrorKind::QueueFull, format!("{under_way}: try later"))
            }),
            WhenFull::Wait => {
                let taken = tokio::time::timeout_at(deadline, room.acquire_owned()).await;
                taken.ok().and_then(Result::ok).ok_or_else(|| {
                    let message = format!("{under_way}, until its time was over: allow more time");
                    CallError::new(ErrorKind::DeadlineExceeded, message)
                })
            }
        }
    }

    /// The time that a request may take.
    fn limit(&self, request: &GenerationRequest) -> Duration {
        let limit = request.deadline_ms.map(Duration::from_millis);
        limit.unwrap_or(self.options.request_timeout).min(LONGEST)
    }

    /// Shows a request to the hooks, within the time that it may take.
    async fn show_to_hooks(
        &self,
        request: GenerationRequest,
        deadline: Instant,
    ) -> Result<GenerationRequest, CallError> {
        if self.hooks.is_empty() {
            return Ok(request);
        }
        let limit = self.limit(&request);
        let shown = hooks::apply_to_request(&self.hooks, request);
        tokio::time::timeout_at(deadline, shown).await.unwrap_or_else(|_| {
            let message = format!("the program's hooks were not done with it within {limit:?}");
            Err(CallError::new(ErrorKind::DeadlineExceeded, message))
        })
    }
}
