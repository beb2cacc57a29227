//! `hearth model`: a model folder on this machine, looked at and vouched for without a worker.

mod inspect;
mod manifest;

use std::path::Path;
use std::time::Duration;

use hearth_inference::blueprint::folder;
use hearth_inference::progress::Progress;

use crate::App;
use crate::args::ModelCommand;
use crate::exit::{Failure, Status};
use crate::output::progress::StatusLine;

/// How often progress is drawn anew.
const TICK: Duration = Duration::from_millis(200);

pub(super) fn run(command: &ModelCommand, app: &App) -> Result<Status, Failure> {
    match command {
        ModelCommand::Inspect { dir } => inspect::run(dir, app),
        ModelCommand::Manifest { dir, force } => manifest::write(dir, *force, app),
        ModelCommand::Verify { dir } => manifest::verify(dir, app),
    }
}

/// Does `work`, which reads whole folders, and says meanwhile how far it is.
fn watched<T: Send>(app: &App, work: impl FnOnce(&Progress) -> T + Send) -> Result<T, Failure> {
    let (progress, line) = (Progress::default(), StatusLine::new(&app.output));
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| work(&progress));
        while !worker.is_finished() {
            std::thread::park_timeout(TICK);
            line.set(format!("reading the files: {} %", progress.percent()));
        }
        worker.join().map_err(|_| Failure::failed("the folder can't be read: a fault of hearth's"))
    })
}

/// Refuses what is no folder.
fn check(dir: &Path) -> Result<(), Failure> {
    if dir.is_dir() {
        return Ok(());
    }
    let error = folder::Error::NoFolder { path: dir.to_owned(), is_file: dir.is_file() };
    Err(Failure::usage(error.to_string()))
}
