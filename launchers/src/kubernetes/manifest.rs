//! A launch as Kubernetes objects: one indexed Job, and one Secret for its files. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath, NodeAffinity,
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectFieldSelector,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, Secret,
    SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::config::NAME;
use crate::{Error, Files, Gpus, LaunchId, LaunchSpec, RESULT_VARIABLE, Resources};

/// The label that all objects of a launch have; its value is the launch's id.
pub(super) const LAUNCH_LABEL: &str = "app.kubernetes.io/instance";
/// Where Kubernetes itself says which index of the Job a pod is.
pub(super) const INDEX_ANNOTATION: &str = "batch.kubernetes.io/job-completion-index";
/// The one container of each pod.
pub(super) const CONTAINER: &str = "replica";
/// What a replica leaves here becomes its result; the kubelet keeps the first 4096 bytes.
pub(super) const RESULT_FILE: &str = "/dev/termination-log";
/// Where a replica finds its own files.
pub(super) const FILES_FOLDER: &str = "/run/hearth/files";
/// The folder that a replica may write to; it goes with the pod.
pub(super) const OWN_FOLDER: &str = "/run/hearth/replica";

const GPU_RESOURCE: &str = "nvidia.com/gpu";
const FILES_VOLUME: &str = "files";
const OWN_VOLUME: &str = "replica";
/// The group through which a container finds its files whoever its user is.
const FILES_GROUP: i64 = 65532;
/// Most bytes of a Secret's data (etcd's limit on an object leaves little more).
const MAX_FILES_BYTES: usize = 1 << 20;

/// Checks what is Kubernetes' own.
pub(super) fn check(spec: &LaunchSpec) -> Result<(), Error> {
    let wrong = |field, value: String, remedy: &str| {
        Err(Error::Spec { field, value, remedy: remedy.to_owned() })
    };
    let cant = |field, remedy: &str| {
        Err(Error::Unsupported { launcher: NAME, field, remedy: remedy.to_owned() })
    };
    if spec.placement.image.as_deref().is_none_or(|image| image.trim().is_empty()) {
        let remedy = "name the container image that has the program, as in registry/hearth:1.0";
        return wrong("image", "not given".to_owned(), remedy);
    }
    if spec.owner != crate::Owner::Nobody {
        let remedy = "a pod can't be bound to a process outside the cluster: cancel the launch, \
                      or give it a timeout";
        return cant("owner", remedy);
    }
    if matches!(spec.resources.gpus, Some(Gpus::Devices(_))) {
        return cant("gpus", "give a number; which cards is the device plugin's choice");
    }
    if !spec.resources.cores.is_empty() {
        return cant("cores", "give a number as cpus; which cores is the node's choice");
    }
    if spec.first_rank > 0 && spec.replicas > 1 {
        return cant("first_rank", "a Job's indexes count from 0: launch these one by one");
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if let Some(name) = spec.files.iter().flat_map(Files::keys).find(|n| !n.bytes().all(fits)) {
        let remedy = "a Secret's keys have letters, digits, '-', '_' and '.'";
        return wrong("files", format!("{name:?}"), remedy);
    }
    let bytes: usize = spec.files.iter().flat_map(Files::values).map(Vec::len).sum();
    if bytes > MAX_FILES_BYTES {
        let remedy = "a Secret holds 1 MiB: launch fewer replicas at once, or smaller files";
        return wrong("files", format!("{bytes} bytes"), remedy);
    }
    Ok(())
}

/// The Job that runs a spec's replicas, one index each.
///
/// An index that fails is not tried again, and doesn't end the others.
pub(super) fn job(id: &LaunchId, spec: &LaunchSpec, keep: Duration) -> Job {
    let replicas = i32::try_from(spec.replicas).unwrap_or(i32::MAX);
    let pod = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(id)), ..ObjectMeta::default() }),
        spec: Some(pod(id, spec)),
    };
    let job = JobSpec {
        completions: Some(replicas),
        parallelism: Some(replicas),
        completion_mode: Some("Indexed".to_owned()),
        backoff_limit_per_index: Some(0),
        // A deleted pod counts as failed at once, so that cancelling a rank doesn't restart it.
        pod_replacement_policy: Some("TerminatingOrFailed".to_owned()),
        ttl_seconds_after_finished: Some(i32::try_from(keep.as_secs()).unwrap_or(i32::MAX)),
        template: pod,
        ..JobSpec::default()
    };
    Job { metadata: metadata(id), spec: Some(job), ..Job::default() }
}

