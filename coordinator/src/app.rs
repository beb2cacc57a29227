//! The composition root of `hearth-coordinator`: builds the parts, runs them, takes them down in
//! order. It only looks after the fleet; HTTP routes for requests are not here yet.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hearth_base::config;
use hearth_base::task::OwnedTask;
use hearth_daemon::probe::{self, Listen, Probe, Readiness};
use hearth_daemon::systemd;
use hearth_engine::metrics::{CoordinatorMetrics, FleetFigures};
use hearth_engine::{Backends, Engine, FleetView, Start, WorkerStatus, executors};
use hearth_fabric::identity::{self, CurrentIdentity};
use hearth_protocol::version;
use hearth_telemetry::metrics::{BuildInfo, Registry as Metrics};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// What the workers' logs call this program.
const AGENT: &str = concat!("hearth-coordinator/", env!("CARGO_PKG_VERSION"));

/// The program's version, and the protocol's.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (protocol hearth/1.2)");

/// How often systemd's watchdog is fed.
const TICK: Duration = Duration::from_secs(1);

/// What systemd's limit on the start is moved on by at each tick: workers that load, or that wait in
/// a cluster's queue, have limits of their own (`executor.start_timeout`, `executor.wait`).
const EXTENSION: Duration = Duration::from_secs(60);

/// How long the probe may take to end.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Why a coordinator can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The executor.
    #[error("the executor can't start")]
    Executor(#[from] executors::Error),
    /// The end: workers that the coordinator owns are left.
    #[error("{0}")]
    Unended(String),
    /// The probe's TCP socket.
    #[error("http.listen: choose another address, or \"off\"")]
    Probe(#[from] probe::Error),
}

impl Error {
    /// Whether another start with the same config must fail as well.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Executor(error) => error.is_configuration(),
            Self::Probe(_) | Self::Unended(_) => false,
        }
    }
}

/// Runs a coordinator until `stop`. Once `identity` is renewed, it counts for new connections.
///
/// # Errors
/// [`Error`], at the start; [`Error::Unended`] at the end.
pub async fn run(
    config: &Config,
    backends: &Backends,
    identity: Option<CurrentIdentity>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (readiness, watched) = watch::channel(Readiness::NotReady("starting".to_owned()));
    let (counted, metrics) = metrics();
    let probe = start_probe(config.http.listen, watched, counted).await?;
    let start = Start::without_identity(&config.engine, AGENT)
        .identity(identity.clone())
        .stop(stop.clone());
    let backend = &config.engine.executor.backend;
    tracing::info!(version = VERSION, backend, "starts");
    let starting = Engine::start_with(&config.engine, backends, start, Some(metrics.clone()));
    let engine = match extending(starting).await {
        Err(executors::Error::Stopped) => {
            tracing::info!("asked to end while it started");
            return Ok(());
        }
        engine => engine?,
    };
    let registry = engine.fleet().borrow().registry.clone();
    tracing::info!(registry, "started");
    systemd::ready();
    let certificate = follow_certificate(&config.engine, identity.as_ref());
    follow(&engine, &config.engine, identity.as_ref(), &readiness, &metrics, &stop).await;
    drop(certificate);

    tracing::info!("stopping");
    systemd::stopping();
    readiness.send_replace(Readiness::NotReady("stopping".to_owned()));
    engine.close().await;
    if let Some(probe) = probe {
        probe.stop_within(PROBE_LIMIT).await;
    }
    engine.unended().map_or(Ok(()), |left| Err(Error::Unended(left)))
}

/// Waits for a start, and tells systemd meanwhile that it goes on.
async fn extending<T>(starting: impl Future<Output = T>) -> T {
    let mut starting = pin!(starting);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            biased;
            started = &mut starting => return started,
            _ = tick.tick() => systemd::extend_timeout(EXTENSION),
        }
    }
}

