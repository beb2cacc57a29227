//! The composition root: puts the worker together, runs it, takes it down in order.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use hearth_api::Incarnation;
use hearth_base::files::{self, KeptFile};
use hearth_base::repeats::Repeats;
use hearth_base::task::OwnedTask;
use hearth_daemon::probe::{self, Listen, Probe, Readiness};
use hearth_fabric::identity::{self, CurrentIdentity, Identity};
use hearth_fabric::quic::{EndpointKeys, Listener, Settings};
use hearth_fabric::registry::{self, Registry};
use hearth_inference::progress::Progress;
use hearth_protocol::record::{Capacity, WorkerRecord};
use hearth_protocol::version::ProtocolRange;
use hearth_telemetry::log::Recent;
use hearth_telemetry::metrics::{BuildInfo, Registry as Metrics};
use hearth_telemetry::procinfo::Process;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission::Preparations;
use crate::advertise;
use crate::announce;
use crate::compute::{Bounds, Gauge, Inbox, Plan, Threads};
use crate::config::Config;
use crate::control_loop::{ControlLoop, LAST_REPLIES};
use crate::error::Error;
use crate::items;
use crate::methods::Methods;
use crate::metrics::WorkerMetrics;
use crate::models::{Model, Residency};
use crate::owner::Binding;
use crate::report::Reporter;
use crate::service::WorkerService;
use crate::setup::{check_identity, make_state_folder, warn_of_small_buffers};
use crate::shared::Shared;
use crate::suspects::Journal;
use crate::watchdog::Watchdog;

/// How often refused calls of one peer and method are said, and how many such are told apart.
const REFUSAL_SPAN: Duration = Duration::from_secs(10);
const MAX_REFUSALS: usize = 256;
/// How many times as long as a shared step is expected to take a step may take, before the worker is
/// taken for hung.
const STEP_MARGIN: u32 = 4;

/// How long a drain, or its end, waits for the disk.
const MARKER: Duration = Duration::from_secs(2);

/// A worker that is bound and not yet running.
pub struct Worker {
    config: Config,
    shared: Arc<Shared>,
    listener: Listener,
    probe: Option<Probe>,
    readiness: watch::Sender<Readiness>,
    registry: Arc<dyn Registry>,
    record: WorkerRecord,
    methods: Methods,
}

impl Worker {
    /// Binds the worker's sockets and checks its config, certificate and folders.
    ///
    /// # Errors
    /// [`Error`] names what is wrong; nothing is announced yet. Must be called on a tokio runtime.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let identity = CurrentIdentity::from(Identity::load(&config.tls.dir)?);
        make_state_folder(&config.worker.state_dir)?;

        let port = config.worker.listen.port();
        let keys = if port == 0 {
            // Another port at each start: nobody could recognise the earlier run by its keys.
            EndpointKeys::random().map_err(Error::system)?
        } else {
            let dir = config.worker.state_dir.join(config.worker_id(port)?.as_str());
            make_state_folder(&dir)?;
            EndpointKeys::load_or_create(&dir.join("quic.key"))
                .map_err(|error| Error::Keys(Box::new(error)))?
        };
        let listener =
            Listener::bind(config.worker.listen, identity.clone(), &keys, Settings::default())
                .map_err(Error::Listen)?;
        let bound = listener.local_addr().map_err(Error::system)?;
        let id = config.worker_id(bound.port())?;
        let dir = config.worker.state_dir.join(id.as_str());
        make_state_folder(&dir)?;
        // One of an earlier version may be open to others; a folder of somebody else is as it is.
        let _ = files::restrict_folder(&dir);
        check_identity(&identity.get().id, &id)?;

