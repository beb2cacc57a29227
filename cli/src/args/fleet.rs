//! Commands to running workers: what they take.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use hearth_api::{RequestId, WorkerId};

use super::values::positive_duration;

#[derive(Debug, Args)]
pub(crate) struct RpcArgs {
    /// get_rank, check_health, stats, list_models, list_requests, logs, generate, attach, infer,
    /// cancel, drain, resume, sleep, wake_up, load_model, unload_model, profile, shutdown, or a method
    /// that the workers' program registered
    pub(crate) method: String,
    /// Arguments, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) args: String,
    /// A tensor to send along, such as an input of infer; may be given several times
    #[arg(long = "tensor", value_name = "NAME=FILE.npy")]
    pub(crate) tensors: Vec<TensorFile>,
    /// Folder for what comes back beside the value: tensors as .npy, other files as they are
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Only this rank runs it
    #[arg(long, value_name = "R")]
    pub(crate) rank: Option<u32>,
    /// All run it, only this rank's answer is returned
    #[arg(long, value_name = "R", alias = "unique-reply-rank")]
    pub(crate) reply_rank: Option<u32>,
    /// Time that the answers may take
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Whose lines; of several, each line has its worker's name before it
    #[arg(value_name = "WORKER", required = true)]
    pub(crate) workers: Vec<WorkerId>,
    /// Only the last so many lines of each; a worker keeps 4096
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub(crate) lines: u32,
    /// Go on with new lines, also when the worker is started anew, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// A tensor's name and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl FromStr for TensorFile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("give NAME=FILE.npy, as in input_ids=ids.npy".to_owned()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct OperateArgs {
    /// Which workers
    #[arg(value_name = "WORKER", required_unless_present_any = ["all", "host"])]
    #[arg(conflicts_with_all = ["all", "host"])]
    pub(crate) workers: Vec<WorkerId>,
    /// The workers of one host, by its name or address
    #[arg(long, value_name = "HOST", conflicts_with = "all")]
    pub(crate) host: Option<String>,
    /// Every worker of the fleet
    #[arg(long)]
    pub(crate) all: bool,
    /// Wait until it is done: drained workers have nothing left, sleeping ones have given their memory
    /// back, resumed and woken ones are ready
    #[arg(long)]
    pub(crate) wait: bool,
    /// Time that it may take
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct SleepArgs {
    #[command(flatten)]
    pub(crate) on: OperateArgs,
    /// 1 gives the models' memory back, 2 the system's cache of their files as well
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) level: u8,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The model's name: a configured one, or a new one with --path
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Only on this worker; may be given several times [default: all]
    #[arg(long = "worker", value_name = "WORKER")]
    pub(crate) workers: Vec<WorkerId>,
    /// The model's folder on the workers' hosts, beneath one of their worker.model_dirs
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<String>,
    /// Another name for it, with --path; may be given several times
    #[arg(long = "alias", value_name = "NAME", requires = "path")]
    pub(crate) aliases: Vec<String>,
    /// Time that it may take
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct UnloadArgs {
    /// The model's name
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Only on this worker; may be given several times [default: all]
    #[arg(long = "worker", value_name = "WORKER")]
    pub(crate) workers: Vec<WorkerId>,
    /// Time that it may take: requests under way are finished first
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The request's id, as `hearth requests` shows it
    pub(crate) id: RequestId,
    /// File or folder for the pictures, - for standard output [default: hearth-<id>-<i>.png]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Time to wait for the pictures, and for a registry that can't be reached; the request goes on
    /// when it is over [default: 10m, none for the registry]
    #[arg(long, value_name = "DUR", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,
}
