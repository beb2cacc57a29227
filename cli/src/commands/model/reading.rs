//! A model folder as these commands take it: it is there, and reading it shows progress.

use std::path::Path;
use std::time::Duration;

use hearth_inference::folder::Error;
use hearth_inference::progress::Progress;

use crate::app::App;
use crate::exit::Failure;
use crate::output::progress::StatusLine;

/// How often progress is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// Does `work`, which reads whole folders, and says meanwhile how far it is.
pub(super) fn watch<T: Send>(
    app: &App,
    work: impl FnOnce(&Progress) -> T + Send,
) -> Result<T, Failure> {
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
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    if dir.is_dir() {
        return Ok(());
    }
    let error = Error::NoFolder { path: dir.to_owned(), is_file: dir.is_file() };
    Err(Failure::usage(error.to_string()))
}
