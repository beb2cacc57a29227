//! `hearth model manifest` and `verify`: what every file of a folder must be.

use std::path::Path;

use hearth_inference::blueprint::folder::{self, Differs, MANIFEST, Manifest};
use serde_json::json;

use super::reading;
use crate::app::App;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::output::{file, text};

/// Writes the folder's manifest. One that is there is kept, unless `force` is given.
pub(super) fn write(dir: &Path, force: bool, app: &App) -> Result<Status, Failure> {
    reading::check(dir)?;
    let path = dir.join(MANIFEST);
    if path.symlink_metadata().is_ok() && !force {
        let (path, dir) = (path.display(), dir.display());
        return Err(Failure::failed(format!(
            "{path} is there already: hearth model verify {dir} compares it with the files, --force \
             replaces it"
        )));
    }
    let manifest = reading::watch(app, |progress| Manifest::make(dir, progress))?;
    let manifest = manifest.map_err(|error| refusal(&error))?;
    file::write(&path, manifest.text().as_bytes())?;
    let (files, bytes) = (manifest.len(), manifest.bytes());
    if app.output.json {
        app.output.json(&json!({ "path": path, "files": files, "bytes": bytes }))?;
    } else {
        let files = text::count(files as u64, "file");
        app.output.line(format_args!("{}: {files}, {}", path.display(), text::bytes(bytes)))?;
    }
    Ok(Status::Done)
}

/// Compares a folder with its manifest.
pub(super) fn verify(dir: &Path, app: &App) -> Result<Status, Failure> {
    reading::check(dir)?;
    let manifest = Manifest::read(dir).map_err(|error| refusal(&error))?.ok_or_else(|| {
        let dir = dir.display();
        Failure::usage(format!("{dir} has no {MANIFEST}: hearth model manifest {dir} writes one"))
    })?;
    let differences = reading::watch(app, |progress| manifest.differences(dir, progress))?;
    let differences = differences.map_err(|error| refusal(&error))?;
    let (files, bytes) = (manifest.len(), manifest.bytes());
    if app.output.json {
        app.output.json(&json!({
            "path": dir, "files": files, "bytes": bytes, "differences": differences,
        }))?;
    } else if differences.is_empty() {
        let files = text::count(files as u64, "file");
        app.output.line(format_args!("{}: {files} as listed", dir.display()))?;
    } else {
        let mut rows = Rows::new(&app.output, &["file", "state", "why"]);
        for difference in &differences {
            let (word, tint) = match difference.state {
                Differs::Missing => ("missing", Tint::Bad),
                Differs::Differs => ("differs", Tint::Bad),
                Differs::Extra => ("extra", Tint::Busy),
            };
            let state = rows.tinted(word, tint);
            rows.add(vec![difference.file.clone().into(), state, difference.reason.clone().into()]);
        }
        app.output.line(rows.text())?;
    }
    Ok(if differences.is_empty() { Status::Done } else { Status::Failed })
}

fn refusal(error: &folder::Error) -> Failure {
    Failure::of(Status::Failed, error)
}
