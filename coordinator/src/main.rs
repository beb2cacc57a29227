//! `hearth-coordinator`: reads its config, runs the coordinator, says with its exit status how it
//! went.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use hearth_base::failure::fail;
use hearth_base::task::OwnedTask;
use hearth_coordinator::app;
use hearth_coordinator::config::Config;
use hearth_daemon::lifecycle::{EndRequests, ReloadRequests};
use hearth_engine::{Backends, executors};
use hearth_fabric::identity::{CurrentIdentity, Identity};
use hearth_telemetry::log;
use tokio_util::sync::CancellationToken;

/// Connects to a fleet's workers, or starts its own, and keeps watch over them.
///
/// With the executor `external`, which is the default, ending it disconnects and changes nothing;
/// with `mp` and `launched` the workers that it started end with it. Every key of the config can be
/// set in the environment too, as in HEARTH_HTTP__LISTEN (section, two underscores, key). Exit
/// status: 0 ended in good order, 1 failed, 2 usage or configuration.
#[derive(Parser)]
#[command(name = "hearth-coordinator", version = app::VERSION)]
struct Args {
    /// The config file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the config and end.
    #[arg(long)]
    check_config: bool,
    /// End when standard input is closed: for a program that owns this coordinator.
    #[arg(long)]
    lifeline: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let backends = Arc::new(Backends::builtin());
    let config = match Config::load(args.config.as_deref(), &backends) {
        Ok(config) => config,
        Err(error) => return fail(&error, true),
    };
    if args.check_config {
        return ExitCode::SUCCESS;
    }
    let log = match log::init_daemon(&config.log, None) {
        Ok(log) => log,
        Err(error) => return fail(&error, true),
    };
    // ring, named once for the process: a second TLS provider would make rustls guess.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error, false),
        };
    let ended = runtime.block_on(run(&config, backends, args, log.clone()));
    // A read of standard input may not keep the process.
    runtime.shutdown_background();
    log.flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let configuration = error.is_configuration();
            fail(&error, configuration)
        }
    }
}

async fn run(
    config: &Config,
    backends: Arc<Backends>,
    args: Args,
    log: log::Handle,
) -> Result<(), app::Error> {
    let identity = match config.engine.tls_dir() {
        Some(dir) => {
            Some(CurrentIdentity::from(Identity::load(&dir).map_err(executors::Error::from)?))
        }
        None => None,
    };
    let lifeline = args.lifeline;
    let reloads = {
        let (identity, backends) = (identity.clone(), Arc::clone(&backends));
        OwnedTask::spawn("reloads", move |_| async move {
            match ReloadRequests::listen() {
                Ok(requests) => {
                    requests.serve(move || reload(&args, &backends, &log, identity.as_ref())).await;
                }
                Err(error) => tracing::error!(%error, "SIGHUP can't be listened to"),
            }
        })
    };
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let signals = OwnedTask::spawn("signals", move |_| async move {
        match EndRequests::listen(lifeline) {
            Ok(mut requests) => {
                requests.next().await;
                stopping.cancel();
            }
            Err(error) => tracing::error!(%error, "signals can't be listened to"),
        }
    });
    let ended = app::run(config, &backends, identity, stop).await;
    drop((signals, reloads));
    ended
}

/// Takes up the certificate and the log level anew; the rest of the config waits for the next start.
fn reload(
    args: &Args,
    backends: &Backends,
    log: &log::Handle,
    identity: Option<&CurrentIdentity>,
) -> anyhow::Result<Option<String>> {
    let config = Config::load(args.config.as_deref(), backends)?;
    log.set_level(&config.log.level)?;
    Ok(match (identity, config.engine.tls_dir()) {
        (Some(identity), Some(dir)) => Some(identity.reload(&dir)?.fingerprint()),
        (None, _) | (_, None) => None,
    })
}
