//! Replicas as the pods of an indexed Job.
//!
//! An index of the Job is a rank, and runs once: nothing is restarted. How a pod ended is kept in
//! the state folder as soon as somebody looks, since pods and Jobs vanish: with a cancel, or some
//! time after their end ([`Config::keep`]).

mod cancel;
mod config;
mod connect;
mod gpu_node_selector;
mod manifest;
mod memory;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource as _};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::collect::{self, Pace};
use crate::state::now_ms;
use crate::{
    Capabilities, Error, Handle, LaunchId, LaunchRecord, LaunchSpec, Launcher, LogLines,
    LogOptions, Outcome, Replica, StateDir, log_stream,
};
use config::NAME;
use connect::ask;
use memory::Memory;
use status::Snapshot;

pub use config::Config;

/// Launches that one list of pods asks for: their ids are part of its address.
const LAUNCHES_A_LIST: usize = 50;

/// How often the API server is asked while waiting.
const PACE: Pace = Pace { first: Duration::from_millis(100), last: Duration::from_secs(2) };

/// Launches into a Kubernetes cluster (1.29 or newer).
#[derive(Clone)]
pub struct Kubernetes {
    state: StateDir,
    config: Config,
    connection: OnceCell<(Client, String)>,
}

/// A replica that somebody asks about.
struct Target {
    handle: Handle,
    record: LaunchRecord,
}

impl Kubernetes {
    /// A launcher that keeps its launches in `state`. The cluster is looked for at first use.
    #[must_use]
    pub fn new(state: StateDir, config: Config) -> Self {
        Self { state, config, connection: OnceCell::new() }
    }

    /// The client, and the default namespace.
    async fn connection(&self) -> Result<&(Client, String), Error> {
        self.connection.get_or_try_init(|| connect::client(&self.config)).await
    }

    async fn pods(&self, record: &LaunchRecord) -> Result<Api<Pod>, Error> {
        let (client, _) = self.connection().await?;
        Ok(Api::namespaced(client.clone(), namespace(record)))
    }

    async fn jobs(&self, record: &LaunchRecord) -> Result<Api<Job>, Error> {
        let (client, _) = self.connection().await?;
        Ok(Api::namespaced(client.clone(), namespace(record)))
    }

    async fn secrets(&self, record: &LaunchRecord) -> Result<Api<Secret>, Error> {
        let (client, _) = self.connection().await?;
        Ok(Api::namespaced(client.clone(), namespace(record)))
    }

    fn targets(&self, handles: &[Handle]) -> Result<Vec<Target>, Error> {
        let launches = self.state.launches_of(NAME, handles)?;
        let target = |handle: &Handle| {
            let record = launches.get(&handle.launch)?.clone();
            Some(Target { handle: handle.clone(), record })
        };
        Ok(handles.iter().filter_map(target).collect())
    }

    /// Starts a Job that was suspended until its files are there: creates the Secret, owned by the
    /// Job from the start, so that the keys go with the Job even if this is interrupted.
    async fn hand_over(
        &self,
        record: &LaunchRecord,
        job: &Job,
        mut secret: Secret,
    ) -> Result<(), Error> {
        secret.metadata.owner_references = job.owner_ref(&()).map(|owner| vec![owner]);
        let (secrets, params) = (self.secrets(record).await?, PostParams::default());
        ask("create the Secret with the replicas' files", secrets.create(&params, &secret)).await?;
        let run = serde_json::json!({"spec": {"suspend": false}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&run));
        let jobs = self.jobs(record).await?;
        ask("let the Job run", jobs.patch(record.id.as_str(), &params, &patch)).await.map(drop)
    }

    /// Removes what a failed launch left in the cluster. Where that fails too the launch is kept,
    /// so that it can be removed later. Returns why the launch failed.
    async fn give_up(&self, record: &LaunchRecord, error: Error) -> Error {
        match self.delete_job(record).await {
            Ok(()) => self.state.remove(&record.id).err().unwrap_or(error),
            Err(_) => connect::manager(format!(
                "{error}; what came of it could not be removed: hearth replicas cancel {NAME}/{} \
                 does that",
                record.id
            )),
        }
    }

    /// The pods of some launches: one list for all that lie in one namespace.
    async fn list_pods(&self, of: &[&LaunchRecord]) -> Result<BTreeMap<LaunchId, Vec<Pod>>, Error> {
        let (client, _) = self.connection().await?;
        let mut found = BTreeMap::<LaunchId, Vec<Pod>>::new();
        for (namespace, selector) in selectors(of) {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let params = ListParams::default().labels(&selector);
            let list = ask("list the replicas' pods", api.list(&params)).await?;
            for pod in list.items {
                if let Some(launch) = launch_of(pod.metadata.labels.as_ref()) {
                    found.entry(launch).or_default().push(pod);
                }
            }
        }
        Ok(found)
    }

