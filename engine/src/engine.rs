//! The front for callers: accepts requests, hands them to workers, returns their results.
//!
//! An engine holds no model and owns no worker. Its executor knows how to reach workers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::draw;
use crate::executor::Executor;
use crate::executors::{self, Backends, Start};
use crate::fleet::{self, FleetView, WorkerStatus};
use crate::hooks::{self, Hook};
use crate::metered::MeteredExecutor;
use crate::metrics::CoordinatorMetrics;
use crate::request::{Admission, Dispatcher, RequestOutput, Submission};

/// No request takes longer, whatever it asks for, so that deadlines can't overflow a clock.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long closing waits for the requests under way to end, and again for their workers to hear of
/// it.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// The bounds of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// How long a request may take if it names no deadline.
    pub request_timeout: Duration,
    /// Requests that are under way at once; further ones are refused as `queue_full`.
    pub queue: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(600), queue: 256 }
    }
}

/// Validates, plans and executes requests. Clones share one engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    dispatcher: Dispatcher,
    options: EngineOptions,
    hooks: Arc<[Box<dyn Hook>]>,
    /// One permit per request under way.
    room: Arc<Semaphore>,
    closing: CancellationToken,
    metrics: Option<CoordinatorMetrics>,
}

/// What happens to a request when as many are under way as are allowed.
#[derive(Clone, Copy)]
enum WhenFull {
    /// It is refused.
    Refuse,
    /// It waits for one of them to end.
    Wait,
}

/// Makes an [`Engine`].
pub struct EngineBuilder {
    executor: Arc<dyn Executor>,
    options: EngineOptions,
    hooks: Vec<Box<dyn Hook>>,
    metrics: Option<CoordinatorMetrics>,
}

