//! Becomes the program, once this process is as the program is to find it.
//!
//! What needs doing between fork and exec is done here, in a process of our own: so nothing runs
//! in a forked copy of a process with threads.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::process::Signal;
use rustix::thread::CpuSet;

use super::{Plan, Report};

const REFUSED: &str = "refused";
/// As shells have it for a program that can't be run.
const STATUS: u8 = 127;

/// Only comes back where the program can't be run; the folder then says why.
pub(super) fn run(folder: &Path) -> ExitCode {
    let error = become_program(folder);
    let _ = fs::write(folder.join(REFUSED), &error);
    ExitCode::from(STATUS)
}

/// Why the program could not be run, where that was so.
pub(super) fn refusal(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(REFUSED)).ok()
}

fn become_program(folder: &Path) -> String {
    let plan = match Plan::read(folder) {
        Ok(Some(plan)) => plan,
        _ => return "its plan can't be read".to_owned(),
    };
    // A session of its own: what it starts is found by it, and no terminal reaches it.
    let _ = rustix::process::setsid();
    if let Err(error) = die_with_the_shim(folder) {
        return error;
    }
    if let Err(error) = pin(&plan.cores) {
        return format!("cores {:?} can't be taken: {error}", plan.cores);
    }
    let Plan { program, args, env, working_dir, .. } = &plan;
    let error = Command::new(program).args(args).envs(env).current_dir(working_dir).exec();
    match working_dir.is_dir() {
        true => format!("{} can't be run: {error}", program.display()),
        false => format!("the working folder {} is not there", working_dir.display()),
    }
}

/// The signal is asked for, and then whether there is still somebody to wait for: in this order
/// no moment is left out.
fn die_with_the_shim(folder: &Path) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("its life can't be bound to its shim's: {error}"))?;
    let shim = Report::read(folder).ok().flatten().map(|report| report.shim.pid);
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    match shim.is_some() && shim == parent {
        true => Ok(()),
        false => Err("its shim is gone".to_owned()),
    }
}

fn pin(cores: &[usize]) -> rustix::io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set)
}

/// Removes what an earlier shim of this folder may have left.
pub(super) fn forget(folder: &Path) {
    let path: PathBuf = folder.join(REFUSED);
    let _ = fs::remove_file(path);
}
