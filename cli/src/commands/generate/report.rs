//! Reports on a request: files as they arrive, progress bars meanwhile, a result at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hearth_api::{CallError, ErrorKind, FinishReason, MediaFacts, Rank, RequestId};
use hearth_engine::{ItemOutput, RequestEvent, RequestOutput};
use hearth_protocol::message::Phase;
use serde::Serialize;

use super::destination::Destination;
use crate::app::App;
use crate::exit::{Failure, Status};
use crate::output::progress::Bars;
use crate::output::{file, say_failure, text};

/// One picture, as the result lists it.
#[derive(Debug, Clone, Serialize)]
struct Item {
    index: u32,
    artifact: Option<PathBuf>,
    #[serde(flatten)]
    made: Option<ImageReport>,
    finish_reason: FinishReason,
    error: Option<CallError>,
}

#[derive(Debug, Clone, Serialize)]
struct ImageReport {
    media_type: String,
    sha256: String,
    seed: u64,
    #[serde(flatten)]
    media: MediaFacts,
    worker: String,
    rank: Option<Rank>,
    timings: BTreeMap<String, f64>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    id: &'a RequestId,
    seed: u64,
    finish_reason: FinishReason,
    items: &'a [Item],
    timings: &'a BTreeMap<String, f64>,
    warnings: &'a [String],
    error: &'a Option<CallError>,
}

/// Follows one request.
pub(super) struct Report<'a> {
    app: &'a App,
    destination: &'a Destination,
    bars: Bars,
    items: Vec<Item>,
    previews: BTreeMap<u32, PathBuf>,
    running: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(app: &'a App, destination: &'a Destination, images: u32) -> Self {
        let bars = Bars::new(&app.output, images as usize);
        let previews = BTreeMap::new();
        Self { app, destination, bars, items: Vec::new(), previews, running: false }
    }

    /// Handles an event, except for the last.
    pub(super) fn on(&mut self, event: RequestEvent) -> Result<(), Failure> {
        match event {
            RequestEvent::Assigned { item, worker, .. } => {
                self.bars.goes_to(item as usize, worker.as_str());
            }
            RequestEvent::Accepted { item, queue_position, .. } => match queue_position {
                0 => self.note_running(item),
                before => self.bars.waits(item as usize, before),
            },
            RequestEvent::Progress { item, step, steps, phase, .. } => {
                self.note_running(item);
                let doing = match phase {
                    Phase::ModelLoad => Some("loading the model"),
                    Phase::OutputPostprocessing => Some("encoding"),
                    _ => None,
                };
                if steps > 0 {
                    self.bars.step(item as usize, step, steps, doing);
                }
            }
            RequestEvent::Preview { item, media_type, bytes, .. } => {
                self.preview(item, &media_type, &bytes)?;
            }
            RequestEvent::Item(output) => self.item(output)?,
            RequestEvent::ItemFailed { item, error, .. } => self.failed(item, error),
            RequestEvent::Retried { item, from, error, .. } => {
                let what = match error.kind {
                    ErrorKind::QueueFull => "waits for a place",
                    _ => "is tried again",
                };
                let why = &error.message;
                self.bars.line(&format!("picture {item} {what} ({from}: {why})"));
            }
            _ => {}
        }
        Ok(())
    }

    /// This command has asked for the request to be cancelled.
    pub(super) fn interrupted(&mut self) {
        self.bars.freeze();
    }

    fn note_running(&mut self, item: u32) {
        if !std::mem::replace(&mut self.running, true) {
            let since_start = self.app.started.elapsed();
            tracing::info!(item, ?since_start, "the request runs");
        }
    }

    fn preview(&mut self, item: u32, media_type: &str, bytes: &[u8]) -> Result<(), Failure> {
        let Some(path) = self.destination.preview(item, media_type) else { return Ok(()) };
        file::write(&path, bytes)?;
        if self.previews.insert(item, path.clone()).is_none() {
            self.bars.line(&format!("preview: {}", path.display()));
        }
        Ok(())
    }

    fn item(&mut self, output: ItemOutput) -> Result<(), Failure> {
        let artifact = self.destination.path(output.index);
        match &artifact {
            Some(path) => file::write(path, &output.bytes)?,
            None => self.app.output.bytes(&output.bytes)?,
        }
        // A picture that is there needs no preview.
        if let Some(preview) = self.previews.remove(&output.index) {
            let _ = std::fs::remove_file(preview);
        }
        let total = output.timings.get("total").copied().unwrap_or_default();
        let took = text::took(std::time::Duration::from_secs_f64(total.max(0.0) / 1e3));
        let seed = output.seed;
        self.bars.ends(output.index as usize, &format!("done in {took}, seed {seed}"));
        self.items.push(Item {
            index: output.index,
            artifact,
            finish_reason: output.finish_reason,
            error: None,
            made: Some(ImageReport {
                media_type: output.media_type,
                sha256: output.sha256,
                seed,
                media: output.media,
                worker: output.worker.to_string(),
                rank: output.rank,
                timings: output.timings,
                warnings: output.warnings,
            }),
        });
        Ok(())
    }

    fn failed(&mut self, item: u32, error: CallError) {
        let word = match error.kind {
            ErrorKind::Cancelled => "cancelled".to_owned(),
            kind => format!("failed: {kind}"),
        };
        self.bars.ends(item as usize, &word);
        self.items.push(Item {
            index: item,
            artifact: None,
            made: None,
            finish_reason: reason(error.kind),
            error: Some(error),
        });
    }

    /// A picture could not be written: says why, and where the others are.
    pub(super) fn unwritten(
        &mut self,
        failure: Failure,
        id: &RequestId,
        stays: bool,
    ) -> Result<Failure, Failure> {
        self.bars.freeze();
        if failure.is_quiet() {
            return Ok(failure);
        }
        if !self.app.output.json {
            let mut written = self.items.iter().filter_map(|item| item.artifact.as_ref());
            written.try_for_each(|path| self.app.output.line(path.display()))?;
        }
        let kept = format!("workers keep what is done for a while: hearth attach {id} -o FILE");
        Ok(if stays { failure.hint(kept) } else { failure })
    }

    /// Prints the result.
    pub(super) fn finish(
        mut self,
        output: RequestOutput,
        interrupted: bool,
    ) -> Result<Status, Failure> {
        self.items.sort_by_key(|item| item.index);
        let errors: Vec<_> = self.items.iter().filter_map(|item| item.error.as_ref()).collect();
        let there = self.items.len() - errors.len();
        let status = match interrupted {
            true => Status::Interrupted,
            false => overall(there, &errors, output.error.as_ref()),
        };
        if self.app.output.json {
            self.app.output.json(&Outcome {
                id: &output.id,
                seed: output.seed,
                finish_reason: output.finish_reason,
                items: &self.items,
                timings: &output.timings,
                warnings: &output.warnings,
                error: &output.error,
            })?;
            return Ok(status);
        }
        for path in self.items.iter().filter_map(|item| item.artifact.as_ref()) {
            self.app.output.line(path.display())?;
        }
        for warning in &output.warnings {
            self.app.output.note(format_args!("warning: {warning}"));
        }
        if interrupted {
            self.app.output.note(format_args!("cancelled; {there} of {} kept", self.items.len()));
            return Ok(status);
        }
        self.tell(&output, there);
        Ok(status)
    }

    fn tell(&self, output: &RequestOutput, there: usize) {
        let mut told: Vec<&CallError> = Vec::new();
        for item in &self.items {
            // An error that all pictures share is printed once.
            if let Some(error) = &item.error
                && !told.iter().any(|known| known.message == error.message)
            {
                let of = if self.items.len() > 1 {
                    format!("picture {}: ", item.index)
                } else {
                    String::new()
                };
                let failure = Failure::from(CallError {
                    message: format!("{of}{}", error.message),
                    ..error.clone()
                });
                say_failure(&failure);
                told.push(error);
            }
        }
        if told.is_empty()
            && let Some(error) = &output.error
        {
            say_failure(&Failure::from(error.clone()));
        }
        let total = output.timings.get("total").copied().unwrap_or_default();
        let took = text::took(std::time::Duration::from_secs_f64(total.max(0.0) / 1e3));
        let what = match (there, self.items.len()) {
            (0, _) => return,
            (1, 1) => "1 picture".to_owned(),
            (there, all) if there == all => format!("{all} pictures"),
            (there, all) => format!("{there} of {all} pictures"),
        };
        self.app.output.note(format_args!("{what} in {took}, seed {}", output.seed));
    }
}

