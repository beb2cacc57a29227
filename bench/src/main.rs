//! `make bench`: measures Hearth and its peers in turn, prints tables, writes
//! `target/bench/report.json`. Figures of different runs don't compare; ratios of one run do.

mod cases;
mod children;
mod measure;
mod peers;
mod pki;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures Hearth beside its peers.
#[derive(Parser)]
struct Args {
    /// Only cases whose name starts with this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench/report.json")]
    report: PathBuf,
    /// Fewer samples: to see that it works, not to compare.
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    serve: Option<Serve>,
}

#[derive(Subcommand)]
enum Serve {
    /// Runs one peer's server until standard input closes; prints its address.
    #[command(hide = true)]
    Serve {
        /// Which peer.
        #[arg(value_enum)]
        peer: PeerKind,
        /// The certificates' folder.
        #[arg(long)]
        pki: PathBuf,
        /// The registry's folder.
        #[arg(long)]
        registry: PathBuf,
        /// The worker's name.
        #[arg(long)]
        id: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum PeerKind {
    Hearth,
    Quinn,
    Tcp,
    /// The demo model alone, loaded and warm: its "address" is its resident memory.
    Model,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Fails only when it is set already, to the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.serve {
            None => cases::run(&args.only, args.quick, &args.report).await,
            Some(Serve::Serve { peer, pki, registry, id }) => {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                match peer {
                    PeerKind::Hearth => peers::hearth::serve(&pki, &registry, &id).await,
                    PeerKind::Quinn => peers::bare_quic::serve(&pki, any).await,
                    PeerKind::Tcp => peers::tcp::serve(any).await,
                    PeerKind::Model => peers::model::serve().await,
                }
            }
        }
    })
}
