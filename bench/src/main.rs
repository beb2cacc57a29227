//! `make bench`: measures Hearth and its peers in turn, prints tables, writes
//! `target/bench/report.json`. Figures of different runs don't compare; ratios of one run do.

mod cases;
mod children;
mod measure;
mod peers;
mod pki;
mod python;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::task::JoinSet;

use children::Site;
use python::Peers;

/// Measures Hearth beside its peers.
#[derive(Parser)]
struct Command {
    /// Only cases whose name starts with this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench/report.json")]
    report: PathBuf,
    /// Fewer samples: to see that it works, not to compare.
    #[arg(long)]
    quick: bool,
    /// Peers in Python beside it: 1 for all, or some of ray,grpc_mtls,optimum. Installs them into
    /// target/bench/peers, unless the interpreter BENCH_PYTHON has them.
    #[arg(long, env = "BENCH_PEERS", default_value = "")]
    peers: String,
    #[command(subcommand)]
    serve: Option<Internal>,
}

#[derive(Subcommand)]
enum Internal {
    /// Runs one of the bench's own processes until standard input closes; it says what it has to
    /// say line by line.
    #[command(hide = true)]
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    #[arg(value_enum)]
    what: What,
    /// The folder of certificates, configs and state.
    #[arg(long)]
    dir: PathBuf,
    /// The registry's URL.
    #[arg(long)]
    registry: String,
    /// The worker's name.
    #[arg(long)]
    id: String,
    /// How many workers.
    #[arg(long)]
    workers: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// One worker: its "address" is its name.
    Hearth,
    /// Many workers in this process.
    Fleet,
    /// A coordinator that says when all workers are healthy.
    Connect,
    /// A coordinator that says what it holds in memory, without workers and with all of them.
    Memory,
    /// Bare quinn.
    Quinn,
    /// Plain TCP.
    Tcp,
    /// The demo model alone, loaded and warm: its "address" is its resident memory.
    Model,
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    // Fails only when it is set already, to the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match &command.serve {
        // One worker, or its bare counterpart, is on threads as the daemon's are.
        Some(Internal::Serve(Serve { what: What::Hearth | What::Quinn | What::Tcp, .. })) => {
            hearth_worker::runtime()
        }
        _ => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
    }?;
    runtime.block_on(async {
        match command.serve {
            None => {
                let peers = Peers::parse(&command.peers)?;
                // Calls come from tasks of the runtime, as a daemon's do, and not from a thread that
                // is woken by it.
                let mut task = JoinSet::new();
                task.spawn(async move {
                    cases::run(&command.only, command.quick, peers, &command.report).await
                });
                task.join_next().await.context("the cases are a task")??
            }
            Some(Internal::Serve(serve)) => serve.run().await,
        }
    })
}

impl Serve {
    async fn run(self) -> anyhow::Result<()> {
        let Self { what, dir, registry, id, workers } = self;
        let place = Site { dir, registry };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        match what {
            What::Hearth => peers::hearth::serve(&place, vec![id]).await,
            What::Fleet => peers::hearth::serve(&place, pki::worker_ids(workers).collect()).await,
            What::Connect => peers::coordinator::connect(&place, workers).await,
            What::Memory => peers::coordinator::memory(&place, workers).await,
            What::Quinn => peers::bare_quic::serve(&place.dir, any).await,
            What::Tcp => peers::tcp::serve(any).await,
            What::Model => peers::model::serve().await,
        }
    }
}