        let mut metrics = Metrics::new(BuildInfo {
            program: "hearth-worker",
            version: env!("CARGO_PKG_VERSION"),
            protocol: format!("1.{}", hearth_protocol::version::MINOR),
        });
        let worker_metrics = WorkerMetrics::register(&mut metrics);
        let (slots, queue) = (config.worker.slots, config.worker.queue);
        let capacity = Capacity { slots, queue, batch: config.worker.max_batch.most() };
        let bounds = Bounds {
            items: items::Bounds {
                slots: capacity.slots,
                queue: capacity.queue,
                orphan_grace: config.worker.orphan_grace,
            },
            max_batch: capacity.batch as usize,
            longest_step: config.worker.step_timeout / STEP_MARGIN,
        };
        let models = config.models.iter().map(|(name, model)| Model {
            name: name.clone(),
            aliases: model.aliases.clone(),
            path: model.path.clone(),
            configured: true,
            failures: 0,
            residency: match model.preload {
                true => Residency::Loading(Progress::default()),
                false => Residency::OnDemand,
            },
        });
        let drain_marker = KeptFile::new(dir.join("drained"), MARKER);
        let plan = Plan::new(bounds, models.collect(), drain_marker.path().exists());
        let incarnation = Incarnation::from_bits(uuid::Uuid::new_v4().as_u128());
        let journal = Journal::open(dir.join("computing"), incarnation);
        let shared = Arc::new(Shared {
            id: id.clone(),
            group: config.worker.group.clone(),
            incarnation,
            capacity,
            process: Process::current().map_err(Error::system)?,
            inbox: Inbox::new(plan, worker_metrics.clone(), Arc::clone(&journal)),
            preparations: Preparations::default(),
            metrics: worker_metrics,
            gauge: Arc::new(Gauge::default()),
            journal,
            connections: AtomicU32::new(0),
            step_timeout: config.worker.step_timeout,
            model_dirs: config.worker.model_dirs.clone(),
            endpoints: watch::Sender::new(advertise::endpoints(config.worker.advertise, bound)),
            rank: watch::Sender::new(None),
            registered: AtomicBool::new(false),
            pending: Mutex::default(),
            identity: identity.clone(),
            refusals: Repeats::new(REFUSAL_SPAN, MAX_REFUSALS),
            shutdown: CancellationToken::new(),
            closing: CancellationToken::new(),
            log: OnceLock::new(),
            drain_marker,
            dir,
        });

