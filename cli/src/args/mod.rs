//! The command line as it is typed: names, help and what clap can check by itself.
//!
//! The environment is not read here: `main` collects it, and [`crate::context`] weighs it against
//! the flags.

mod details;
mod fleet;
mod generate;
mod launch;
mod values;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use hearth_api::RequestId;
use hearth_launchers::shim::Stage;
use hearth_protocol::role::Role;
use hearth_protocol::version::{ALPN, MINOR};

pub(crate) use details::DetailArgs;
pub(crate) use fleet::{
    AttachArgs, LoadArgs, LogsArgs, OperateArgs, RpcArgs, SleepArgs, TensorFile, UnloadArgs,
};
pub(crate) use generate::GenerateArgs;
pub(crate) use launch::{LaunchArgs, ReplicasCommand, StateArgs, Target};
pub(crate) use values::{Http, ModelSource, Numbers, Size};

use values::{device, positive_duration};

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let major = String::from_utf8_lossy(ALPN);
    format!("{} (protocol {major}, minor {MINOR})", env!("CARGO_PKG_VERSION"))
});

const FLEET: &str = "Which fleet";

/// Keeps diffusion models warm, and asks them for pictures.
#[derive(Debug, Parser)]
#[command(name = "hearth", version = VERSION.as_str(), after_help = EXIT_HELP)]
#[command(infer_long_args = false, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_HELP: &str = "\
Exit status: 0 done, 1 failed (also in part: what came is kept), 2 usage or configuration,
3 no worker available, 4 deadline passed, 5 not permitted, 130 interrupted.";

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Registry: etcd://HOST:PORT[,…]/GROUP, etcds://…, dir:PATH or static:HOST:PORT[,…]
    /// [env: HEARTH_REGISTRY]
    #[arg(long, global = true, value_name = "URL", help_heading = FLEET)]
    pub(crate) registry: Option<String>,
    /// Folder with ca.crt, tls.crt and tls.key of a coordinator or admin [env: HEARTH_PKI]
    #[arg(long, global = true, value_name = "DIR", help_heading = FLEET)]
    pub(crate) pki: Option<PathBuf>,
    /// Named context of hearth.toml or config.toml [env: HEARTH_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", help_heading = FLEET)]
    pub(crate) context: Option<String>,
    /// Authorities (PEM) that etcds:// is checked against [env: HEARTH_ETCD_CACERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = FLEET)]
    pub(crate) etcd_cacert: Option<PathBuf>,
    /// Client certificate (PEM) for etcds:// [env: HEARTH_ETCD_CERT]
    #[arg(long, global = true, value_name = "FILE", help_heading = FLEET)]
    pub(crate) etcd_cert: Option<PathBuf>,
    /// Its key (PEM) [env: HEARTH_ETCD_KEY]
    #[arg(long, global = true, value_name = "FILE", help_heading = FLEET)]
    pub(crate) etcd_key: Option<PathBuf>,
    /// etcd user; the password comes from the file in HEARTH_ETCD_PASSWORD_FILE, or from
    /// HEARTH_ETCD_PASSWORD [env: HEARTH_ETCD_USER]
    #[arg(long, global = true, value_name = "NAME", help_heading = FLEET)]
    pub(crate) etcd_user: Option<String>,
    /// Where `hearth up` keeps its files [env: HEARTH_RUNTIME_DIR]
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// No context lines and no progress, only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Log what happens; -vv and -vvv say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