fn reason(kind: ErrorKind) -> FinishReason {
    match kind {
        ErrorKind::Cancelled => FinishReason::Cancelled,
        ErrorKind::DeadlineExceeded => FinishReason::Deadline,
        _ => FinishReason::Error,
    }
}

/// The status of a request that was not interrupted. A deadline is a deadline, also in part; any
/// other failure in part is that, and a whole one is what its errors have in common.
fn overall(there: usize, errors: &[&CallError], whole: Option<&CallError>) -> Status {
    let mut all = errors.iter().copied().chain(whole);
    let Some(first) = all.next() else { return Status::Done };
    let late = |error: &CallError| error.kind == ErrorKind::DeadlineExceeded;
    if late(first) || all.clone().any(late) {
        return Status::Deadline;
    }
    let alike = all.all(|error| Status::from(error.kind) == Status::from(first.kind));
    if there == 0 && alike { first.kind.into() } else { Status::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_whole_and_partial_failures() {
        let error = |kind| CallError::new(kind, "x");
        let (lost, late) = (error(ErrorKind::WorkerLost), error(ErrorKind::DeadlineExceeded));
        let (none, wrong) = (error(ErrorKind::NoWorker), error(ErrorKind::InvalidArgument));
        assert_eq!(overall(2, &[], None), Status::Done);
        assert_eq!(overall(1, &[&lost], Some(&lost)), Status::Failed);
        assert_eq!(overall(1, &[&none], None), Status::Failed, "something came");
        assert_eq!(overall(0, &[&none, &none], None), Status::NoWorker);
        assert_eq!(overall(0, &[&wrong], Some(&wrong)), Status::Usage);
        assert_eq!(overall(0, &[&none, &wrong], None), Status::Failed);
        assert_eq!(overall(1, &[&lost, &late], None), Status::Deadline);
    }
}
