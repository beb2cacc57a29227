//! The computing half: one thread that owns the ONNX sessions, one that loads models, one that
//! encodes results.
//!
//! The engine's thread takes one step of each part in turn, so that `slots` parts share it fairly
//! and each can be stopped between two steps; an order (`order.rs`) comes between two steps as well.
//! It never waits for a caller: it reads from and writes to the parts' table.

mod encode;
mod infer;
mod load;
mod memory;
mod obey;
mod order;
mod prepare;
mod profile;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::request::OutputFormat;
use hearth_api::{CallError, ErrorKind};
use hearth_inference::model::{Error, Generator, Model, Output, PreparedRequest, Run, Turn};
use hearth_protocol::message::Phase;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::models::{Hold, Known};
use crate::parts::{Ended, Job, PreviewImage, Work};
use crate::state::Shared;
use encode::{Encoder, ToEncode};
pub(crate) use load::LoadError;
use load::{Loader, LoaderThread};
use obey::{Waiting, Waking};
use order::Reply;
pub(crate) use order::{Freed, Infer, Order, Profile};
pub(crate) use prepare::prepare;

/// The engine's threads.
pub(crate) struct Engine {
    thread: JoinHandle<()>,
}

impl Engine {
    /// Starts the threads. The receiver says when the models of the start are loaded and warm, or
    /// why they can't be; it is closed when the engine has ended.
    pub(crate) fn start(
        config: &Config,
        shared: Arc<Shared>,
    ) -> std::io::Result<(Self, oneshot::Receiver<Result<(), LoadError>>)> {
        let (loaded, receiver) = oneshot::channel();
        let mut loader = Loader::new(config, Arc::clone(&shared));
        let (to_encoder, results) = sync_channel(shared.capacity.slots as usize);
        let encoder = Encoder::start(results, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let mut pipelines = HashMap::new();
            let preloaded = preload(&mut loader, &shared, &mut pipelines);
            let started =
                preloaded.and_then(|()| LoaderThread::start(loader).map_err(LoadError::Thread));
            match started {
                Err(error) => {
                    let _ = loaded.send(Err(error));
                    drop(to_encoder);
                }
                Ok(loader) => {
                    let _ = loaded.send(Ok(()));
                    let mut engine = Running::new(shared, loader, pipelines, to_encoder);
                    engine.run();
                    let Running { loader, to_encoder, .. } = engine;
                    drop(to_encoder);
                    loader.join();
                }
            }
            encoder.join();
        })?;
        Ok((Self { thread }, receiver))
    }

    /// Whether the engine's thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the threads; the parts' table must be closed.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the engine's thread panicked");
        }
    }
}

/// Loads the models of the start, one after another.
fn preload(
    loader: &mut Loader,
    shared: &Shared,
    pipelines: &mut HashMap<String, Box<dyn Model>>,
) -> Result<(), LoadError> {
    for name in shared.models.names(|hold| matches!(hold, Hold::Loading(_))) {
        let Some(model) = shared.models.get(&name) else { continue };
        let Hold::Loading(progress) = model.hold else { continue };
        let pipeline = loader.load(&name, &model.path, progress)?;
        shared.models.set(&name, Hold::Ready(Known::of(pipeline.as_ref())));
        pipelines.insert(name, pipeline);
    }
    Ok(())
}

/// The engine's thread.
struct Running {
    shared: Arc<Shared>,
    loader: LoaderThread,
    pipelines: HashMap<String, Box<dyn Model>>,
    to_encoder: SyncSender<ToEncode>,
    active: Vec<Active>,
    /// What waits for a model.
    waiting: Vec<Waiting>,
    /// Models that are being loaded, and who asked for that: those that added the model say so.
    loads: HashMap<String, Vec<(bool, Reply<bool>)>>,
    /// The models were given back.
    asleep: bool,
    waking: Option<Waking>,
}

/// A part that computes.
struct Active {
    job: Job,
    run: Box<dyn Run>,
    times: Times,
}

/// Where a part's time went.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    queue: Duration,
    model_load: Duration,
    /// From the first phase of the pipeline on.
    began: Option<Instant>,
}

