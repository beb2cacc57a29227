//! The engine for a program without async code: the same calls, each of which waits.
//!
//! An [`Engine`] here brings the threads that its connections live on and takes them down with it.
//! A program with async code calls it where waiting is allowed (tokio's `spawn_blocking`), or takes
//! [`crate::Engine`]: elsewhere it holds up the thread that others share.
//!
//! ```no_run
//! use hearth_engine::blocking::Engine;
//! use hearth_engine::{Backends, Config, GenerationRequest};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let text = "[executor]\nmin_workers = 1\n[registry]\nurl = \"dir:/run/hearth/registry\"\n\
//!                 [tls]\ndir = \"pki/admin\"\n";
//!     let backends = Backends::builtin();
//!     let engine = Engine::start(&Config::parse(text, &backends)?, &backends, "example/1")?;
//!     let request = GenerationRequest::new("red heart");
//!     for output in engine.step(vec![request]) {
//!         for item in output?.items {
//!             std::fs::write("heart.png", item?.bytes)?;
//!         }
//!     }
//!     Ok(()) // the engine closes; external workers stay warm
//! }
//! ```

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_protocol::methods::CancelValue;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::executors::Error;
use crate::{
    Backends, Call, Config, Envelope, FleetView, Identity, RequestEvent, RequestOutput, RpcOptions,
    WorkerHealth,
};

/// Threads that connections are served on.
const THREADS: usize = 2;

/// An engine whose calls wait. Closed when it is dropped.
pub struct Engine {
    engine: crate::Engine,
    threads: Arc<Threads>,
}

/// The threads of an engine; they end with the last of those who need them.
struct Threads(Option<Runtime>);

impl Engine {
    /// Starts the executor that the config names, and waits for its workers. `agent` is program
    /// and version, for the workers' logs.
    ///
    /// # Errors
    /// As [`crate::Engine::start`].
    pub fn start(config: &Config, backends: &Backends, agent: &str) -> Result<Self, Error> {
        Self::with(async { crate::Engine::start(config, backends, agent).await })
    }

    /// As [`crate::Engine::connect`].
    ///
    /// # Errors
    /// As [`crate::Engine::connect`].
    pub fn connect(url: &str, identity: Identity) -> Result<Self, Error> {
        Self::with(async { crate::Engine::connect(url, identity) })
    }

    /// Waits for an engine that a future makes, such as one with
    /// [hooks](crate::EngineBuilder::hook).
    ///
    /// # Errors
    /// The future's, and [`Error::Runtime`] where the system gives no threads.
    pub fn with(
        make: impl Future<Output = Result<crate::Engine, Error>> + Send,
    ) -> Result<Self, Error> {
        let built = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = built.map_err(Error::Runtime)?;
        let engine = block_on(&runtime, make).map_err(Error::Runtime)??;
        Ok(Self { engine, threads: Arc::new(Threads(Some(runtime))) })
    }

    /// As [`crate::Engine::step`].
    #[must_use]
    pub fn step(&self, requests: Vec<GenerationRequest>) -> Vec<Result<RequestOutput, CallError>> {
        let count = requests.len();
        match self.threads.wait(self.engine.step(requests)) {
            Ok(outputs) => outputs,
            Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
        }
    }

    /// As [`crate::Engine::submit`].
    ///
    /// # Errors
    /// As [`crate::Engine::submit`].
    pub fn submit(&self, request: GenerationRequest) -> Result<Submission, CallError> {
        let submission = self.threads.wait(self.engine.submit(request))??;
        Ok(Submission { submission, threads: Arc::clone(&self.threads) })
    }

    /// As [`crate::Engine::call`].
    ///
    /// # Errors
    /// As [`crate::Engine::call`].
    pub fn call<C: Call>(
        &self,
        args: C::Args,
        options: RpcOptions,
    ) -> Result<Vec<Envelope<C::Value>>, CallError> {
        self.threads.wait(self.engine.call::<C>(args, options))?
    }

