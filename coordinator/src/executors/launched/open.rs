//! The launchers that a config can name.

use std::sync::Arc;

use hearth_launchers::shim::Shim;
use hearth_launchers::{Error, Launcher, ProcessLauncher, StateDir, kubernetes};

/// Their names.
const KNOWN: [&str; 2] = ["process", "kubernetes"];

/// The launcher of this name, with its launches in `state`.
pub(super) fn launcher(name: &str, state: StateDir) -> Result<Arc<dyn Launcher>, Error> {
    Ok(match name {
        "process" => Arc::new(ProcessLauncher::new(state, Shim::find(None)?)),
        "kubernetes" => Arc::new(kubernetes::Kubernetes::new(state, kubernetes::Config::default())),
        other => {
            return Err(Error::UnknownLauncher { name: other.to_owned(), known: KNOWN.to_vec() });
        }
    })
}