impl Running {
    fn new(
        shared: Arc<Shared>,
        loader: LoaderThread,
        pipelines: HashMap<String, Box<dyn Model>>,
        to_encoder: SyncSender<ToEncode>,
    ) -> Self {
        let (active, waiting, loads) = (Vec::new(), Vec::new(), HashMap::new());
        let (asleep, waking) = (false, None);
        Self { shared, loader, pipelines, to_encoder, active, waiting, loads, asleep, waking }
    }

    /// Works until the table is closed and nothing is left.
    fn run(&mut self) {
        let slots = self.shared.capacity.slots as usize;
        loop {
            loop {
                let parts = self.waiting.iter().filter(|waiting| waiting.is_part()).count();
                let (taken, idle) = (self.active.len() + parts, self.active.is_empty());
                match self.shared.parts.next(taken < slots, idle) {
                    Some(Work::Part(job)) => self.begin(job),
                    Some(Work::Order(order)) => {
                        self.obey(order);
                        if !idle {
                            // The parts are not kept waiting by more than one.
                            break;
                        }
                    }
                    None if idle => return,
                    None => break,
                }
            }
            for active in std::mem::take(&mut self.active) {
                let shared = Arc::clone(&self.shared);
                shared.engine.during(|| self.advance(active));
            }
        }
    }

    /// Starts a part, once its model is there.
    fn begin(&mut self, job: Job) {
        if self.pipelines.contains_key(&job.model) {
            let times = Times { queue: job.accepted_at.elapsed(), ..Times::default() };
            return self.begin_now(job, times);
        }
        job.progress(Phase::ModelLoad, 0, 0);
        let times = Times { queue: job.accepted_at.elapsed(), ..Times::default() };
        match self.want(&job.model) {
            Ok(()) => self.waiting.push(Waiting::Part { job, times, since: Instant::now() }),
            Err(error) => self.shared.ended(&job, Err(Ended::Failed(error))),
        }
    }

    fn begin_now(&mut self, job: Job, mut times: Times) {
        let shared = Arc::clone(&self.shared);
        match shared.engine.during(|| guarded(|| self.start(&job, &mut times))) {
            Ok(run) => {
                job.progress(Phase::Generation, 0, run.steps());
                self.active.push(Active { job, run, times });
            }
            Err(ended) => self.shared.ended(&job, Err(ended)),
        }
    }

    fn start(&mut self, job: &Job, times: &mut Times) -> Result<Box<dyn Run>, Ended> {
        job.interrupt.check().map_err(|_| Ended::Interrupted)?;
        // A large picture is decoded in many runs, which together may take longer than a step may.
        let shared = Arc::downgrade(&self.shared);
        job.interrupt.on_run(move || {
            if let Some(shared) = shared.upgrade() {
                shared.engine.goes_on();
            }
        });
        times.began = Some(Instant::now());
        let request = &job.args.request;
        let seed = request.seed.unwrap_or(0).wrapping_add(u64::from(job.args.part.index));
        // A model that was loaded again may be another one.
        let again = match &job.prepared {
            None => Some(self.prepare(job)?),
            Some(_) => None,
        };
        let prepared = again.as_ref().or(job.prepared.as_ref());
        let generator = self.generator(&job.model)?;
        let started = match prepared {
            Some(prepared) => generator.start(prepared, seed, &job.interrupt),
            None => Err(Error::Foreign),
        };
        if matches!(started, Err(Error::Foreign)) {
            let prepared = self.prepare(job)?;
            let generator = self.generator(&job.model)?;
            return generator.start(&prepared, seed, &job.interrupt).map_err(failure);
        }
        started.map_err(failure)
    }

    /// Takes one step of a part; the last one decodes it.
    fn advance(&mut self, mut active: Active) {
        if let Err(ended) = guarded(|| self.step(&mut active)) {
            return self.shared.ended(&active.job, Err(ended));
        }
        if !active.run.is_done() {
            return self.active.push(active);
        }
        let Active { job, run, times } = active;
        let steps = run.steps();
        match guarded(|| self.decode(&job, run)) {
            Ok((output, digest)) => {
                let result = ToEncode { job, output, steps, times, digest };
                if let Err(error) = self.to_encoder.send(result) {
                    let gone = CallError::new(ErrorKind::Internal, "the encoder has ended");
                    self.shared.ended(&error.0.job, Err(Ended::Failed(gone)));
                }
            }
            Err(ended) => self.shared.ended(&job, Err(ended)),
        }
    }

