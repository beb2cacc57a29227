//! The front for callers: accepts requests, hands them to workers, returns what comes of them.
//!
//! An engine holds no model and owns no worker. How workers are reached is its executor's, how a
//! request runs is told in [`request`](crate::request), how a call fans out in
//! [`calls`](crate::calls).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, RequestId};
use hearth_fabric::identity::CurrentIdentity;
use hearth_fabric::registry::{self, RegistryUrl};
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::{Call, CancelValue};
use tokio::sync::watch;

use crate::calls::{self, Envelope, RawEnvelope, RpcOptions, WorkerHealth};
use crate::config::Config;
use crate::context::CallContext;
use crate::executor::Executor;
use crate::executors::{self, Backends, ExternalExecutor, ExternalOptions, Start};
use crate::fleet::FleetView;
use crate::hooks::Hook;
use crate::metered::MeteredExecutor;
use crate::metrics::CoordinatorMetrics;
use crate::options::EngineOptions;
use crate::readiness;
use crate::request::{self, Admission, Dispatcher, RequestOutput, Submission, WhenFull};

/// How long closing waits for the requests under way to end, and for their workers to know.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// What the workers' logs call a program that does not say what it is.
const AGENT: &str = concat!("hearth-engine/", env!("CARGO_PKG_VERSION"));

/// Validates, plans and executes requests. Clones share one engine.
#[derive(Clone)]
pub struct Engine {
    admission: Arc<Admission>,
}

/// Makes an [`Engine`].
pub struct EngineBuilder {
    executor: Arc<dyn Executor>,
    options: EngineOptions,
    hooks: Vec<Box<dyn Hook>>,
    metrics: Option<CoordinatorMetrics>,
}

impl EngineBuilder {
    /// Bounds other than the usual ones.
    #[must_use]
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds a hook, after those that are there.
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
        let admission = Admission::new(Dispatcher::new(executor), options, hooks, metrics);
        Engine { admission: Arc::new(admission) }
    }
}

/// How an engine begins and ends.
impl Engine {
    /// Connects to the workers of a registry, with the usual settings. `url` is the registry's, as
    /// in `etcd://10.0.0.1:2379/default` or `dir:/run/hearth/registry`; a registry that asks for a
    /// password or a certificate takes [`ExternalOptions`].
    ///
    /// # Errors
    /// [`executors::Error`]: the URL, the registry or the certificate can't be used. Workers that
    /// don't answer are none: [`Engine::wait_ready`] waits for them. Must be called on a tokio
    /// runtime.
    pub fn connect(
        url: &str,
        identity: impl Into<CurrentIdentity>,
    ) -> Result<Self, executors::Error> {
        let registry = registry::open(&RegistryUrl::parse(url)?, &registry::Settings::default())?;
        let options = ExternalOptions::new(registry, identity, AGENT);
        Ok(Self::new(Arc::new(ExternalExecutor::start(options)?)))
    }

    /// An engine over an executor, with the usual bounds.
    #[must_use]
    pub fn new(executor: Arc<dyn Executor>) -> Self {
        Self::builder(executor).build()
    }

    /// An engine with other bounds.
    #[must_use]
    pub fn with_options(executor: Arc<dyn Executor>, options: EngineOptions) -> Self {
        Self::builder(executor).options(options).build()
    }

    /// An engine with other bounds, with hooks or metrics.
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
        let options = EngineOptions::new()
            .request_timeout(config.requests.timeout)
            .queue(config.requests.queue);
        let builder = Self::builder(executor).options(options);
        let engine = match metrics {
            Some(metrics) => builder.metrics(metrics).build(),
            None => builder.build(),
        };
        // One that is asked to end meanwhile is there, and is closed as any other.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = engine.wait_for_min(config) => {}
        }
        Ok(engine)
    }

    async fn wait_for_min(&self, config: &Config) {
        let (wanted, wait) = (config.executor.min_workers, config.executor.wait);
        if wanted > 0
            && !wait.is_zero()
            && let Err(error) = self.wait_ready(wanted, wait).await
        {
            tracing::warn!(%error, "goes on with fewer workers than executor.min_workers");
        }
    }

    /// Ends the requests under way as `cancelled`, on their workers too, and disconnects. Workers are
    /// left as they are.
    pub async fn close(&self) {
        if self.admission.close(CLOSE_LIMIT).await {
            // A closed connection sends nothing any more. What is answered was sent behind the
            // cancels, so they have arrived.
            self.check_health(CLOSE_LIMIT).await;
        }
        self.executor().close().await;
    }

    /// What the executor could not end when the engine was closed, and why; none where nothing is
    /// left.
    #[must_use]
    pub fn unended(&self) -> Option<String> {
        self.executor().unended()
    }

    fn executor(&self) -> &dyn Executor {
        self.admission.dispatcher().executor()
    }
}

/// Requests.
impl Engine {
    /// Runs requests side by side; the results are in their order. One that fails hides no other,
    /// and one for which there is no place yet waits for it, within the time that it may take.
    pub async fn step(
        &self,
        requests: Vec<GenerationRequest>,
    ) -> Vec<Result<RequestOutput, CallError>> {
        let run = |request| async {
            let submitted = self.admission.submit(request, CallContext::new(), WhenFull::Wait);
            submitted.await?.finish().await
        };
        stream::iter(requests).map(run).buffered(self.admission.capacity()).collect().await
    }

    /// Accepts a request: shows it to the hooks, checks it, draws its id and seed where it has
    /// none, and starts it.
    ///
    /// # Errors
    /// `invalid_argument` names the field; `unknown_model` the models that there are; `no_worker`
    /// where none takes requests; `deadline_exceeded` where none did in time; `queue_full`; what a
    /// hook refuses it with.
    pub async fn submit(&self, request: GenerationRequest) -> Result<Submission, CallError> {
        self.submit_with(request, CallContext::new()).await
    }

