//! `hearth man`: the manual, made from the same text as `--help`.

use std::path::Path;

use clap_mangen::Man;

use crate::app::App;
use crate::args;
use crate::exit::{Failure, Status};

pub(super) fn run(dir: Option<&Path>, app: &App) -> Result<Status, Failure> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        Man::new(args::command()).render(&mut page).map_err(anyhow::Error::from)?;
        app.output.bytes(&page)?;
        return Ok(Status::Done);
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(args::command(), dir))
        .map_err(|error| {
            Failure::failed(format!("the manual can't be written into {}", dir.display()))
                .caused_by(Some(&error))
        })?;
    app.output.note(format_args!("the manual is in {}: man -l {0}/hearth.1", dir.display()));
    Ok(Status::Done)
}