impl EngineBuilder {
    /// Sets the bounds.
    #[must_use]
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds a hook, after those already added.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Counts requests and calls in `metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: CoordinatorMetrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// The engine.
    #[must_use]
    pub fn build(self) -> Engine {
        let Self { executor, options, hooks, metrics } = self;
        let executor = match &metrics {
            Some(metrics) => Arc::new(MeteredExecutor::new(executor, metrics.clone())),
            None => executor,
        };
        let queue = options.queue.clamp(1, Semaphore::MAX_PERMITS);
        let options = EngineOptions { queue, ..options };
        let shared = Shared {
            dispatcher: Dispatcher::new(executor),
            options,
            hooks: hooks.into(),
            room: Arc::new(Semaphore::new(options.queue)),
            closing: CancellationToken::new(),
            metrics,
        };
        Engine { shared: Arc::new(shared) }
    }
}

impl Engine {
    /// An engine with the usual bounds.
    #[must_use]
    pub fn new(executor: Arc<dyn Executor>) -> Self {
        Self::builder(executor).build()
    }

    /// An engine with these bounds.
    #[must_use]
    pub fn with_options(executor: Arc<dyn Executor>, options: EngineOptions) -> Self {
        Self::builder(executor).options(options).build()
    }

    /// An engine with bounds and hooks to be set.
    #[must_use]
    pub fn builder(executor: Arc<dyn Executor>) -> EngineBuilder {
        let options = EngineOptions::default();
        EngineBuilder { executor, options, hooks: Vec::new(), metrics: None }
    }

    /// An engine as a config says: starts the executor that it names, and waits at most
    /// `executor.wait` for `executor.min_workers`; with fewer it goes on. `agent` is program and
    /// version, for the workers' logs.
    ///
    /// # Errors
    /// [`executors::Error`]: the backend is unknown, or can't start. Must be called on a tokio
    /// runtime.
    pub async fn start(
        config: &Config,
        backends: &Backends,
        agent: &str,
    ) -> Result<Self, executors::Error> {
        Self::start_with(config, backends, Start::new(config, agent)?, None).await
    }

    /// [`Engine::start`] with a [`Start`] of the caller's, which may bring its own certificate and
    /// ask for the end of the start, and with metrics to count in.
    ///
    /// # Errors
    /// As [`Engine::start`], and [`executors::Error::Stopped`].
    pub async fn start_with(
        config: &Config,
        backends: &Backends,
        start: Start,
        metrics: Option<CoordinatorMetrics>,
    ) -> Result<Self, executors::Error> {
        let stop = start.stop.clone();
        let executor = backends.start(start).await?;
        let limits = EngineOptions {
            request_timeout: config.requests.timeout,
            queue: config.requests.queue,
        };
        let builder = Self::builder(executor).options(limits);
        let engine = match metrics {
            Some(metrics) => builder.metrics(metrics).build(),
            None => builder.build(),
        };
        // An engine that is asked to end meanwhile exists, and is closed like any other.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = engine.wait_for_min(config) => {}
        }
        Ok(engine)
    }

    pub(crate) async fn wait_for_min(&self, config: &Config) {
        let (wanted, wait) = (config.executor.min_workers, config.executor.wait);
        if wanted > 0
            && !wait.is_zero()
            && let Err(error) = self.wait_ready(wanted, wait).await
        {
            tracing::warn!(%error, "goes on with fewer workers than executor.min_workers");
        }
    }

    /// Runs requests concurrently; the results are in the requests' order. One that fails hides no
    /// other, and one beyond the bound waits, within its own deadline.
    pub async fn step(
        &self,
        requests: Vec<GenerationRequest>,
    ) -> Vec<Result<RequestOutput, CallError>> {
        let run = |request| async {
            self.submit_at(Instant::now(), request, WhenFull::Wait).await?.finish().await
        };
        let at_once = self.shared.options.queue;
        stream::iter(requests).map(run).buffered(at_once).collect().await
    }

    /// Accepts a request: shows it to the hooks, checks it, draws its id and seed where it has
    /// none, and starts it.
    ///
    /// # Errors
    /// `invalid_argument` names the field; `unknown_model` the models that there are; `no_worker`
    /// where none takes requests; `queue_full`; what a hook refuses it with.
    pub async fn submit(&self, request: GenerationRequest) -> Result<Submission, CallError> {
        self.submit_since(request, Instant::now().into_std()).await
    }

    /// [`Engine::submit`] for a request that arrived at `arrived`: its deadline counts from then.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub async fn submit_since(
        &self,
        request: GenerationRequest,
        arrived: std::time::Instant,
    ) -> Result<Submission, CallError> {
        self.submit_at(Instant::from_std(arrived), request, WhenFull::Refuse).await
    }

    async fn submit_at(
        &self,
        arrived: Instant,
        request: GenerationRequest,
        when_full: WhenFull,
    ) -> Result<Submission, CallError> {
        let accepted = self.accept(request, arrived, when_full).await;
        if let (Err(_), Some(metrics)) = (&accepted, &self.shared.metrics) {
            metrics.request_refused(arrived.elapsed());
        }
        accepted
    }

    async fn accept(
        &self,
        request: GenerationRequest,
        started: Instant,
        when_full: WhenFull,
    ) -> Result<Submission, CallError> {
        let shared = &self.shared;
        let deadline = started + self.limit(&request);
        let request = self.before(request, deadline).await?;
        request.check()?;
        let model = shared.dispatcher.model(request.model.as_deref())?;
        let permit = self.permit(when_full, deadline).await?;
        let accepted = Admission {
            dispatcher: shared.dispatcher.clone(),
            id: request.id.clone().unwrap_or_else(draw::request_id),
            seed: request.seed.unwrap_or_else(draw::seed),
            model,
            started,
            limit: self.limit(&request),
            permit,
            closing: shared.closing.clone(),
            hooks: Arc::clone(&shared.hooks),
            timer: shared.metrics.as_ref().map(|m| m.request_began(started.into_std())),
        };
        Ok(Submission::start(request, accepted))
    }

    /// A permit to be under way, waited for until `deadline` at most.
    async fn permit(
        &self,
        when_full: WhenFull,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        let (room, queue) = (Arc::clone(&self.shared.room), self.shared.options.queue);
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
        limit.unwrap_or(self.shared.options.request_timeout).min(LONGEST)
    }

    /// Shows a request to the hooks, within the time that it may take.
    async fn before(
        &self,
        request: GenerationRequest,
        deadline: Instant,
    ) -> Result<GenerationRequest, CallError> {
        let shared = &self.shared;
        if shared.hooks.is_empty() {
            return Ok(request);
        }
        let limit = self.limit(&request);
        let shown = hooks::request(&shared.hooks, request);
        tokio::time::timeout_at(deadline, shown).await.unwrap_or_else(|_| {
            let message = format!("the program's hooks were not done with it within {limit:?}");
            Err(CallError::new(ErrorKind::DeadlineExceeded, message))
        })
    }

    /// The workers, and their changes.
    #[must_use]
    pub fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.executor().fleet()
    }

    /// Waits until `n` workers take requests.
    ///
    /// # Errors
    /// `no_worker` when the time is over: which registry, how many workers it has, and why each of
    /// them does not count.
    pub async fn wait_ready(&self, n: usize, timeout: Duration) -> Result<(), CallError> {
        let mut fleet = self.fleet();
        let settled = fleet.wait_for(|view| view.ready().count() >= n || out_of_reach(view, n));
        let late = tokio::time::timeout(timeout, settled).await.is_err();
        let view = self.view();
        let ready = view.ready().count();
        if ready >= n {
            return Ok(());
        }
        let after = if late { format!(" after {timeout:?}") } else { String::new() };
        let wanted = format!("{ready} of {n} workers are ready{after}");
        Err(fleet::no_worker(&view, &wanted))
    }

    /// Ends the requests under way as `cancelled`, on their workers too, and disconnects. Workers are
    /// left as they are.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        let Shared { room, options, .. } = &*self.shared;
        if room.available_permits() < options.queue {
            let all = u32::try_from(options.queue).unwrap_or(u32::MAX);
            let _ = tokio::time::timeout(CLOSE_LIMIT, room.acquire_many(all)).await;
            // A closed connection sends nothing more. The health checks were sent after the cancels,
            // so once they are answered the cancels have arrived.
            self.check_health(CLOSE_LIMIT).await;
        }
        self.executor().close().await;
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.shared.dispatcher
    }

    /// What the executor could not end when the engine was closed, and why; none where nothing is
    /// left.
    #[must_use]
    pub fn unended(&self) -> Option<String> {
        self.executor().unended()
    }

    pub(crate) fn executor(&self) -> &dyn Executor {
        self.shared.dispatcher.executor()
    }

    pub(crate) fn view(&self) -> Arc<FleetView> {
        Arc::clone(&self.fleet().borrow())
    }
}

/// Whether so many workers that the engine owns have failed for good that `n` can't be ready.
fn out_of_reach(view: &FleetView, n: usize) -> bool {
    let failed = |status: &WorkerStatus| matches!(status, WorkerStatus::Failed { .. });
    let failed = view.workers.iter().filter(|worker| failed(&worker.status)).count();
    failed > 0 && view.workers.len() - failed < n
}
