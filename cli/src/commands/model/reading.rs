//! Reading a whole model folder, with a line of progress.

use std::path::Path;
use std::time::Duration;

use hearth_inference::blueprint::folder::Error;
use hearth_inference::progress::Progress;

use crate::app::App;
use crate::exit::Failure;
use crate::output::progress::StatusLine;

/// How often the progress is updated.
const TICK: Duration = Duration::from_millis(200);

/// Does `work`, which reads a whole folder, and shows its progress meanwhile.
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

/// Refuses a path that is no folder.
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    if dir.is_dir() {
        return Ok(());
    }
    let error = Error::NoFolder { path: dir.to_owned(), is_file: dir.is_file() };
    Err(Failure::usage(error.to_string()))
}