    fn step(&mut self, active: &mut Active) -> Result<(), Ended> {
        let Active { job, run, .. } = active;
        let shared = Arc::clone(&self.shared);
        let generator = self.generator(&job.model)?;
        let began = Instant::now();
        let mut turns = [Turn::new(run.as_mut(), &job.interrupt)];
        generator.step(&mut turns);
        let [Turn { outcome, .. }] = turns;
        outcome.map_err(failure)?;
        shared.metrics.step_computed(began.elapsed());
        job.progress(Phase::Generation, run.step_index(), run.steps());
        if !run.is_done() {
            show_preview(generator, job, run.as_ref());
        }
        Ok(())
    }

    /// The finished picture, and the model's digest.
    fn decode(&mut self, job: &Job, run: Box<dyn Run>) -> Result<(Output, String), Ended> {
        let digest = self.model(&job.model)?.description().digest.clone();
        let output = self.generator(&job.model)?.finish(run, &job.interrupt).map_err(failure)?;
        Ok((output, digest))
    }

    /// Prepares a part whose model wasn't there when it was admitted.
    fn prepare(&mut self, job: &Job) -> Result<PreparedRequest, Ended> {
        let preparer = self.model(&job.model)?.preparer();
        prepare(preparer.as_deref(), &job.args.request).map_err(Ended::Failed)
    }

    fn generator(&mut self, model: &str) -> Result<&mut dyn Generator, Ended> {
        let generator = self.model(model)?.generator();
        generator.ok_or_else(|| Ended::Failed(prepare::generates_nothing()))
    }

    fn model(&mut self, model: &str) -> Result<&mut dyn Model, Ended> {
        match self.pipelines.get_mut(model) {
            Some(pipeline) => Ok(pipeline.as_mut()),
            None => {
                let message = format!("model {model:?} is not loaded");
                Err(Ended::Failed(CallError::new(ErrorKind::Internal, message)))
            }
        }
    }
}

/// Does a part's work. A panic in it is a fault of the program; it costs this part and no other,
/// and neither the thread nor its loaded models.
fn guarded<T>(work: impl FnOnce() -> Result<T, Ended>) -> Result<T, Ended> {
    caught(work).unwrap_or_else(|| Err(Ended::Failed(own_fault())))
}

/// What `work` gives; none where it panicked.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    if outcome.is_err() {
        tracing::error!("a piece of work panicked: standard error says where");
    }
    outcome.ok()
}

fn own_fault() -> CallError {
    let message = "the worker failed by a fault of its own: its log says more";
    CallError::new(ErrorKind::Internal, message)
}

fn show_preview(generator: &mut dyn Generator, job: &Job, run: &dyn Run) {
    let due = |every: u32| run.step_index().is_multiple_of(every as usize);
    if !job.args.request.preview_every.is_some_and(due) || !job.is_watched() {
        return;
    }
    // A preview is a courtesy: the part goes on without it.
    let image = match generator.preview(run, &job.interrupt) {
        Ok(Some(media)) => media,
        Ok(None) | Err(Error::Interrupted(_)) => return,
        Err(error) => return tracing::warn!(%error, "no preview"),
    };
    match hearth_media::encode(&image, OutputFormat::Png, &[]) {
        Ok(png) => {
            let step = u32::try_from(run.step_index()).unwrap_or(u32::MAX);
            job.preview(PreviewImage { step, png: Bytes::from(png) });
        }
        Err(error) => tracing::warn!(%error, "no preview"),
    }
}

fn failure(error: Error) -> Ended {
    match error {
        Error::Interrupted(_) => Ended::Interrupted,
        Error::Invalid(invalid) => Ended::Failed(prepare::invalid(&invalid)),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "a generation failed");
            let message = "the model failed while it ran";
            Ended::Failed(CallError::new(ErrorKind::ModelFailed, message).caused_by(&error))
        }
    }
}

impl Shared {
    /// Records how a part ended.
    fn ended(&self, job: &Job, outcome: Result<crate::parts::Finished, Ended>) {
        self.parts.finish(&job.key, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_parts_error() {
        let nothing: [u8; 0] = [];
        let Err(Ended::Failed(error)) = guarded(|| Ok(nothing[std::hint::black_box(0)])) else {
            panic!("the panic went on");
        };
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(!error.retryable, "the next worker would panic as well");
    }
}