/// All metrics of the process, and those that the engine counts.
fn metrics() -> (Metrics, CoordinatorMetrics) {
    let mut metrics = Metrics::new(BuildInfo {
        program: "hearth-coordinator",
        version: env!("CARGO_PKG_VERSION"),
        protocol: format!("1.{}", version::MINOR),
    });
    let counted = CoordinatorMetrics::register(&mut metrics);
    (metrics, counted)
}

async fn start_probe(
    listen: Listen,
    readiness: watch::Receiver<Readiness>,
    metrics: Metrics,
) -> Result<Option<OwnedTask>, Error> {
    let Listen::At(address) = listen else { return Ok(None) };
    let state = probe::State { readiness, metrics: Arc::new(metrics) };
    let probe = Probe::bind(probe::Config::new(address), state).await?;
    tracing::info!(address = %probe.local_addr(), "probe listens");
    Ok(Some(OwnedTask::spawn("probe", |stop| probe.run(stop))))
}

/// Takes up what comes into the certificate's folder, and says in time that it ends.
fn follow_certificate(
    config: &hearth_engine::Config,
    identity: Option<&CurrentIdentity>,
) -> Option<OwnedTask> {
    let (identity, dir) = (identity?.clone(), config.tls_dir()?);
    Some(OwnedTask::spawn("certificate", |_| identity::follow(identity, dir)))
}

/// Tells the probe, the metrics and systemd what becomes of the fleet.
async fn follow(
    engine: &Engine,
    config: &hearth_engine::Config,
    identity: Option<&CurrentIdentity>,
    readiness: &watch::Sender<Readiness>,
    metrics: &CoordinatorMetrics,
    stop: &CancellationToken,
) {
    let mut fleet = engine.fleet();
    let mut tick = tokio::time::interval(TICK);
    loop {
        let view = Arc::clone(&fleet.borrow_and_update());
        metrics.set_fleet(&figures(&view));
        let identity = identity.map(CurrentIdentity::get);
        if let Some(identity) = &identity {
            metrics.set_certificate_end(identity.validity().not_after);
        }
        let certificate = identity.map_or(Ok(()), |it| it.check_in_force(SystemTime::now()));
        let now = match certificate {
            Err(error) => Readiness::NotReady(error.to_string()),
            Ok(()) => judge(&view, config.executor.min_workers),
        };
        readiness.send_if_modified(|known| {
            let differs = *known != now;
            if differs {
                report(&now);
                *known = now;
            }
            differs
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = tick.tick() => systemd::watchdog(),
            changed = fleet.changed() => if changed.is_err() {
                return stop.cancelled().await;
            },
        }
    }
}

fn figures(view: &FleetView) -> FleetFigures {
    let of = |state| view.workers.iter().filter(move |worker| worker.status.name() == state);
    FleetFigures {
        workers: WorkerStatus::NAMES.map(|state| (state, of(state).count())).to_vec(),
        connections: view.workers.iter().filter(|w| w.status.is_connected()).count(),
        stale: view.stale_since.is_some(),
    }
}

/// A coordinator is of use with as many ready workers as the config wants, and with one at least.
fn judge(view: &FleetView, min_workers: usize) -> Readiness {
    let (ready, wanted) = (view.ready().count(), min_workers.max(1));
    if ready >= wanted {
        return Readiness::Ready;
    }
    let mut reason = format!("{ready} of {wanted} workers ready");
    if let Some(error) = &view.error {
        reason += &format!("; {error}");
    }
    Readiness::NotReady(reason)
}

fn report(readiness: &Readiness) {
    match readiness {
        Readiness::Ready => {
            tracing::info!("ready");
            systemd::status("ready");
        }
        Readiness::NotReady(reason) => {
            tracing::warn!(reason, "not ready");
            systemd::status(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_the_protocol_that_is_spoken() {
        let alpn = String::from_utf8_lossy(version::ALPN);
        assert!(VERSION.ends_with(&format!("(protocol {alpn}.{})", version::MINOR)), "{VERSION}");
    }
}