    /// [`Engine::submit`] for a request that brings a context along: when it came, and its trace.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub async fn submit_with(
        &self,
        request: GenerationRequest,
        context: CallContext,
    ) -> Result<Submission, CallError> {
        self.admission.submit(request, context, WhenFull::Refuse).await
    }

    /// Attaches to a request, whoever submitted it: gives the events from now on, and the results
    /// that its workers have kept. Dropping the submission leaves the request as it is;
    /// [`Submission::cancel`] cancels it.
    ///
    /// # Errors
    /// `unknown_request` if no worker has an item of it, `no_worker`.
    pub async fn attach(&self, id: &RequestId, limit: Duration) -> Result<Submission, CallError> {
        request::attach(self.admission.dispatcher(), id, limit).await
    }

    /// Cancels a request, whoever submitted it, on every worker that has an item of it.
    pub async fn cancel(&self, id: &RequestId) -> Vec<Envelope<CancelValue>> {
        let envelopes = calls::cancel(self.executor(), id).await;
        envelopes.into_iter().map(RawEnvelope::decode).collect()
    }
}

/// Calls.
impl Engine {
    /// Calls a built-in method on every worker, or on one, and returns an envelope per worker in the
    /// order of their ranks. A worker that can't be reached has an error in its envelope.
    ///
    /// ```no_run
    /// # async fn example(engine: hearth_engine::Engine) -> Result<(), hearth_engine::CallError> {
    /// use hearth_engine::{NoArgs, RpcOptions, call};
    ///
    /// for envelope in engine.call::<call::Stats>(NoArgs {}, RpcOptions::new()).await? {
    ///     println!("{}: {} steps", envelope.worker, envelope.outcome?.steps);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a rank that no worker has or a timeout of zero; `no_worker` for an
    /// empty fleet; `worker_lost` for a worker that isn't known any more; `too_large`. What a worker
    /// reports is in its envelope.
    pub async fn call<C: Call>(
        &self,
        args: C::Args,
        options: RpcOptions,
    ) -> Result<Vec<Envelope<C::Value>>, CallError> {
        let (method, args) = (C::METHOD.name(), calls::encode(&args)?);
        let envelopes = self.collective_raw(method, args, Vec::new(), options).await?;
        Ok(envelopes.into_iter().map(RawEnvelope::decode).collect())
    }

    /// Calls a method by its name on every worker, or on one, and returns an envelope per worker in
    /// the order of their ranks. A worker that can't be reached has an error in its envelope.
    ///
    /// # Errors
    /// `invalid_argument` for arguments that are no object, a rank that no worker has or a timeout
    /// of zero; `no_worker` for an empty fleet; `worker_lost` for a worker that isn't known any
    /// more. What a worker reports is in its envelope.
    pub async fn collective_rpc(
        &self,
        method: &str,
        args: serde_json::Value,
        options: RpcOptions,
    ) -> Result<Vec<Envelope>, CallError> {
        let args = calls::encode_json(&args)?;
        let envelopes = self.collective_raw(method, args, Vec::new(), options).await?;
        Ok(envelopes.into_iter().map(RawEnvelope::decode).collect())
    }

    /// [`Engine::collective_rpc`] with arguments and values as they travel, MessagePack maps, and
    /// with bulk parts such as tensors, which every worker that runs it receives.
    ///
    /// # Errors
    /// As [`Engine::collective_rpc`].
    pub async fn collective_raw(
        &self,
        method: &str,
        args: Bytes,
        attachments: Vec<(Attachment, Bytes)>,
        options: RpcOptions,
    ) -> Result<Vec<RawEnvelope>, CallError> {
        calls::collective(self.executor(), method, args, attachments, &options).await
    }

    /// Asks every worker for its health, all at once.
    pub async fn check_health(&self, timeout: Duration) -> Vec<WorkerHealth> {
        calls::health(self.executor(), timeout).await
    }
}

/// The fleet.
impl Engine {
    /// The workers, and their changes.
    #[must_use]
    pub fn fleet(&self) -> watch::Receiver<Arc<FleetView>> {
        self.executor().fleet()
    }

    /// Waits until `n` workers take requests.
    ///
    /// # Errors
    /// `no_worker` when the time is over: which registry, how many workers it has, and of each why
    /// it does not count.
    pub async fn wait_ready(&self, n: usize, timeout: Duration) -> Result<(), CallError> {
        readiness::workers(self.fleet(), n, timeout).await
    }

    /// Waits until it is known of every worker whether it answers, at most for as long as a
    /// connection may take.
    pub async fn wait_for_answers(&self) -> Arc<FleetView> {
        readiness::answers(self.fleet()).await
    }

    /// Waits, at most `limit`, until the registry has said which workers there are, or refuses. One
    /// that can't be reached may come back meanwhile; `waiting` is called with each view of the fleet
    /// until then.
    pub async fn wait_for_registry(&self, limit: Duration, waiting: impl FnMut(&FleetView)) {
        readiness::registry(self.fleet(), limit, waiting).await;
    }

    /// Waits until a request for `model` can start, and a moment longer for the workers that it
    /// could spread over. Returns as well when waiting is of no use: [`Engine::submit`] says why
    /// best. `wait` bounds the time that loading models may take; `loading` is called with each
    /// view of the fleet in which they are.
    pub async fn wait_for_model(
        &self,
        model: Option<&str>,
        wait: Duration,
        loading: impl FnMut(&FleetView),
    ) {
        readiness::model(self.fleet(), model, wait, loading).await;
    }
}
