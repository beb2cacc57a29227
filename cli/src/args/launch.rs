//! `hearth launch` and `hearth replicas`: what is typed.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use hearth_engine::config::Size;
use hearth_launchers::{Gpus, Handle, InvalidHandle, LaunchId, RANK_VARIABLE};

use super::values::positive_duration;

const WHERE: &str = "Where they may run";
const LIMITS: &str = "What each may use";

#[derive(Debug, Args)]
#[command(after_help = LAUNCH_HELP)]
pub(crate) struct LaunchArgs {
    /// Engine that starts them: process, systemd, slurm, kubernetes or command
    #[arg(long, value_name = "NAME", default_value = "process")]
    pub(crate) launcher: String,
    /// Replicas; their ranks are 0 to N-1
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) replicas: u32,
    /// What the launch is called in lists [default: workers, or the program's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Start this program, and not hearth-worker
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<PathBuf>,
    /// Variable of each; {rank}, {files} and {folder} are replaced in its value, as in arguments
    #[arg(long = "env", value_name = "K=V", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Variable that tells each its rank
    #[arg(long, value_name = "NAME", default_value = RANK_VARIABLE)]
    pub(crate) rank_variable: String,
    /// Where they run [default: here; with kubernetes the image's own, with command its choice]
    #[arg(long, value_name = "DIR")]
    pub(crate) working_dir: Option<PathBuf>,
    /// Time that each may run [default: no limit]
    #[arg(long, value_name = "DUR", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Time between being asked to end and being killed
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = positive_duration)]
    pub(crate) grace: Duration,
    /// Graphics cards: N for so many each, TYPE[:N] for those of a type (slurm, kubernetes), or
    /// device=ID,… dealt out by rank
    #[arg(long, value_name = "SPEC", help_heading = LIMITS)]
    pub(crate) gpu: Option<GpuSpec>,
    /// Cores, as in 2 or 0.5
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(crate) cpus: Option<f64>,
    /// Memory, as in 8GiB
    #[arg(long, value_name = "SIZE", value_parser = Size::parse, help_heading = LIMITS)]
    pub(crate) memory: Option<Size>,
    /// Slurm's partition, Kubernetes' namespace, systemd's manager (user, system)
    #[arg(long, value_name = "NAME", help_heading = WHERE)]
    pub(crate) pool: Option<String>,
    /// Host that they may run on; may be given several times
    #[arg(long = "host", value_name = "HOST", help_heading = WHERE)]
    pub(crate) hosts: Vec<String>,
    /// Label that hosts must have (with Slurm a feature, K alone); may be given several times
    #[arg(long = "label", value_name = "K[=V]", value_parser = label, help_heading = WHERE)]
    pub(crate) labels: Vec<(String, String)>,
    /// Container image, with kubernetes
    #[arg(long, value_name = "IMAGE", help_heading = WHERE)]
    pub(crate) image: Option<String>,
    /// Folder with the ca.key that issues the workers' certificates [default: the --pki folder, the
    /// one above, or authority beside it]
    #[arg(long, value_name = "DIR")]
    pub(crate) authority: Option<PathBuf>,
    /// Folder with the programs launch, poll, logs, cancel and collect, with command [default: as
    /// [launcher.command] of hearth.toml says]
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// hearth-worker's flags, or the entrypoint's arguments
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

const LAUNCH_HELP: &str = "\
Workers join the fleet of this context: they take free ranks, listen on free ports, and get a
certificate each. Without --model or --config they serve the bundled emoji model.

A program leaves its result, JSON, in the file that REPLICA_RESULT names; hearth replicas collect
prints it. Launches that ended more than a week ago are forgotten at the next launch.";

