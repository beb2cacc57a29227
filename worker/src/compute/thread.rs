//! The thread that computes: it owns the loaded models and the runs, and does what it is given, one
//! piece of work after another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hearth_api::request::OutputFormat;
use hearth_inference::Error;
use hearth_inference::model::{Generator, Model, Run, Turn};
use hearth_inference::session::Interrupt;
use hearth_telemetry::procinfo::Process;

use super::gauge::Gauge;
use super::guard::{guarded, own_fault};
use super::inbox::Inbox;
use super::order::{Infer, InferOutput, Sender};
use super::plan::{Event, RunError, RunStatus};
use super::run_error::run_error;
use super::task::{ComputeTask, Preparation, RunResult};
use super::{infer, memory};
use crate::items::{ItemId, PreviewImage};
use crate::metrics::WorkerMetrics;
use crate::suspects::Journal;

pub(super) struct ComputeThread {
    pub(super) inbox: Arc<Inbox>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) journal: Arc<Journal>,
    pub(super) metrics: WorkerMetrics,
    pub(super) process: Process,
    pub(super) models: HashMap<String, Box<dyn Model>>,
    pub(super) runs: HashMap<ItemId, ModelRun>,
}

/// A run, and the model that can go on with it.
pub(super) struct ModelRun {
    model: String,
    run: Box<dyn Run>,
}

impl ComputeThread {
    /// Computes until all is over.
    pub(super) fn run(mut self) {
        let (inbox, gauge) = (Arc::clone(&self.inbox), Arc::clone(&self.gauge));
        while let Some((task, arrived)) = inbox.next_compute() {
            self.models.extend(arrived);
            let event = match task {
                ComputeTask::Start { item, model, prepared, seed, interrupt } => {
                    // Should the process end by it, the next one is to know why.
                    self.journal.wait_until_written();
                    let start = || self.start(item, &model, prepared.as_deref(), seed, &interrupt);
                    Event::Started { item, outcome: gauge.during(start) }
                }
                ComputeTask::Step(turns) => gauge.during(|| self.step(turns)),
                ComputeTask::Preview { item, interrupt } => {
                    let preview = gauge.during(|| self.preview(item, &interrupt));
                    Event::Previewed { item, preview }
                }
                ComputeTask::Finish { item, interrupt } => {
                    let outcome = gauge.during(|| self.finish(item, &interrupt));
                    inbox.finished(item, outcome);
                    continue;
                }
                ComputeTask::Discard(item) => {
                    self.runs.remove(&item);
                    Event::Discarded
                }
                ComputeTask::Infer(order) => {
                    if let Some((infer, caller)) = order {
                        gauge.during(|| self.infer(&infer, caller));
                    }
                    Event::Inferred
                }
                ComputeTask::Release { models, uncache } => {
                    let freed = self.release(&models);
                    uncache.iter().for_each(|folder| memory::uncache(folder));
                    tracing::info!(
                        ?models,
                        freed = freed.resident,
                        device = freed.device,
                        "models dropped"
                    );
                    Event::Released(freed)
                }
            };
            inbox.report(event);
        }
    }

