//! Starts all units of a launch, or leaves none.

use std::path::PathBuf;

use rustix::process::Signal;
use tokio::time::{Duration, Instant, sleep};

use super::bus::{Bus, NAME};
use crate::Error;
use crate::draft::Draft;
use crate::shim::{self, Report};

/// How long a shim may take to begin on a loaded machine.
pub(super) const BEGIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// The units of one launch. Unless [`Startup::keep`] is called, dropping it ends what runs and
/// removes everything that was written for the launch, so that a late shim finds nothing to do.
pub(super) struct Startup<'a> {
    pub(super) units: Vec<(String, PathBuf)>,
    /// Dropped after the units' processes were ended.
    pub(super) draft: Draft<'a>,
}

impl Startup<'_> {
    /// Waits until each shim has started its program or reported why it could not.
    pub(super) async fn wait_for_programs(&self, bus: &Bus) -> Result<(), Error> {
        let deadline = Instant::now() + BEGIN;
        loop {
            let mut waiting = Vec::new();
            for (unit, folder) in &self.units {
                let report = Report::read(folder)?;
                if !report.is_some_and(|r| r.program.is_some() || r.status.is_final()) {
                    waiting.push((unit.clone(), folder));
                }
            }
            if waiting.is_empty() {
                return Ok(());
            }
            let names: Vec<String> = waiting.iter().map(|(unit, _)| unit.clone()).collect();
            let listed = bus.list(&names).await?;
            for (unit, folder) in waiting {
                let alive = listed.get(&unit).is_some_and(|state| state.alive);
                // It may have begun and ended between the two looks.
                if !alive && Report::read(folder)?.is_none() {
                    return Err(failed(format!(
                        "{unit} ended before it began: journalctl -u {unit}"
                    )));
                }
            }
            if Instant::now() >= deadline {
                return Err(failed(format!("a shim has not begun in {BEGIN:?}")));
            }
            sleep(LOOK).await;
        }
    }

    /// All are running: from here on they are on their own.
    pub(super) fn keep(mut self) {
        self.units.clear();
        self.draft.keep();
    }
}

impl Drop for Startup<'_> {
    fn drop(&mut self) {
        for (_, folder) in &self.units {
            let Some(report) = Report::read(folder).ok().flatten() else { continue };
            report.shim.signal(Signal::KILL);
            shim::clear(folder, report.program.as_ref());
        }
    }
}

fn failed(reason: String) -> Error {
    Error::Manager { launcher: NAME, reason }
}
