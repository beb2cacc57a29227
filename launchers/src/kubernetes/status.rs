//! A replica's state, from its pod and its Job. Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};
use serde_json::Value;

use super::manifest::{CONTAINER, INDEX_ANNOTATION};
use crate::{LaunchSpec, Outcome, Replica, Status};

/// By when a launch is completely in the cluster, or was given up.
const CREATED: Duration = Duration::from_secs(120);

/// Most bytes of a result that the kubelet keeps.
const MAX_RESULT_BYTES: usize = 4096;

/// A replica as its pod shows it, with its result once it ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) replica: Replica,
    pub(super) result: Option<Value>,
}

impl Snapshot {
    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            rank: self.replica.rank,
            status: self.replica.status,
            exit_code: self.replica.exit_code,
            error: self.replica.error.clone(),
            result: self.result.clone(),
        }
    }
}

/// Which index of its Job a pod is.
pub(super) fn rank(pod: &Pod) -> Option<u32> {
    pod.metadata.annotations.as_ref()?.get(INDEX_ANNOTATION)?.parse().ok()
}

/// The pod of a rank; the youngest where a node was lost and there are two.
pub(super) fn pod_of(pods: &[Pod], wanted: u32) -> Option<&Pod> {
    let own = pods.iter().filter(|pod| rank(pod) == Some(wanted));
    own.max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// A replica by its pod.
pub(super) fn by_pod(rank: u32, pod: &Pod, spec: &LaunchSpec) -> Snapshot {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let terminated = state(pod).and_then(|state| state.terminated.as_ref());
    let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut seen = Snapshot { replica: Replica { host, ..Replica::pending(rank) }, result: None };
    let replica = &mut seen.replica;
    match phase {
        Some("Running") => replica.status = Status::Running,
        Some("Succeeded") => {
            replica.status = Status::Succeeded;
            replica.exit_code = Some(0);
        }
        Some("Failed") => {
            replica.status = Status::Failed;
            let error = failure(pod, terminated, spec);
            replica.exit_code = terminated.filter(|_| exited(pod, terminated)).map(|t| t.exit_code);
            replica.error = Some(error);
        }
        _ => replica.error = waits_for(pod),
    }
    if replica.status.is_final() {
        let text = terminated.and_then(|t| t.message.as_deref()).unwrap_or_default();
        match serde_json::from_str(text) {
            Ok(result) => seen.result = Some(result),
            Err(_) if replica.status == Status::Succeeded && text.len() >= MAX_RESULT_BYTES => {
                replica.error = Some(format!(
                    "its result is cut: Kubernetes keeps the first {MAX_RESULT_BYTES} bytes"
                ));
            }
            Err(_) => {}
        }
    }
    seen
}

/// A replica without a pod, by its Job.
pub(super) fn without_pod(rank: u32, job: Option<&Job>) -> Snapshot {
    let ended =
        |error: &str| Replica { error: Some(error.to_owned()), ..bare(rank, Status::Failed) };
    let replica = match job {
        None => {
            ended("its Job is no longer in the cluster: somebody deleted it, or it ended long ago")
        }
        Some(job) => {
            let status = job.status.as_ref();
            let lists = |indexes: Option<&String>| indexes.is_some_and(|text| has(text, rank));
            if lists(status.and_then(|s| s.completed_indexes.as_ref())) {
                Replica { exit_code: Some(0), ..bare(rank, Status::Succeeded) }
            } else if lists(status.and_then(|s| s.failed_indexes.as_ref())) {
                ended(
                    "its pod is no longer in the cluster: somebody deleted it, or its node is lost",
                )
            } else {
                let suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
                let error = suspended.then(|| "its Job is suspended".to_owned());
                Replica { error, ..Replica::pending(rank) }
            }
        }
    };
    Snapshot { replica, result: None }
}

/// A replica that the cluster doesn't have: it is being launched, or its launch was interrupted.
pub(super) fn broken_off(rank: u32, age: Duration) -> Snapshot {
    let replica = match age < CREATED {
        true => Replica::pending(rank),
        false => {
            let error = "its launch was broken off: cancel it, which removes what is left of it";
            Replica { error: Some(error.to_owned()), ..bare(rank, Status::Failed) }
        }
    };
    Snapshot { replica, result: None }
}

/// A replica that somebody cancelled.
pub(super) fn cancelled(rank: u32, host: Option<String>) -> Snapshot {
    Snapshot { replica: Replica { host, ..bare(rank, Status::Cancelled) }, result: None }
}

/// Whether a pod's containers have all ended, or never ran and can't any more.
pub(super) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the program was started, so that there may be a log.
pub(super) fn has_log(pod: &Pod) -> bool {
    state(pod).is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

fn bare(rank: u32, status: Status) -> Replica {
    Replica { rank, status, pid: None, host: None, exit_code: None, error: None }
}

fn state(pod: &Pod) -> Option<&ContainerState> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find(|status| status.name == CONTAINER)?.state.as_ref()
}

/// Whether the program ended by itself, so that its exit status means something.
fn exited(pod: &Pod, terminated: Option<&ContainerStateTerminated>) -> bool {
    let whole_pod = pod.status.as_ref().and_then(|status| status.reason.as_ref());
    let reason = terminated.and_then(|t| t.reason.as_deref());
    whole_pod.is_none() && reason == Some("Error") && signal(terminated).is_none()
}

/// The signal that ended the program; shells and container runtimes add it to 128.
fn signal(terminated: Option<&ContainerStateTerminated>) -> Option<i32> {
    let terminated = terminated?;
    let told = terminated.signal.filter(|signal| *signal > 0);
    told.or_else(|| (129..160).contains(&terminated.exit_code).then(|| terminated.exit_code - 128))
}

fn failure(pod: &Pod, terminated: Option<&ContainerStateTerminated>, spec: &LaunchSpec) -> String {
    let status = pod.status.as_ref();
    let said = |reason: &str, message: Option<&String>| match message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    };
    match status.and_then(|status| status.reason.as_deref()) {
        Some("DeadlineExceeded") => {
            let limit = humantime::format_duration(spec.timeout.unwrap_or_default());
            return format!("ran longer than {limit}");
        }
        Some(reason) => return said(reason, status.and_then(|status| status.message.as_ref())),
        None => {}
    }
    let Some(terminated) = terminated else { return "its pod failed".to_owned() };
    match (terminated.reason.as_deref(), signal(Some(terminated))) {
        (Some("OOMKilled"), _) => "out of memory: the kernel killed it".to_owned(),
        (Some(reason @ ("StartError" | "ContainerCannotRun")), _) => {
            said(reason, terminated.message.as_ref())
        }
        (_, Some(signal)) => format!("killed by signal {signal}"),
        _ => format!("ended with status {}", terminated.exit_code),
    }
}

