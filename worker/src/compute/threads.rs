//! The threads of the computing half: started together, joined together.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use hearth_telemetry::procinfo::Process;
use tokio::sync::oneshot;

use super::gauge::Gauge;
use super::inbox::Inbox;
use super::load_error::LoadError;
use super::opener::Opener;
use super::thread::ComputeThread;
use super::{encoder, loader, preparer};
use crate::config::Config;
use crate::metrics::WorkerMetrics;
use crate::suspects::Journal;

pub(crate) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Starts the threads. The receiver says when the models of the start are loaded and warm, or
    /// why they can't be. `dir` is the worker's folder of its own.
    pub(crate) fn start(
        config: &Config,
        dir: PathBuf,
        inbox: &Arc<Inbox>,
        gauge: &Arc<Gauge>,
        journal: &Arc<Journal>,
        process: Process,
        metrics: &WorkerMetrics,
    ) -> std::io::Result<(Self, oneshot::Receiver<Result<(), LoadError>>)> {
        let opener = Opener::new(config, dir, metrics.clone());
        let compute = ComputeThread {
            inbox: Arc::clone(inbox),
            gauge: Arc::clone(gauge),
            journal: Arc::clone(journal),
            metrics: metrics.clone(),
            process,
            models: HashMap::new(),
            runs: HashMap::new(),
        };
        let named = |name: &str| Builder::new().name(name.to_owned());
        let journal = Arc::clone(journal);
        let [load, encode, prepare] = [(); 3].map(|()| Arc::clone(inbox));
        let threads = vec![
            named("compute").spawn(move || compute.run())?,
            named("loader").spawn(move || loader::run(&load, opener))?,
            named("encoder").spawn(move || encoder::run(&encode))?,
            named("preparer").spawn(move || preparer::run(&prepare))?,
            named("journal").spawn(move || journal.run())?,
        ];
        Ok((Self(threads), inbox.start()))
    }

    /// Whether a thread has ended, which none does before the plan is closed.
    pub(crate) fn have_ended(&self) -> bool {
        self.0.iter().any(JoinHandle::is_finished)
    }

    /// Waits for the threads; the plan must be closed.
    pub(crate) fn join(self) {
        for thread in self.0 {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(name, "a thread panicked");
            }
        }
    }
}