/// The Secret with all ranks' files, or none where there are no files.
pub(super) fn secret(id: &LaunchId, spec: &LaunchSpec) -> Option<Secret> {
    let mut data = BTreeMap::new();
    for (rank, files) in spec.files.iter().enumerate() {
        for (name, content) in files {
            data.insert(secret_key(rank, name), ByteString(content.clone()));
        }
    }
    let secret = Secret {
        metadata: metadata(id),
        data: Some(data),
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    (!spec.files.is_empty()).then_some(secret)
}

fn pod(id: &LaunchId, spec: &LaunchSpec) -> PodSpec {
    let files = !spec.files.is_empty();
    let security = PodSecurityContext {
        fs_group: files.then_some(FILES_GROUP),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    };
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        // Counted from the pod's own start, so that waiting for a node costs a replica nothing.
        active_deadline_seconds: spec.timeout.map(whole_seconds),
        termination_grace_period_seconds: Some(whole_seconds(spec.grace)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        node_selector: (!spec.placement.labels.is_empty()).then(|| spec.placement.labels.clone()),
        affinity: on_hosts(&spec.placement.hosts),
        security_context: Some(security),
        volumes: Some(volumes(id, spec)),
        containers: vec![container(spec)],
        ..PodSpec::default()
    }
}

fn container(spec: &LaunchSpec) -> Container {
    let own = VolumeMount {
        name: OWN_VOLUME.to_owned(),
        mount_path: OWN_FOLDER.to_owned(),
        ..VolumeMount::default()
    };
    let files = VolumeMount {
        name: FILES_VOLUME.to_owned(),
        mount_path: FILES_FOLDER.to_owned(),
        // A pod sees its own rank's folder of the volume alone.
        sub_path_expr: Some(format!("$({})", spec.rank_variable)),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: spec.placement.image.clone(),
        command: Some(vec![literal(&spec.program.to_string_lossy())]),
        args: Some(spec.args.iter().map(|arg| filled(arg, &spec.rank_variable)).collect()),
        working_dir: Some(match &spec.working_dir {
            Some(folder) => folder.to_string_lossy().into_owned(),
            None => OWN_FOLDER.to_owned(),
        }),
        env: Some(env(spec)),
        resources: Some(resources(&spec.resources)),
        termination_message_path: Some(RESULT_FILE.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(if spec.files.is_empty() { vec![own] } else { vec![own, files] }),
        ..Container::default()
    }
}

/// The rank first: what follows, and the files' mount, may refer to it.
fn env(spec: &LaunchSpec) -> Vec<EnvVar> {
    let index = ObjectFieldSelector {
        field_path: format!("metadata.annotations['{INDEX_ANNOTATION}']"),
        ..ObjectFieldSelector::default()
    };
    let by_index = EnvVarSource { field_ref: Some(index), ..EnvVarSource::default() };
    let (value, value_from) = match spec.first_rank {
        0 => (None, Some(by_index)),
        // There is one replica then.
        rank => (Some(rank.to_string()), None),
    };
    let rank = EnvVar { name: spec.rank_variable.clone(), value, value_from };
    let plain = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(filled(value, &spec.rank_variable)),
        ..EnvVar::default()
    };
    let given = spec
        .env
        .iter()
        .filter(|(name, _)| **name != spec.rank_variable && name.as_str() != RESULT_VARIABLE);
    [rank, plain(RESULT_VARIABLE, RESULT_FILE)]
        .into_iter()
        .chain(given.map(|(name, value)| plain(name, value)))
        .collect()
}

fn volumes(id: &LaunchId, spec: &LaunchSpec) -> Vec<Volume> {
    let own = Volume {
        name: OWN_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    if spec.files.is_empty() { vec![own] } else { vec![own, files_volume(id, spec)] }
}

/// All ranks' files, each rank's in a folder of its own.
fn files_volume(id: &LaunchId, spec: &LaunchSpec) -> Volume {
    let item = |index: usize, name: &String| KeyToPath {
        key: secret_key(index, name),
        path: format!("{}/{name}", spec.first_rank as usize + index),
        mode: None,
    };
    let items = spec
        .files
        .iter()
        .enumerate()
        .flat_map(|(index, files)| files.keys().map(move |name| item(index, name)))
        .collect();
    Volume {
        name: FILES_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(id.as_str().to_owned()),
            default_mode: Some(0o400),
            items: Some(items),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A limit is asked for as well: what a replica may use is set aside for it.
fn resources(resources: &Resources) -> ResourceRequirements {
    let mut limits = BTreeMap::new();
    if let Some(cpus) = resources.cpus {
        limits.insert("cpu".to_owned(), Quantity(format!("{}m", (cpus * 1000.0).ceil())));
    }
    if let Some(memory) = resources.memory {
        limits.insert("memory".to_owned(), Quantity(memory.to_string()));
    }
    if let Some(Gpus::Count(count)) = resources.gpus {
        limits.insert(GPU_RESOURCE.to_owned(), Quantity(count.to_string()));
    }
    ResourceRequirements {
        requests: (!limits.is_empty()).then(|| limits.clone()),
        limits: (!limits.is_empty()).then_some(limits),
        ..ResourceRequirements::default()
    }
}

fn on_hosts(hosts: &[String]) -> Option<Affinity> {
    let named = NodeSelectorRequirement {
        key: "kubernetes.io/hostname".to_owned(),
        operator: "In".to_owned(),
        values: Some(hosts.to_vec()),
    };
    let term =
        NodeSelectorTerm { match_expressions: Some(vec![named]), ..NodeSelectorTerm::default() };
    let node = NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector {
            node_selector_terms: vec![term],
        }),
        ..NodeAffinity::default()
    };
    let affinity = Affinity { node_affinity: Some(node), ..Affinity::default() };
    (!hosts.is_empty()).then_some(affinity)
}

fn metadata(id: &LaunchId) -> ObjectMeta {
    ObjectMeta {
        name: Some(id.as_str().to_owned()),
        labels: Some(labels(id)),
        ..ObjectMeta::default()
    }
}

fn labels(id: &LaunchId) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LAUNCH_LABEL.to_owned(), id.as_str().to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "hearth".to_owned()),
    ])
}