    /// As [`crate::Engine::collective_rpc`].
    ///
    /// # Errors
    /// As [`crate::Engine::collective_rpc`].
    pub fn collective_rpc(
        &self,
        method: &str,
        args: serde_json::Value,
        options: RpcOptions,
    ) -> Result<Vec<Envelope>, CallError> {
        self.threads.wait(self.engine.collective_rpc(method, args, options))?
    }

    /// As [`crate::Engine::check_health`].
    ///
    /// # Errors
    /// `internal` where the system gives no threads.
    pub fn check_health(&self, timeout: Duration) -> Result<Vec<WorkerHealth>, CallError> {
        self.threads.wait(self.engine.check_health(timeout))
    }

    /// As [`crate::Engine::cancel`].
    ///
    /// # Errors
    /// `internal` where the system gives no threads.
    pub fn cancel(&self, id: &RequestId) -> Result<Vec<Envelope<CancelValue>>, CallError> {
        self.threads.wait(self.engine.cancel(id))
    }

    /// As [`crate::Engine::wait_ready`].
    ///
    /// # Errors
    /// As [`crate::Engine::wait_ready`].
    pub fn wait_ready(&self, n: usize, timeout: Duration) -> Result<(), CallError> {
        self.threads.wait(self.engine.wait_ready(n, timeout))?
    }

    /// The workers at this instant.
    #[must_use]
    pub fn fleet(&self) -> Arc<FleetView> {
        Arc::clone(&self.engine.fleet().borrow())
    }

    /// Cancels what is under way and closes the engine, as dropping it does.
    pub fn close(self) {}
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Where it can't be waited for, connections end with their threads.
        let _ = self.threads.wait(self.engine.close());
    }
}

impl Threads {
    fn wait<T: Send>(&self, call: impl Future<Output = T> + Send) -> Result<T, CallError> {
        let Some(runtime) = &self.0 else {
            return Err(CallError::new(ErrorKind::Cancelled, "the engine was closed"));
        };
        block_on(runtime, call).map_err(|error| {
            CallError::new(ErrorKind::Internal, "there is no thread to wait on").caused_by(&error)
        })
    }
}

/// Waits for a call, also on a thread of another runtime: there tokio lets nothing but a thread of
/// one's own wait.
fn block_on<T: Send>(
    runtime: &Runtime,
    call: impl Future<Output = T> + Send,
) -> std::io::Result<T> {
    if Handle::try_current().is_err() {
        return Ok(runtime.block_on(call));
    }
    thread::scope(|scope| {
        let waiting = thread::Builder::new().spawn_scoped(scope, || runtime.block_on(call))?;
        Ok(waiting.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

impl Drop for Threads {
    fn drop(&mut self) {
        // It may happen in async code, which must not be held up.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A request under way. Dropping it cancels the request.
pub struct Submission {
    submission: crate::Submission,
    threads: Arc<Threads>,
}

impl Submission {
    /// The request's name.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.submission.id
    }

    /// Its seed; item i has this plus i.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.submission.seed
    }

    /// Waits for the end. As [`crate::Submission::finish`].
    ///
    /// # Errors
    /// As [`crate::Submission::finish`].
    pub fn finish(self) -> Result<RequestOutput, CallError> {
        let Self { submission, threads } = self;
        threads.wait(submission.finish())?
    }

    /// Cancels the request. As [`crate::Submission::cancel`].
    ///
    /// # Errors
    /// `internal` where the system gives no threads.
    pub fn cancel(&self) -> Result<(), CallError> {
        self.threads.wait(self.submission.cancel())
    }
}

/// Each event waits until it is there; the last is [`RequestEvent::Finished`].
impl Iterator for Submission {
    type Item = RequestEvent;

    fn next(&mut self) -> Option<RequestEvent> {
        self.threads.wait(self.submission.next()).ok().flatten()
    }
}
