//! Settings of the C library's allocator, which ONNX Runtime's memory comes from.
//!
//! By default glibc raises its thresholds as large blocks are freed, up to 32 MiB, and from then on
//! keeps what is freed for itself: a model that is dropped leaves the process as large as it was. With
//! fixed thresholds it goes back to the system. glibc reads them once, before `main`, so the program
//! starts itself anew, in the same process, with the variable set.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const VARIABLE: &str = "GLIBC_TUNABLES";
/// Blocks from 64 KiB on are the system's own mappings; what is free at a heap's end goes back from
/// there on as well, and heaps are few, so that less lies free between blocks in use.
const SETTINGS: &str = "glibc.malloc.mmap_threshold=65536:glibc.malloc.trim_threshold=65536:\
                        glibc.malloc.arena_max=2";

/// Starts the program anew with the settings, unless the variable is set: then somebody knows better,
/// or this is the new start. Where that fails all goes on as it is, only larger.
pub(crate) fn configure() {
    if cfg!(not(target_env = "gnu")) || env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut arguments = env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Returns only if it fails.
    let _ = again.args(arguments).env(VARIABLE, SETTINGS).exec();
}