    async fn list_jobs(&self, of: &[&LaunchRecord]) -> Result<BTreeMap<LaunchId, Job>, Error> {
        let (client, _) = self.connection().await?;
        let mut found = BTreeMap::new();
        for (namespace, selector) in selectors(of) {
            let api: Api<Job> = Api::namespaced(client.clone(), namespace);
            let params = ListParams::default().labels(&selector);
            for job in ask("list the launches' Jobs", api.list(&params)).await?.items {
                found.extend(launch_of(job.metadata.labels.as_ref()).map(|launch| (launch, job)));
            }
        }
        Ok(found)
    }

    /// The replicas' states. An end is saved, and asked for only once.
    async fn look(&self, targets: &[Target]) -> Result<Vec<Snapshot>, Error> {
        let memories: Vec<Memory> = targets
            .iter()
            .map(|target| Memory::load(&self.state, &target.handle))
            .collect::<Result<_, _>>()?;
        let open: Vec<&LaunchRecord> = targets
            .iter()
            .zip(&memories)
            .filter(|(_, memory)| memory.outcome.is_none())
            .map(|(target, _)| &target.record)
            .collect();
        let pods = if open.is_empty() { BTreeMap::new() } else { self.list_pods(&open).await? };
        let pod_of = |handle: &Handle| status::pod_of(pods.get(&handle.launch)?, handle.rank);
        let lacking: Vec<&LaunchRecord> = targets
            .iter()
            .zip(&memories)
            .filter(|(_, memory)| memory.outcome.is_none() && !memory.cancelled)
            .filter(|(target, _)| pod_of(&target.handle).is_none())
            .map(|(target, _)| &target.record)
            .collect();
        let jobs =
            if lacking.is_empty() { BTreeMap::new() } else { self.list_jobs(&lacking).await? };
        let mut all = Vec::with_capacity(targets.len());
        for (Target { handle, record }, mut memory) in targets.iter().zip(memories) {
            if let Some(seen) = memory.ended() {
                all.push(seen);
                continue;
            }
            let seen = match pod_of(handle) {
                Some(pod) if memory.cancelled && status::is_over(pod) => {
                    let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
                    status::cancelled(handle.rank, host)
                }
                Some(pod) => status::by_pod(handle.rank, pod, &record.spec),
                None if memory.cancelled => status::cancelled(handle.rank, memory.host.clone()),
                None if !is_whole(record) && !jobs.contains_key(&handle.launch) => {
                    // Not saved: its pod may still come, or the launch has to be removed.
                    all.push(status::broken_off(handle.rank, record.age()));
                    continue;
                }
                None => status::without_pod(handle.rank, jobs.get(&handle.launch)),
            };
            if seen.replica.status.is_final() {
                memory.host.clone_from(&seen.replica.host);
                memory.outcome = Some(seen.outcome());
                memory.ended_at_ms = Some(now_ms());
                memory.save(&self.state, handle)?;
            }
            all.push(seen);
        }
        Ok(all)
    }

    async fn open_log(&self, target: &Target, options: LogOptions) -> Result<LogLines, Error> {
        let Some(pod) = self.pod_with_log(target, options.follow).await? else {
            return Ok(stream::empty().boxed());
        };
        let params = LogParams {
            container: Some(manifest::CONTAINER.to_owned()),
            follow: options.follow,
            tail_lines: options.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
            ..LogParams::default()
        };
        let pods = self.pods(&target.record).await?;
        let reader = ask("read the pod's log", pods.log_stream(&pod, &params)).await?;
        Ok(log_stream::lines(NAME, reader).boxed())
    }

    /// The pod's name once it has a log; `None` if it ended without one.
    async fn pod_with_log(&self, target: &Target, wait: bool) -> Result<Option<String>, Error> {
        loop {
            let pods = self.list_pods(&[&target.record]).await?;
            let pod = pods
                .get(&target.handle.launch)
                .and_then(|pods| status::pod_of(pods, target.handle.rank));
            if let Some(pod) = pod.filter(|pod| status::has_log(pod)) {
                return Ok(pod.metadata.name.clone());
            }
            let seen = self.look(std::slice::from_ref(target)).await?;
            if !wait || seen.iter().all(|seen| seen.replica.status.is_final()) {
                return Ok(None);
            }
            sleep(PACE.first * 5).await;
        }
    }
}

