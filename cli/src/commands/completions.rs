//! `hearth completions`: what a shell needs to complete this command.

use clap_complete::Shell;

use crate::app::App;
use crate::args;
use crate::exit::{Failure, Status};

pub(super) fn run(shell: Shell, app: &App) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "hearth", &mut script);
    app.output.bytes(&script)?;
    Ok(Status::Done)
}
