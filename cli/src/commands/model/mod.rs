//! `hearth model`: inspects and verifies a model folder on this machine, without a worker.

mod inspect;
mod manifest;
mod reading;

use crate::app::App;
use crate::args::ModelCommand;
use crate::exit::{Failure, Status};

pub(super) fn run(command: &ModelCommand, app: &App) -> Result<Status, Failure> {
    match command {
        ModelCommand::Inspect { dir, device, allow_links_to } => {
            inspect::run(dir, device, allow_links_to, app)
        }
        ModelCommand::Manifest { dir, force } => manifest::write(dir, *force, app),
        ModelCommand::Verify { dir } => manifest::verify(dir, app),
    }
}