    fn start(
        &mut self,
        item: ItemId,
        model: &str,
        prepared: Option<&Preparation>,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<RunStatus, RunError> {
        interrupt.check().map_err(|_| RunError::Interrupted)?;
        // A large picture is decoded in many runs, which together may take longer than a step may.
        let gauge = Arc::clone(&self.gauge);
        interrupt.on_run(move || gauge.goes_on());
        let Preparation { prepared, .. } = prepared.ok_or_else(|| RunError::Failed(own_fault()))?;
        let run = with_generator(&mut self.models, model, |generator| {
            generator.start(prepared, seed, interrupt)
        })?;
        let status = status(run.as_ref());
        self.runs.insert(item, ModelRun { model: model.to_owned(), run });
        Ok(status)
    }

    /// Takes a step of several runs of one model. A panic can't be laid at one of them: it costs all
    /// of them.
    fn step(&mut self, turns: Vec<(ItemId, Interrupt)>) -> Event {
        let mut members: Vec<(ItemId, Interrupt, Option<ModelRun>)> = turns
            .into_iter()
            .map(|(item, interrupt)| (item, interrupt, self.runs.remove(&item)))
            .collect();
        let model = members.iter().find_map(|(_, _, run)| run.as_ref());
        let model = model.map(|run| run.model.clone()).unwrap_or_default();
        let began = Instant::now();
        let stepped = with_generator(&mut self.models, &model, |generator| {
            let mut turns: Vec<Turn<'_>> = members
                .iter_mut()
                .filter_map(|(_, interrupt, run)| {
                    Some(Turn::new(run.as_mut()?.run.as_mut(), interrupt))
                })
                .collect();
            generator.step(&mut turns);
            Ok(turns.into_iter().map(|turn| turn.outcome).collect::<Vec<_>>())
        });
        let took = began.elapsed();
        let mut outcomes = stepped.map(Vec::into_iter);
        let (mut ended, mut taken) = (Vec::with_capacity(members.len()), 0);
        for (item, _, run) in members {
            let outcome = match (&mut outcomes, run) {
                (Err(error), _) => Err(error.clone()),
                (Ok(_), None) => Err(RunError::Failed(own_fault())),
                (Ok(outcomes), Some(run)) => match outcomes.next() {
                    Some(Ok(())) => {
                        taken += 1;
                        let status = status(run.run.as_ref());
                        self.runs.insert(item, run);
                        Ok(status)
                    }
                    Some(Err(error)) => Err(run_error(error)),
                    None => Err(RunError::Failed(own_fault())),
                },
            };
            ended.push((item, outcome));
        }
        if taken > 0 {
            self.metrics.step_computed(took, taken);
        }
        Event::Stepped { outcomes: ended, took }
    }

    /// A preview is a courtesy: the item goes on without it.
    fn preview(&mut self, item: ItemId, interrupt: &Interrupt) -> Option<PreviewImage> {
        let ModelRun { model, run } = self.runs.get(&item)?;
        let generator = self.models.get_mut(model)?.generator()?;
        let preview = guarded(|| {
            let media = match generator.preview(run.as_ref(), interrupt) {
                Ok(media) => media?,
                Err(Error::Interrupted(_)) => return None,
                Err(error) => {
                    tracing::warn!(%error, "no preview");
                    return None;
                }
            };
            let encoded = hearth_media::encode(&media, OutputFormat::Png, &[]);
            encoded.inspect_err(|error| tracing::warn!(%error, "no preview")).ok()
        });
        let step = u32::try_from(run.step_index()).unwrap_or(u32::MAX);
        Some(PreviewImage { step, png: Bytes::from(preview.ok()??) })
    }

    fn finish(&mut self, item: ItemId, interrupt: &Interrupt) -> Result<RunResult, RunError> {
        let run = self.runs.remove(&item).ok_or_else(|| RunError::Failed(own_fault()))?;
        let ModelRun { model, run } = run;
        let steps = run.steps();
        let output =
            with_generator(&mut self.models, &model, |generator| generator.finish(run, interrupt))?;
        let digest = self.models.get(&model).map(|model| model.description().digest.clone());
        Ok(RunResult { output, steps, digest: digest.unwrap_or_default() })
    }

    fn infer(&mut self, infer: &Infer, caller: Sender<InferOutput>) {
        let outcome = match self.models.get_mut(&infer.model) {
            Some(model) => guarded(|| infer::run(model.as_mut(), infer)).unwrap_or_else(Err),
            None => Err(own_fault()),
        };
        let _ = caller.send(outcome);
    }

    fn release(&mut self, names: &[String]) -> super::plan::FreedMemory {
        let models: Vec<_> = names.iter().filter_map(|name| self.models.remove(name)).collect();
        let descriptions = models.iter().map(|model| model.description());
        let device = descriptions.filter(|known| known.device != "cpu");
        let device = device.map(|known| known.weight_bytes).sum();
        memory::freed(&self.process, device, || drop(models))
    }
}

/// Does an item's work with its model. A panic in it is a fault of the program.
fn with_generator<T>(
    models: &mut HashMap<String, Box<dyn Model>>,
    model: &str,
    work: impl FnOnce(&mut dyn Generator) -> Result<T, Error>,
) -> Result<T, RunError> {
    let generator = models.get_mut(model).and_then(|model| model.generator());
    let generator = generator.ok_or_else(|| RunError::Failed(own_fault()))?;
    guarded(|| work(generator)).map_err(RunError::Failed)?.map_err(run_error)
}

fn status(run: &dyn Run) -> RunStatus {
    RunStatus {
        step: run.step_index(),
        steps: run.steps(),
        batch_key: run.batch_key(),
        is_done: run.is_done(),
    }
}
