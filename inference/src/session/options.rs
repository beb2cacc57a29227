//! The options that sessions and their runs have, and why.

use std::path::Path;

use ort::logging::LogLevel;
use ort::session::RunOptions;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::{Device, Error, Runtime};

/// Constants up to this many bytes are folded.
const FOLD_UP_TO: &str = "optimization.constant_folding_max_output_size_in_bytes";
/// Takes weights from the system one by one, so that a session that is dropped gives each back.
const OWN_WEIGHTS: &str = "session.use_device_allocator_for_initializers";
/// Gives what a run took back to the system when it ends.
const SHRINK_ARENA: (&str, &str) = ("memory.enable_memory_arena_shrinkage", "cpu:0");
/// Where the weights of a graph given from memory lie.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// For a graph on a device; `name` is that of its profile.
pub(super) fn of_session(
    runtime: &Runtime,
    name: &str,
    device: Device,
) -> Result<SessionBuilder, Error> {
    let build = || -> ort::Result<SessionBuilder> {
        let builder = ort::session::Session::builder(&runtime.environment)?
            .with_execution_providers([device.provider()])?
            .with_optimization_level(GraphOptimizationLevel::All)?;
        let mut builder = runtime.threads.of(builder, device)?;
        if device == Device::Cpu {
            builder = builder.with_config_entry(OWN_WEIGHTS, "1")?;
        }
        if let Some(folder) = &runtime.profiles {
            builder = builder.with_profiling(folder.join(name))?;
        }
        Ok(builder)
    };
    build().map_err(|error| Error::DeviceRefused {
        device: device.to_string(),
        reason: error.to_string(),
    })
}

/// For a graph that isn't read from its file `model` but from memory.
pub(super) fn in_memory(
    builder: SessionBuilder,
    model: &Path,
    widened: bool,
) -> ort::Result<SessionBuilder> {
    let folder = model.parent().unwrap_or(Path::new(".")).to_string_lossy();
    let builder = builder.with_config_entry(WEIGHTS_FOLDER, folder)?;
    if !widened {
        return Ok(builder);
    }
    // Beyond this level weights are cast when loading, which is what widening avoids; as is
    // folding them. It says for each weight that it wasn't folded, hence the log level.
    Ok(builder
        .with_optimization_level(GraphOptimizationLevel::Level2)?
        .with_memory_pattern(false)?
        .with_config_entry(FOLD_UP_TO, "65536")?
        .with_log_level(LogLevel::Error)?)
}

/// Options for every run. A widened graph is one whose memory counts: its sessions run one after
/// another, so that what one gives back the next can have.
pub(super) fn of_run(widened: bool) -> ort::Result<RunOptions> {
    let mut options = RunOptions::new()?;
    // A failed run is our error to report, and an interrupted one is no error at all.
    options.set_log_level(LogLevel::Fatal)?;
    if widened {
        options.set(SHRINK_ARENA.0, SHRINK_ARENA.1)?;
    }
    Ok(options)
}