fn secret_key(rank: usize, name: &str) -> String {
    format!("{rank}.{name}")
}

/// Text with rank and folders filled in, the first by Kubernetes.
fn filled(text: &str, rank_variable: &str) -> String {
    literal(text)
        .replace("{rank}", &format!("$({rank_variable})"))
        .replace("{files}", FILES_FOLDER)
        .replace("{folder}", OWN_FOLDER)
}

/// Text that Kubernetes takes as it is: `$(NAME)` would be replaced by a variable.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Kubernetes counts whole seconds; a part of one counts as one.
fn whole_seconds(time: Duration) -> i64 {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> LaunchSpec {
        let mut spec = LaunchSpec::new("workers", 2, "hearth-worker");
        spec.placement.image = Some("registry.example/hearth:1".to_owned());
        spec
    }

    fn first_container(spec: &LaunchSpec) -> Container {
        let job = job(&LaunchId::draw("workers"), spec, Duration::from_secs(60));
        job.spec.unwrap().template.spec.unwrap().containers.remove(0)
    }

    #[test]
    fn arguments_and_variables_reach_the_program_as_they_are() {
        let mut spec = spec();
        spec.args = vec!["--pki={files}".into(), "r{rank}".into(), "$(HOME) $$ `id` \"".into()];
        spec.env.insert("PRICE".into(), "$5 $(PATH) {folder}".into());
        let container = first_container(&spec);
        let args = container.args.unwrap();
        assert_eq!(args, ["--pki=/run/hearth/files", "r$(REPLICA_RANK)", "$$(HOME) $$$$ `id` \""]);
        let env = container.env.unwrap();
        assert_eq!(env[0].name, "REPLICA_RANK");
        assert_eq!(env[2].value.as_deref(), Some("$$5 $$(PATH) /run/hearth/replica"));
    }

    #[test]
    fn limits_are_requests_and_odd_sizes_round_up() {
        let mut spec = spec();
        spec.resources = Resources {
            cpus: Some(0.25),
            memory: Some(1 << 30),
            gpus: Some(Gpus::Count(2)),
            ..Resources::default()
        };
        spec.timeout = Some(Duration::from_millis(1500));
        let resources = first_container(&spec).resources.unwrap();
        let limits = resources.limits.unwrap();
        assert_eq!(limits["cpu"].0, "250m");
        assert_eq!(limits["memory"].0, "1073741824");
        assert_eq!(limits["nvidia.com/gpu"].0, "2");
        assert_eq!(resources.requests.unwrap(), limits);
        let job = job(&LaunchId::draw("workers"), &spec, Duration::from_secs(60));
        assert_eq!(job.spec.unwrap().template.spec.unwrap().active_deadline_seconds, Some(2));
    }

    #[test]
    fn what_kubernetes_cant_do_is_refused_with_a_remedy() {
        let refused = |change: fn(&mut LaunchSpec)| {
            let mut spec = spec();
            change(&mut spec);
            check(&spec).unwrap_err().to_string()
        };
        assert!(refused(|s| s.placement.image = None).contains("name the container image"));
        assert!(refused(|s| s.owner = crate::Owner::Caller).contains("owner"));
        let devices = |s: &mut LaunchSpec| {
            s.resources.gpus = Some(Gpus::Devices(vec!["0".into(), "1".into()]));
        };
        assert!(refused(devices).contains("give a number"));
        let named = |s: &mut LaunchSpec| s.files = vec![Files::from([("a b".into(), vec![])]); 2];
        assert!(refused(named).contains("a b"));
        let large =
            |s: &mut LaunchSpec| s.files = vec![Files::from([("a".into(), vec![0; 600_000])]); 2];
        assert!(refused(large).contains("1 MiB"));
    }
}
