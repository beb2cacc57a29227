//! The demo model on ONNX Runtime, as a worker loads it, without the worker.

use std::path::Path;

use anyhow::Result;
use hearth_inference::model::warm_up;
use hearth_inference::session::{Interrupt, Runtime, Search, find};
use hearth_inference::{LoadOptions, load};

use crate::measure::resident;

/// Loads and warms the model, says how many bytes the process holds, and waits for its owner.
pub(crate) async fn serve() -> Result<()> {
    let (executable, directory) = (std::env::current_exe()?, std::env::current_dir()?);
    let library = find(&Search {
        configured: "auto",
        executable: Some(&executable),
        directory: Some(&directory),
    })?;
    let runtime = Runtime::load(&library, 0)?;
    let options = LoadOptions::default();
    let mut model = load(&runtime, Path::new("models/emoji"), &options)?;
    warm_up(model.as_mut(), &Interrupt::new())?;
    super::announce_until_closed(&resident()?.to_string()).await
}