        let readiness = watch::Sender::new(Readiness::NotReady("loading".to_owned()));
        let probe = match config.http.listen {
            Listen::Off => None,
            Listen::At(addr) => {
                let state =
                    probe::State { readiness: readiness.subscribe(), metrics: Arc::new(metrics) };
                Some(Probe::bind(probe::Config::new(addr), state).await.map_err(Error::Probe)?)
            }
        };
        let url = config.registry_url()?;
        let registry =
            registry::open(&url, &config.registry.settings()?).map_err(Error::Registry)?;
        let started = shared.process.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = WorkerRecord {
            worker_id: id,
            group: shared.group.clone(),
            rank: hearth_api::Rank(0),
            incarnation: shared.incarnation,
            endpoints: shared.endpoints.borrow().clone(),
            device: config.worker.device.clone(),
            models: shared.inbox.look(|plan| plan.models().records()),
            capacity,
            state: shared.inbox.state(),
            percent: None,
            protocol: ProtocolRange::OURS,
            certificate: identity.get().fingerprint(),
            started_at: started.as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            suspects: shared.journal.suspects(),
        };
        let methods = Methods::default();
        Ok(Self { config, shared, listener, probe, readiness, registry, record, methods })
    }

    /// The methods that the embedding program adds.
    pub fn methods(&mut self) -> &mut Methods {
        &mut self.methods
    }

    /// Answers `logs` with the lines that the program keeps of its log. Only the first call counts.
    pub fn serve_log(&self, log: Recent) {
        // There is one log of a process.
        let _ = self.shared.log.set(log);
    }

    /// The certificate that it bears: what is reloaded there counts for new connections, and is in
    /// the registry's record soon.
    #[must_use]
    pub fn identity(&self) -> CurrentIdentity {
        self.shared.identity.clone()
    }

    /// What sees whether its compute hangs.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        Watchdog::new(&self.shared.gauge, self.shared.step_timeout)
    }

    /// Loads the models, serves until `stop` or a `shutdown` call, drains, and takes everything
    /// down. A second `stop` token, `now`, ends the drain early.
    ///
    /// # Errors
    /// [`Error::Model`], [`Error::Refused`], [`Error::Hung`], [`Error::EngineEnded`].
    pub async fn run(self, stop: CancellationToken, now: CancellationToken) -> Result<(), Error> {
        let Self { config, shared, listener, probe, readiness, registry, record, methods } = self;
        let endpoints = &record.endpoints;
        let (registry_url, max_batch) = (registry.target(), shared.capacity.batch);
        tracing::info!(id = %shared.id, ?endpoints, registry = registry_url, max_batch, "worker starts");
        warn_of_small_buffers(&listener);
        let announcement = registry
            .announce(record, config.worker.rank.into(), &config.worker.state_dir)
            .map_err(Error::Registry)?;
        let Shared { inbox, gauge, journal, metrics, process, dir, .. } = &*shared;
        let (threads, loaded) =
            Threads::start(&config, dir.clone(), inbox, gauge, journal, *process, metrics)
                .map_err(Error::system)?;

        let open = Arc::new(AtomicUsize::new(0));
        let owner = config.owner()?.map(|owner| Arc::new(Binding::new(owner)));
        let bound = owner.as_ref().map(|owner| {
            let watch = registry.watch_owner(owner.id());
            let (owner, grace) = (Arc::clone(owner), config.worker.owner_grace);
            let (stop, now) = (stop.clone(), now.clone());
            OwnedTask::spawn("owner", move |_| owner.end_when_gone(watch, grace, stop, now))
        });
        let service = Arc::new(WorkerService {
            shared: Arc::clone(&shared),
            methods,
            owner,
            open: Arc::clone(&open),
        });
        let addresses = {
            let (shared, advertise) = (Arc::clone(&shared), config.worker.advertise);
            let local = listener.local_addr().map_err(Error::system)?;
            OwnedTask::spawn("addresses", move |_| async move {
                advertise::follow(advertise, local, &shared.endpoints).await;
            })
        };
        let certificate = {
            let (identity, dir) = (shared.identity.clone(), config.tls.dir.clone());
            OwnedTask::spawn("certificate", move |_| identity::follow(identity, dir))
        };
        let mut server = OwnedTask::spawn("quic", |cancel| listener.run(service, cancel));
        let probe = probe.map(|probe| OwnedTask::spawn("probe", |cancel| probe.run(cancel)));

        let mut control = ControlLoop {
            shared: &shared,
            threads: &threads,
            reporter: Reporter::new(Arc::clone(&shared), readiness),
        };
        let outcome = tokio::select! {
            biased;
            refusal = announce::keep(&announcement, &shared) => Err(Error::Refused(refusal)),
            () = server.join() => {
                // There is nobody left to finish requests for.
                now.cancel();
                Err(Error::EndpointEnded)
            }
            outcome = control.serve(loaded, &stop) => outcome,
        };
        let finished = async {
            if let Err(Error::Hung { .. }) = outcome {
                control.say_last_word().await;
                return Ok(());
            }
            control.finish_requests(config.worker.drain_timeout, &now, &open).await
        };
        // The record says `draining`, or `unhealthy`, meanwhile.
        let announced = async {
            announce::keep(&announcement, &shared).await;
            std::future::pending().await
        };
        let finished = tokio::select! {
            biased;
            never = announced => never,
            finished = finished => finished,
        };
        let outcome = outcome.and(finished);
        drop((bound, addresses, certificate));
        announcement.withdraw().await;
        server.stop_within(LAST_REPLIES).await;
        if let Some(probe) = probe {
            probe.stop_within(LAST_REPLIES).await;
        }
        shared.inbox.change(Plan::close);
        if let Err(Error::Hung { .. }) = outcome {
            // A thread that hangs inside a device can't be joined: the process ends without it.
            tracing::info!(id = %shared.id, "worker ends");
            return outcome;
        }
        let joined = tokio::task::spawn_blocking(move || threads.join());
        if tokio::time::timeout(LAST_REPLIES, joined).await.is_err() {
            tracing::warn!("compute did not end in time");
        }
        tracing::info!(id = %shared.id, "worker ends");
        outcome
    }
}
