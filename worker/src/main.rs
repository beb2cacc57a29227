//! `hearth-worker`: reads its config, runs the worker, says with its exit status how it went.

mod allocator;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hearth_base::failure::{fail, fail_with};
use hearth_base::task::OwnedTask;
use hearth_daemon::lifecycle::{EndRequests, ReloadRequests};
use hearth_fabric::identity::CurrentIdentity;
use hearth_telemetry::log;
use hearth_worker::{Config, Error, Overrides, Worker, owner};
use tokio_util::sync::CancellationToken;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (protocol hearth/1.2)");

/// Keeps diffusion models warm and serves them over QUIC.
///
/// Every key of the config can be set in the environment too, as in HEARTH_WORKER__LISTEN
/// (section, two underscores, key). Exit status: 0 ended in good order, 1 failed,
/// 2 usage or configuration, 3 hung: a run of a graph took longer than worker.step_timeout.
#[derive(Parser)]
#[command(name = "hearth-worker", version = VERSION)]
struct Args {
    /// The config file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the config and end.
    #[arg(long)]
    check_config: bool,
    /// The worker's stable name.
    #[arg(long)]
    id: Option<String>,
    /// auto, or a number.
    #[arg(long)]
    rank: Option<String>,
    /// cpu or cuda:I.
    #[arg(long)]
    device: Option<String>,
    /// UDP address; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where to announce: etcd://…, etcds://…, dir:PATH or static:….
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Folder of ca.crt, tls.crt and tls.key.
    #[arg(long, value_name = "DIR")]
    pki: Option<String>,
    /// Folder of what must survive a restart.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// TCP address of /live, /ready and /metrics; off for none.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// A model to serve; may be given several times.
    #[arg(long = "model", value_name = "NAME=DIR")]
    models: Vec<String>,
    /// The engine that the worker belongs to, by the name in its certificate.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Time that the worker outlives its owner's registry key and connection.
    #[arg(long, value_name = "DUR")]
    owner_grace: Option<String>,
    /// End when standard input is closed, for a program that owns this worker: drained, or at once
    /// with --lifeline=now.
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "drain"
    )]
    lifeline: Option<Lifeline>,
}

/// How a worker ends when its owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Lifeline {
    /// What it has accepted is finished first.
    Drain,
    /// At once.
    Now,
}

impl Args {
    fn read(&self) -> anyhow::Result<Config> {
        let overrides = self.overrides().map_err(anyhow::Error::msg)?;
        Ok(Config::load(self.config.as_deref(), &overrides)?)
    }

    fn overrides(&self) -> Result<Overrides, String> {
        let mut overrides = Overrides::default();
        let worker = [
            ("id", &self.id),
            ("rank", &self.rank),
            ("device", &self.device),
            ("listen", &self.listen),
            ("state_dir", &self.state_dir),
            ("owner", &self.owner),
            ("owner_grace", &self.owner_grace),
        ];
        for (key, value) in worker {
            overrides.worker.extend(value.clone().map(|value| (key, value)));
        }
        overrides.registry.extend(self.registry.clone().map(|url| ("url", url)));
        overrides.http.extend(self.http.clone().map(|addr| ("listen", addr)));
        overrides.tls.extend(self.pki.clone().map(|dir| ("dir", dir)));
        for model in &self.models {
            let (name, dir) = model.split_once('=').ok_or_else(|| {
                format!("--model {model:?}: give NAME=DIR, as in emoji=models/emoji")
            })?;
            let section = overrides.models.entry(name.to_owned()).or_default();
            section.insert("path", dir.to_owned());
        }
        Ok(overrides)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    allocator::configure();
    let config = match args.read() {
        Ok(config) => config,
        Err(error) => return fail(error.as_ref(), true),
    };
    if args.check_config {
        return ExitCode::SUCCESS;
    }
    let recent = log::Recent::default();
    let log = match log::init_daemon(&config.log, Some(recent.clone())) {
        Ok(log) => log,
        Err(error) => return fail(&error, true),
    };
    // ring, named once for the process: a second TLS provider would make rustls guess.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match hearth_worker::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, false),
    };
    let ended = runtime.block_on(run(config, args, log.clone(), recent));
    // Neither a hung device nor a read of standard input may keep the process.
    runtime.shutdown_background();
    log.flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail_with(&error, error.exit_status()),
    }
}

async fn run(
    config: Config,
    args: Args,
    log: log::Handle,
    recent: log::Recent,
) -> Result<(), Error> {
    let (stop, now) = (CancellationToken::new(), CancellationToken::new());
    let worker = Worker::bind(config).await?;
    worker.serve_log(recent);
    let watchdog = {
        let log = log.clone();
        worker.watchdog().start(move || log.flush())
    };
    watchdog.map_err(Error::system)?;
    if args.lifeline == Some(Lifeline::Now) {
        let log = log.clone();
        owner::end_with_standard_input(stop.clone(), now.clone(), move || log.flush())
            .map_err(Error::system)?;
    }
    let lifeline = args.lifeline == Some(Lifeline::Drain);
    let signals = {
        let requests = EndRequests::listen(lifeline).map_err(Error::system)?;
        let (stop, now) = (stop.clone(), now.clone());
        OwnedTask::spawn("signals", move |_| obey_signals(requests, stop, now))
    };
    let reloads = {
        let requests = ReloadRequests::listen().map_err(Error::system)?;
        let identity = worker.identity();
        let reload = move || reload(&args, &log, &identity).map(Some);
        OwnedTask::spawn("reloads", move |_| requests.serve(reload))
    };
    let ended = worker.run(stop, now).await;
    drop((signals, reloads));
    ended
}

/// Takes up the certificate and the log level anew; the rest of the config waits for the next start.
fn reload(args: &Args, log: &log::Handle, identity: &CurrentIdentity) -> anyhow::Result<String> {
    let config = args.read()?;
    log.set_level(&config.log.level)?;
    Ok(identity.reload(&config.tls.dir)?.fingerprint())
}

/// The first request drains, the second ends at once.
async fn obey_signals(mut requests: EndRequests, stop: CancellationToken, now: CancellationToken) {
    requests.next().await;
    stop.cancel();
    requests.next().await;
    now.cancel();
}