#[async_trait]
impl Launcher for Kubernetes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            supports_inter_replica_network: true,
            supports_many_hosts: true,
            limits_cpus: true,
            limits_memory: true,
            supports_gpus: true,
            supports_owner: false,
            shares_files: false,
        }
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        spec.check()?;
        let spec = &gpu_node_selector::resolve(spec, &self.config)?;
        manifest::check(spec)?;
        let (_, default) = self.connection().await?;
        let namespace = spec.placement.pool.as_ref().unwrap_or(default);
        // The Job is added to the record once the cluster has everything.
        let mut record = LaunchRecord::new(spec.launch_id(), NAME, spec, namespace);
        // Before anything is written: the most common fault is a cluster that doesn't answer.
        self.list_jobs(&[&record]).await?;
        // The files go only to the cluster.
        self.state.create(&record, &[])?;
        let secret = manifest::secret(&record.id, spec);
        let mut job = manifest::job(&record.id, spec, self.config.keep);
        if let Some(job) = &mut job.spec {
            job.suspend = secret.as_ref().map(|_| true);
        }
        let jobs = self.jobs(&record).await?;
        let params = PostParams::default();
        let created = connect::ask_whether("create the Job", jobs.create(&params, &job)).await;
        let made = match (created, secret) {
            (Ok(Err(refused)), _) => {
                self.state.remove(&record.id)?;
                return Err(refused);
            }
            (Ok(Ok(job)), Some(secret)) => self.hand_over(&record, &job, secret).await,
            (Ok(Ok(_)), None) => Ok(()),
            (Err(error), _) => Err(error),
        };
        let kept = made.and_then(|()| {
            record.native = format!("{namespace}/{}", record.id);
            self.state.save(&record)
        });
        match kept {
            Ok(()) => Ok(record.handles().collect()),
            Err(error) => Err(self.give_up(&record, error).await),
        }
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        let seen = self.look(&self.targets(handles)?).await?;
        Ok(seen.into_iter().map(|seen| seen.replica).collect())
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        let target = self.targets(std::slice::from_ref(handle))?.remove(0);
        if !options.follow {
            return self.open_log(&target, options).await;
        }
        // A replica that has not started must not hold up others that are followed with it.
        let kubernetes = self.clone();
        let opened = async move { kubernetes.open_log(&target, options).await };
        Ok(stream::once(opened).try_flatten().boxed())
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        self.cancel_targets(&self.targets(handles)?).await
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        collect::wait(self, handles, timeout, PACE).await?;
        // What has ended is saved: nothing needs to be asked.
        let seen = self.look(&self.targets(handles)?).await?;
        Ok(seen.iter().map(Snapshot::outcome).collect())
    }
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes")
            .field("state", &self.state)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// When a replica was seen to have ended, in milliseconds since 1970; none where nobody has looked.
pub(crate) fn ended_at_ms(folder: &Path) -> Result<Option<u64>, Error> {
    Ok(Memory::of(folder)?.ended_at_ms)
}

/// Whether the cluster has all of a launch, as far as is known here.
fn is_whole(record: &LaunchRecord) -> bool {
    record.native.contains('/')
}

/// A record's namespace; its `native` is `NAMESPACE/JOB`, or `NAMESPACE` until the Job is there.
fn namespace(record: &LaunchRecord) -> &str {
    record.native.split_once('/').map_or(record.native.as_str(), |(namespace, _)| namespace)
}

fn launch_of(labels: Option<&BTreeMap<String, String>>) -> Option<LaunchId> {
    labels?.get(manifest::LAUNCH_LABEL)?.parse().ok()
}

/// For each list to be asked: its namespace, and the selector of its launches.
fn selectors<'a>(records: &[&'a LaunchRecord]) -> Vec<(&'a str, String)> {
    let mut by_namespace = BTreeMap::<&str, BTreeSet<&str>>::new();
    for record in records {
        by_namespace.entry(namespace(record)).or_default().insert(record.id.as_str());
    }
    let mut selectors = Vec::new();
    for (namespace, launches) in by_namespace {
        let launches: Vec<_> = launches.into_iter().collect();
        for part in launches.chunks(LAUNCHES_A_LIST) {
            selectors
                .push((namespace, format!("{} in ({})", manifest::LAUNCH_LABEL, part.join(","))));
        }
    }
    selectors
}
