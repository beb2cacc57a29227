//! Runs Slurm's commands: found or said to be missing, bounded in time, their refusals kept.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::{Config, NAME};
use crate::{Error, RESULT_VARIABLE};

/// How long one command may take. Slurm's own commands give up after 10 s to a minute.
const LIMIT: Duration = Duration::from_secs(90);

/// Most of a refusal that is passed on.
const MAX_REASON: usize = 500;

/// What a command printed, where it succeeded, or what it said of its failure.
pub(super) async fn run(
    config: &Config,
    name: &'static str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Result<String, String>, Error> {
    let program = match &config.commands {
        Some(folder) => folder.join(name),
        None => PathBuf::from(name),
    };
    let mut command = Command::new(&program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    // Where the caller is a replica itself, its own end is not theirs.
    command.env_remove(RESULT_VARIABLE);
    command.envs(config.env.iter().map(|(key, value)| (OsStr::new(key), OsStr::new(value))));
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err(absent(name)),
        Ok(Err(error)) => return Err(manager(format!("{}: {error}", program.display()))),
        Err(_) => return Err(manager(format!("{name} gave no answer in {LIMIT:?}"))),
    };
    Ok(answer(&output))
}

/// As [`run`], where a failure has no meaning of its own.
pub(super) async fn must(
    config: &Config,
    name: &'static str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<String, Error> {
    run(config, name, args).await?.map_err(|said| manager(format!("{name}: {said}")))
}

pub(super) fn manager(reason: String) -> Error {
    Error::Manager { launcher: NAME, reason }
}

fn absent(name: &str) -> Error {
    let reason = format!(
        "there is no {name}: install Slurm's commands (Debian: slurm-client), or run this on a \
         login node of the cluster"
    );
    Error::ManagerAbsent { launcher: NAME, reason }
}

fn answer(output: &Output) -> Result<String, String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let mut text = said.join("; ");
    if text.is_empty() {
        text = output.status.to_string();
    }
    if let Some((at, _)) = text.char_indices().nth(MAX_REASON) {
        text.truncate(at);
    }
    Err(text)
}