/// Why a pod doesn't run yet, where that is more than waiting for its turn.
fn waits_for(pod: &Pod) -> Option<String> {
    let said = |reason: &str, message: Option<&String>| match message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    };
    if let Some(waiting) = state(pod).and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        return match reason {
            "" | "ContainerCreating" | "PodInitializing" => None,
            _ => Some(said(reason, waiting.message.as_ref())),
        };
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let refused = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(said(refused.reason.as_deref()?, refused.message.as_ref()))
}

/// Whether a Job's list of indexes, as in `0,2-4`, has this one.
fn has(indexes: &str, wanted: u32) -> bool {
    indexes.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&wanted),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(status: Value) -> Snapshot {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "nodeName": "n1"},
            "status": status});
        let mut spec = LaunchSpec::new("workers", 1, "worker");
        spec.timeout = Some(std::time::Duration::from_secs(600));
        by_pod(0, &serde_json::from_value(pod).unwrap(), &spec)
    }

    fn ended(phase: &str, terminated: Value) -> Snapshot {
        let state = json!({"name": CONTAINER, "state": {"terminated": terminated}, "image": "i",
            "imageID": "", "ready": false, "restartCount": 0});
        seen(json!({"phase": phase, "containerStatuses": [state]}))
    }

    #[test]
    fn ends_are_told_apart() {
        let done = ended(
            "Succeeded",
            json!({"exitCode": 0, "reason": "Completed", "message": "{\"loss\": 0.5}"}),
        );
        assert_eq!(done.replica.status, Status::Succeeded);
        assert_eq!(done.replica.host.as_deref(), Some("n1"));
        assert_eq!(done.result, Some(json!({"loss": 0.5})));
        let failed = |terminated| {
            let seen = ended("Failed", terminated).replica;
            (seen.exit_code, seen.error.unwrap())
        };
        let exit = failed(json!({"exitCode": 3, "reason": "Error"}));
        assert_eq!(exit, (Some(3), "ended with status 3".to_owned()));
        let memory = failed(json!({"exitCode": 137, "reason": "OOMKilled"}));
        assert_eq!(memory, (None, "out of memory: the kernel killed it".to_owned()));
        let killed = failed(json!({"exitCode": 137, "reason": "Error"}));
        assert_eq!(killed, (None, "killed by signal 9".to_owned()));
        let absent =
            failed(json!({"exitCode": 128, "reason": "StartError", "message": "nope: not found"}));
        assert_eq!(absent, (None, "StartError: nope: not found".to_owned()));
        let late = seen(json!({"phase": "Failed", "reason": "DeadlineExceeded"})).replica;
        assert_eq!(late.error.unwrap(), "ran longer than 10m");
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
        assert_eq!(seen(evicted).replica.error.unwrap(), "Evicted: low on memory");
    }

    #[test]
    fn a_pod_that_cant_start_says_why_while_it_is_pending() {
        let waiting = |reason: &str, message: &str| {
            let state = json!({"waiting": {"reason": reason, "message": message}});
            let container = json!({"name": CONTAINER, "state": state, "image": "i",
                "imageID": "", "ready": false, "restartCount": 0});
            seen(json!({"phase": "Pending", "containerStatuses": [container]})).replica
        };
        let pulling = waiting("ImagePullBackOff", "no such image");
        assert_eq!(pulling.status, Status::Pending);
        assert_eq!(pulling.error.unwrap(), "ImagePullBackOff: no such image");
        assert_eq!(waiting("ContainerCreating", "").error, None);
        let condition = json!({"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available"});
        let unfit = seen(json!({"phase": "Pending", "conditions": [condition]})).replica;
        assert_eq!(unfit.error.unwrap(), "Unschedulable: 0/3 nodes are available");
    }

    #[test]
    fn a_result_that_was_cut_is_told_and_not_taken() {
        let cut = "[".repeat(MAX_RESULT_BYTES);
        let seen = ended("Succeeded", json!({"exitCode": 0, "message": cut}));
        assert_eq!(seen.result, None);
        assert!(seen.replica.error.unwrap().contains("4096 bytes"));
    }

    #[test]
    fn without_a_pod_the_job_tells() {
        let job =
            json!({"metadata": {}, "status": {"completedIndexes": "0,3-5", "failedIndexes": "1"}});
        let job: Job = serde_json::from_value(job).unwrap();
        let status = |rank| without_pod(rank, Some(&job)).replica.status;
        assert_eq!([0, 1, 2, 4].map(status), {
            use Status::{Failed, Pending, Succeeded};
            [Succeeded, Failed, Pending, Succeeded]
        });
        assert_eq!(without_pod(0, None).replica.status, Status::Failed);
    }
}
