//! Ends replicas: by deleting their pods, or the whole Job if nothing of it is worth keeping.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use tokio::time::{Instant, sleep};

use super::connect::{ask_for, manager};
use super::memory::Memory;
use super::{Kubernetes, PACE, Target, is_whole, status};
use crate::{Error, Handle, LaunchId, LaunchRecord};

/// What Kubernetes may take beyond the replicas' own grace, before pods are removed by force, and
/// again after that.
const MARGIN: Duration = Duration::from_secs(15);

impl Kubernetes {
    pub(super) async fn cancel_targets(&self, targets: &[Target]) -> Result<(), Error> {
        // The result of a replica that has already ended is saved.
        let seen = self.look(targets).await?;
        let mut open = BTreeMap::<LaunchId, Vec<&Target>>::new();
        for (target, seen) in targets.iter().zip(&seen) {
            let whole = is_whole(&target.record);
            if !whole || !seen.replica.status.is_final() {
                let kept = Memory::load(&self.state, &target.handle)?;
                if kept.outcome.is_none() {
                    let host = seen.replica.host.clone();
                    let memory = Memory { cancelled: true, host, ..kept };
                    memory.save(&self.state, &target.handle)?;
                }
                open.entry(target.handle.launch.clone()).or_default().push(target);
            }
        }
        let open: Vec<Vec<&Target>> = open.into_values().collect();
        // One launch that can't be ended keeps no other.
        let (mut asked, mut refused) = (Vec::new(), Ok(()));
        for replicas in &open {
            match self.ask_to_end(replicas).await {
                Ok(()) => asked.push(replicas),
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        for replicas in asked {
            refused = refused.and(self.see_them_end(replicas).await);
        }
        // Saves how they ended.
        refused.and(self.look(targets).await.map(drop))
    }

    /// Deletes what runs the replicas of one launch.
    async fn ask_to_end(&self, replicas: &[&Target]) -> Result<(), Error> {
        let Some(record) = replicas.first().map(|target| &target.record) else { return Ok(()) };
        if replicas.len() == record.spec.replicas as usize {
            return self.delete_job(record).await;
        }
        if !is_whole(record) {
            let id = &record.id;
            return Err(manager(format!("the launch of {id} was broken off: cancel all of it")));
        }
        let pods = self.list_pods(&[record]).await?.remove(&record.id).unwrap_or_default();
        let pod_of = |target: &Target| status::pod_of(&pods, target.handle.rank);
        if let Some(target) = replicas.iter().find(|target| pod_of(target).is_none()) {
            if self.are_others_over(record, replicas).await? {
                return self.delete_job(record).await;
            }
            if self.is_going(record).await? {
                return Ok(());
            }
            let reason = format!(
                "{} has no pod yet (a quota?), so it can't be ended alone: cancel all of {}",
                target.handle, record.id
            );
            return Err(manager(reason));
        }
        // A deleted pod counts as failed, and a failed index isn't tried again; the others go on,
        // and the logs of those that have ended stay.
        for pod in replicas.iter().filter_map(|target| pod_of(target)) {
            self.delete_pod(record, pod, DeleteParams::default()).await?;
        }
        Ok(())
    }

    async fn are_others_over(
        &self,
        record: &LaunchRecord,
        replicas: &[&Target],
    ) -> Result<bool, Error> {
        let ours = |handle: &Handle| replicas.iter().any(|target| target.handle == *handle);
        let others: Vec<Handle> = record.handles().filter(|handle| !ours(handle)).collect();
        let seen = self.look(&self.targets(&others)?).await?;
        Ok(seen.iter().all(|seen| seen.replica.status.is_final()))
    }

    /// Whether the whole of a launch ends already, as where somebody else has cancelled it.
    async fn is_going(&self, record: &LaunchRecord) -> Result<bool, Error> {
        let jobs = self.list_jobs(&[record]).await?;
        Ok(jobs.get(&record.id).is_none_or(|job| job.metadata.deletion_timestamp.is_some()))
    }

    /// The Job stays until its pods have ended; their ends are awaited by [`Self::see_them_end`].
    pub(super) async fn delete_job(&self, record: &LaunchRecord) -> Result<(), Error> {
        let (jobs, params) = (self.jobs(record).await?, DeleteParams::foreground());
        let name = record.id.as_str();
        ask_for("delete the Job", jobs.delete(name, &params)).await?;
        let secrets = self.secrets(record).await?;
        let gone = DeleteParams::background();
        match ask_for("delete the Secret", secrets.delete(name, &gone)).await {
            Err(error) if is_whole(record) => {
                tracing::debug!(%error, launch = name, "left to its Job");
                Ok(())
            }
            deleted => deleted.map(drop),
        }
    }

    /// Waits until the replicas' pods are gone; removes those by force that outlast their grace,
    /// as those of a lost node do.
    async fn see_them_end(&self, replicas: &[&Target]) -> Result<(), Error> {
        let Some(record) = replicas.first().map(|target| &target.record) else { return Ok(()) };
        let patience = record.spec.grace + MARGIN;
        let (started, mut pause, mut forced) = (Instant::now(), PACE.first, false);
        loop {
            let mut listed = match self.list_pods(&[record]).await {
                // A server that is briefly unavailable is asked again.
                Err(Error::Manager { .. }) if started.elapsed() <= patience => {
                    sleep(PACE.last).await;
                    continue;
                }
                listed => listed?,
            };
            let pods = listed.remove(&record.id).unwrap_or_default();
            let left: Vec<(&Handle, &Pod)> = replicas
                .iter()
                .filter_map(|target| {
                    Some((&target.handle, status::pod_of(&pods, target.handle.rank)?))
                })
                .filter(|(_, pod)| !status::is_over(pod))
                .collect();
            let Some((handle, _)) = left.first() else { return Ok(()) };
            if started.elapsed() > patience + MARGIN {
                return Err(manager(format!("the pod of {handle} doesn't end; see its node")));
            }
            if started.elapsed() > patience && !forced {
                forced = true;
                for (_, pod) in &left {
                    self.delete_pod(record, pod, DeleteParams::default().grace_period(0)).await?;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PACE.last);
        }
    }

    async fn delete_pod(
        &self,
        record: &LaunchRecord,
        pod: &Pod,
        params: DeleteParams,
    ) -> Result<(), Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let pods = self.pods(record).await?;
        ask_for("delete the replica's pod", pods.delete(name, &params)).await.map(drop)
    }
}