impl Global {
    /// The flags given that choose a fleet, as typed.
    pub(crate) fn fleet_flags(&self) -> Vec<&'static str> {
        let given = [
            ("--registry", self.registry.is_some()),
            ("--pki", self.pki.is_some()),
            ("--context", self.context.is_some()),
            ("--etcd-cacert", self.etcd_cacert.is_some()),
            ("--etcd-cert", self.etcd_cert.is_some()),
            ("--etcd-key", self.etcd_key.is_some()),
            ("--etcd-user", self.etcd_user.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring a fleet up on this host; Ctrl-C ends it
    Up(UpArgs),
    /// Make pictures from a prompt
    Generate(Box<GenerateArgs>),
    /// Show who is there
    Workers(WorkersArgs),
    /// Show what can be asked for
    Models {
        /// Show instead what --scheduler takes: each name with its class and config
        #[arg(long)]
        schedulers: bool,
    },
    /// A model folder on this machine: what it can do, whether it is whole
    #[command(subcommand)]
    Model(ModelCommand),
    /// Ask every worker whether it can serve; exit status 1 if one can't
    Health(HealthArgs),
    /// Call a method on the workers; a row per rank
    Rpc(RpcArgs),
    /// Print what workers have logged lately, without a shell on their hosts
    Logs(LogsArgs),
    /// Show requests that run, wait or ended lately
    Requests,
    /// Take a request up again: what its workers make or have kept of it
    Attach(Box<AttachArgs>),
    /// Cancel a request, with all its parts
    Cancel(CancelArgs),
    /// Let workers finish what they have and take nothing new
    Drain(OperateArgs),
    /// Let drained workers take requests again
    Resume(OperateArgs),
    /// Give the models' memory back until the workers are woken
    Sleep(SleepArgs),
    /// Wake sleeping workers up
    Wake(OperateArgs),
    /// Load a model on running workers
    Load(LoadArgs),
    /// Take a model out of running workers' memory
    Unload(UnloadArgs),
    /// Check this machine, and say what to do
    Doctor,
    /// Start workers, or any program, on this host, by systemd, Slurm, Kubernetes or programs of yours
    Launch(Box<LaunchArgs>),
    /// What was launched: where it is, what it says, how it ended
    #[command(subcommand)]
    Replicas(ReplicasCommand),
    /// Watch over one replica; launchers start it
    #[command(hide = true)]
    ReplicaShim(ShimArgs),
    /// Certificates of a cluster
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, or write all of them into a folder
    Man {
        /// Folder for hearth.1, hearth-generate.1 …
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Workers
    #[arg(short = 'n', long = "workers", value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,
    /// Model folder, under its own or another name; may be given several times
    /// [default: the bundled emoji model]
    #[arg(long = "model", value_name = "[NAME=]DIR")]
    pub(crate) models: Vec<ModelSource>,
    /// Where models run: cpu or cuda:I
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub(crate) device: String,
    /// The coordinator's address, or off for none
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:8000")]
    pub(crate) http: Http,
}

#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    /// Keep showing, until Ctrl-C
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Time that the answers may take
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = positive_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The request's id, as `hearth requests` shows it
    pub(crate) id: RequestId,
}

#[derive(Debug, Args)]
pub(crate) struct ShimArgs {
    /// The replica's folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: PathBuf,
    /// Which of its processes this is
    #[arg(long, default_value = "shim")]
    #[arg(value_parser = |text: &str| text.parse::<Stage>())]
    pub(crate) stage: Stage,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Show what a folder can do and all that is wrong with it; exit status 1 if workers would
    /// refuse it
    Inspect {
        /// The model's folder
        dir: PathBuf,
        /// Where it would run: cpu or cuda:I
        #[arg(long, default_value = "cpu", value_parser = device)]
        device: String,
        /// Folder that its files may be links into; may be given several times
        #[arg(long, value_name = "DIR")]
        allow_links_to: Vec<PathBuf>,
    },
    /// Write manifest.json: length and SHA-256 of every file
    Manifest {
        /// The model's folder
        dir: PathBuf,
        /// Replace the one that is there
        #[arg(long)]
        force: bool,
    },
    /// Compare a folder with its manifest.json; exit status 1 if a file differs, is missing or isn't
    /// listed
    Verify {
        /// The model's folder
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make a certificate authority
    Init {
        /// Folder for ca.crt and ca.key
        #[arg(long, value_name = "DIR", default_value = "pki")]
        dir: PathBuf,
        /// The cluster that it issues for
        #[arg(long, value_name = "NAME", default_value = "hearth")]
        cluster: String,
        /// Days that it is valid
        #[arg(long, value_name = "N", default_value_t = 3650)]
        days: u32,
    },
    /// Issue certificates, one per name
    Issue {
        /// worker, coordinator or admin
        #[arg(long)]
        role: Role,
        /// Names; a worker's is its id
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// The authority's folder
        #[arg(long, value_name = "AUTHORITY", default_value = "pki")]
        dir: PathBuf,
        /// Folder for ca.crt, tls.crt and tls.key; with several names, or when it is not given,
        /// they go into a folder <ROLE>-<NAME> in it
        #[arg(long, value_name = "OUT")]
        out: Option<PathBuf>,
        /// Days that they are valid
        #[arg(long, value_name = "N", default_value_t = 365)]
        days: u32,
        /// Further host name or address to write into the certificates
        #[arg(long = "san", value_name = "HOST|IP")]
        sans: Vec<String>,
    },
    /// Issue the certificates in folders anew, with the same names and keys
    ///
    /// A worker or coordinator that runs takes its own up within seconds. For another key, issue
    /// another certificate.
    Renew {
        /// Folders of ca.crt, tls.crt and tls.key
        #[arg(value_name = "FOLDER", required = true)]
        folders: Vec<PathBuf>,
        /// The authority's folder
        #[arg(long, value_name = "AUTHORITY", default_value = "pki")]
        dir: PathBuf,
        /// Days that they are valid
        #[arg(long, value_name = "N", default_value_t = 365)]
        days: u32,
    },
    /// Revoke certificates: the authority's ca.crl lists them from then on
    ///
    /// The list belongs beside each ca.crt: processes that run take it up within seconds, and close the
    /// connections of whom it names.
    Revoke {
        /// Certificates, or folders of one
        #[arg(value_name = "FOLDER|FILE", required = true)]
        certificates: Vec<PathBuf>,
        /// The authority's folder
        #[arg(long, value_name = "AUTHORITY", default_value = "pki")]
        dir: PathBuf,
        /// Folder of a ca.crt that the list is copied into as well; may be given several times
        #[arg(long = "to", value_name = "FOLDER")]
        to: Vec<PathBuf>,
    },
    /// Show what certificates say
    Show {
        /// A certificate's file or a folder of certificates
        #[arg(value_name = "DIR|FILE", default_value = "pki")]
        path: PathBuf,
    },
}

/// The parser itself, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"hearth").chain(words))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_and_after_the_command() {
        for words in [["--json", "-q", "workers"], ["workers", "--json", "-q"]] {
            let cli = parse(&words).unwrap();
            assert!(cli.global.json && cli.global.quiet);
        }
        assert!(parse(&["-q", "-v", "workers"]).is_err());
    }

    #[test]
    fn the_given_fleet_flags_are_named() {
        let cli = parse(&["up", "--pki", "p", "--registry", "dir:x"]).unwrap();
        assert_eq!(cli.global.fleet_flags(), ["--registry", "--pki"]);
    }

    #[test]
    fn another_executors_name_for_whose_answer_counts_is_taken() {
        for flag in ["--reply-rank", "--unique-reply-rank"] {
            let Command::Rpc(args) = parse(&["rpc", "stats", flag, "1"]).unwrap().command else {
                unreachable!("it says rpc");
            };
            assert_eq!(args.reply_rank, Some(1));
        }
    }

    #[test]
    fn workers_are_named_or_all_meant() {
        assert!(parse(&["drain"]).is_err());
        assert!(parse(&["drain", "--all", "w0"]).is_err());
        assert!(parse(&["drain", "a/b"]).is_err());
        let Command::Drain(args) = parse(&["drain", "w0", "w1", "--wait"]).unwrap().command else {
            unreachable!("it says drain");
        };
        assert_eq!(args.workers.len(), 2);
        assert!(args.wait && !args.all);
    }

    #[test]
    fn bounds_of_up() {
        for bad in [&["up", "-n", "0"][..], &["up", "--device", "gpu"], &["up", "--http", "8000"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let Command::Up(args) = parse(&["up", "-n", "3", "--http", "off"]).unwrap().command else {
            unreachable!("it says up");
        };
        assert_eq!((args.workers, args.http), (3, Http::Off));
    }
}