/// Where launches are remembered.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StateArgs {
    /// Folder that remembers launches [env: HEARTH_STATE_DIR] [default:
    /// $XDG_STATE_HOME/hearth/replicas]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicasCommand {
    /// Show the launches that are remembered
    List {
        #[command(flatten)]
        state: StateArgs,
    },
    /// Show where replicas are; all that are remembered when none is named
    Poll {
        /// LAUNCHER/LAUNCH/RANK, or LAUNCHER/LAUNCH for all ranks
        #[arg(value_name = "HANDLE")]
        targets: Vec<Target>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Print what replicas have written
    Logs {
        /// LAUNCHER/LAUNCH/RANK, or LAUNCHER/LAUNCH for all ranks
        #[arg(value_name = "HANDLE", required = true)]
        targets: Vec<Target>,
        /// Only the last so many lines of each
        #[arg(short = 'n', long, value_name = "LINES")]
        lines: Option<usize>,
        /// Go on with new lines until they end, or Ctrl-C
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        state: StateArgs,
    },
    /// End replicas: ask first, kill after the launch's grace
    Cancel {
        /// LAUNCHER/LAUNCH/RANK, or LAUNCHER/LAUNCH for all ranks
        #[arg(value_name = "HANDLE", required = true)]
        targets: Vec<Target>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Wait for replicas to end, and print how; exit status 1 unless all succeeded
    Collect {
        /// LAUNCHER/LAUNCH/RANK, or LAUNCHER/LAUNCH for all ranks
        #[arg(value_name = "HANDLE", required = true)]
        targets: Vec<Target>,
        /// Time that it may take; they go on when it is over [default: no limit]
        #[arg(long, value_name = "DUR", value_parser = positive_duration)]
        timeout: Option<Duration>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Forget launches that have ended, with their logs and results
    Forget {
        /// LAUNCHER/LAUNCH
        #[arg(value_name = "LAUNCH", required_unless_present = "ended", conflicts_with = "ended")]
        targets: Vec<Target>,
        /// All that have ended
        #[arg(long)]
        ended: bool,
        #[command(flatten)]
        state: StateArgs,
    },
}

impl ReplicasCommand {
    pub(crate) fn state(&self) -> &StateArgs {
        match self {
            Self::List { state }
            | Self::Poll { state, .. }
            | Self::Logs { state, .. }
            | Self::Cancel { state, .. }
            | Self::Collect { state, .. }
            | Self::Forget { state, .. } => state,
        }
    }
}

/// One replica, or all of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Replica(Handle),
    /// The launcher, where it is said, and the launch.
    Launch(Option<String>, LaunchId),
}

impl FromStr for Target {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, InvalidHandle> {
        let unfit = |_| InvalidHandle { text: text.to_owned() };
        match text.split('/').collect::<Vec<_>>()[..] {
            [launch] => Ok(Self::Launch(None, launch.parse().map_err(unfit)?)),
            [launcher, launch] => {
                let launch = launch.parse().map_err(unfit)?;
                Ok(Self::Launch(Some(launcher.to_owned()), launch))
            }
            _ => text.parse().map(Self::Replica),
        }
    }
}

/// `2`, `A100:2`, or `device=0,1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GpuSpec(pub(crate) Gpus);

impl FromStr for GpuSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text
            .strip_prefix("device=")
            .map(|ids| ids.split(',').map(|id| id.trim().to_owned()).collect::<Vec<_>>());
        let typed = || text.parse().map(Gpus::Typed).ok();
        let cards = match named {
            Some(ids) if ids.iter().any(String::is_empty) => None,
            Some(ids) => Some(Gpus::Devices(ids)),
            None => text.parse().map(Gpus::Count).ok().or_else(typed),
        };
        cards.map(Self).ok_or_else(|| {
            "give N for so many each, a type as in A100 or H100:2, or device=ID,… as in device=0,1"
                .to_owned()
        })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".to_owned()),
    }
}

/// `K=V`, or `K` with an empty value.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    match key.is_empty() {
        true => Err("give NAME, or NAME=VALUE".to_owned()),
        false => Ok((key.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_replica_or_a_launch() {
        let parse = |text: &str| text.parse::<Target>();
        assert!(matches!(parse("process/a-1f/2").unwrap(), Target::Replica(h) if h.rank == 2));
        assert!(matches!(parse("slurm/a-1f").unwrap(), Target::Launch(Some(l), _) if l == "slurm"));
        assert!(matches!(parse("a-1f").unwrap(), Target::Launch(None, _)));
        for bad in ["", "a/b/c", "a/../0", "a/b/1/2", "process/"] {
            assert!(parse(bad).unwrap_err().to_string().contains("LAUNCH/RANK"), "{bad}");
        }
    }

    #[test]
    fn cards_are_counted_or_named() {
        let parse = |text: &str| text.parse::<GpuSpec>().map(|spec| spec.0);
        assert_eq!(parse("2"), Ok(Gpus::Count(2)));
        let named = ["0".to_owned(), "GPU-1f".to_owned()].to_vec();
        assert_eq!(parse("device=0,GPU-1f"), Ok(Gpus::Devices(named)));
        assert_eq!(parse("H100:2"), Ok(Gpus::Typed("H100:2".parse().unwrap())));
        for bad in ["", "-1", "device=", "device=0,,1", "0,1", "all", "A100:0"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(pair("=x").is_err() && pair("x").is_err());
        assert_eq!(pair("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(label("a100"), Ok(("a100".to_owned(), String::new())));
        assert_eq!(label("card=h200"), Ok(("card".to_owned(), "h200".to_owned())));
        assert!(label("").is_err() && label("=x").is_err());
    }
}
