//! Runs Slurm's commands: found or said to be missing, bounded in time, their refusals kept.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::config::{Config, NAME};
use crate::{Error, RESULT_VARIABLE};

/// How long one command may take. Slurm's own commands give up after 10 s to a minute.
const LIMIT: Duration = Duration::from_secs(90);

/// Most of a refusal that is passed on.
const MAX_REASON: usize = 500;

/// Slurm's errors for a job that has ended, and for one that it has forgotten
/// (`ESLURM_ALREADY_DONE`, `ESLURM_INVALID_JOB_ID`), as an exit status has them: modulo 256.
const GONE: [i32; 2] = [2021 % 256, 2017 % 256];
/// The same in words.
const GONE_IN_WORDS: [&str; 3] = ["Invalid job id", "already completing", "already completed"];

/// How a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: Option<i32>,
    /// What it said, or its status where it said nothing.
    pub(super) said: String,
}

impl Refusal {
    fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let mut said = said.join("; ");
        if said.is_empty() {
            said = output.status.to_string();
        }
        if let Some((at, _)) = said.char_indices().nth(MAX_REASON) {
            said.truncate(at);
        }
        Self { status: output.status.code(), said }
    }

    /// Whether all that was named has ended already. `scancel` goes on after a failure, says what
    /// is worth saying of each and ends with the greatest error: of a job that has ended it says
    /// nothing at all.
    pub(super) fn is_gone(&self) -> bool {
        let gone = |part: &str| GONE_IN_WORDS.iter().any(|word| part.contains(word));
        let mut errors = self.said.split("; ").filter(|part| part.contains("error:")).peekable();
        match errors.peek() {
            Some(_) => errors.all(gone),
            None => gone(&self.said) || self.status.is_some_and(|status| GONE.contains(&status)),
        }
    }
}

/// What a command printed, where it succeeded, or how it failed.
pub(super) async fn run(
    config: &Config,
    name: &'static str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Result<String, Refusal>, Error> {
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
    Ok(match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Refusal::of(&output)),
    })
}

/// As [`run`], where a failure has no meaning of its own.
pub(super) async fn output(
    config: &Config,
    name: &'static str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<String, Error> {
    let answer = run(config, name, args).await?;
    answer.map_err(|refusal| manager(format!("{name}: {}", refusal.said)))
}

/// Runs `scancel`. Where all that it names has ended already, it has done what it should.
pub(super) async fn cancel(
    config: &Config,
    args: impl IntoIterator<Item = OsString>,
) -> Result<(), Error> {
    match run(config, "scancel", args).await? {
        Err(refusal) if !refusal.is_gone() => Err(manager(format!("scancel: {}", refusal.said))),
        Ok(_) | Err(_) => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn refusal(status: i32, stderr: &str) -> Refusal {
        let status = ExitStatus::from_raw(status << 8);
        Refusal::of(&Output { status, stdout: Vec::new(), stderr: stderr.into() })
    }

    #[test]
    fn what_has_ended_is_known_by_slurms_codes() {
        // ESLURM_ALREADY_DONE and ESLURM_INVALID_JOB_ID, of which scancel says nothing.
        assert!(refusal(229, "").is_gone());
        assert!(refusal(225, "").is_gone());
        assert_eq!(refusal(229, "").said, "exit status: 229");
        for status in [1, 2, 210, 227, 228, 230] {
            assert!(!refusal(status, "").is_gone(), "{status}");
        }
    }

    #[test]
    fn words_count_before_the_code_and_all_of_them() {
        let gone = "scancel: error: Kill job error on job id 7_1: Job/step already completing or \
                    completed\n";
        let unknown = "scancel: error: Invalid job id 4000000\n";
        let denied = "scancel: error: Kill job error on job id 8: Access/permission denied\n";
        assert!(refusal(229, gone).is_gone());
        assert!(refusal(1, unknown).is_gone());
        assert!(refusal(1, "slurm_load_jobs error: Invalid job id specified\n").is_gone());
        assert!(refusal(229, &format!("{gone}{unknown}")).is_gone());
        // The greatest error is that of the job that has ended; the other's was not ended.
        assert!(!refusal(229, &format!("{gone}{denied}")).is_gone());
        let away = "scancel: error: slurm_kill_job2: Unable to contact slurm controller\n";
        assert!(!refusal(1, away).is_gone());
    }

    #[test]
    fn a_long_refusal_is_cut() {
        assert_eq!(refusal(1, &"é".repeat(MAX_REASON * 2)).said.chars().count(), MAX_REASON);
    }
}
