//! The shipped Kubernetes manifests: read as the API's own types without a field left over, in
//! agreement with one another, their configs taken by the real programs. No cluster is involved.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use hearth_tests::{Run, program, source};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, Probe, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn folder() -> PathBuf {
    source().join("configs/k8s")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// A file's objects by kind.
fn objects(name: &str) -> BTreeMap<String, Value> {
    let text = read(name);
    let objects = text.split("\n---\n").map(|part| {
        // Anchors end with their document.
        let object: Value = serde_yaml_ng::from_str(part).unwrap();
        (object["kind"].as_str().unwrap().to_owned(), object)
    });
    objects.collect()
}

/// An object as one of the API's types, which all its fields belong to.
fn typed<T: DeserializeOwned + Serialize>(object: &Value) -> T {
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    let back = serde_json::to_value(&typed).unwrap();
    let mut lost = Vec::new();
    compare(object, &back, "", &mut lost);
    assert!(lost.is_empty(), "the API has no such fields, or other values: {lost:?}");
    typed
}

fn compare(given: &Value, back: &Value, path: &str, lost: &mut Vec<String>) {
    match (given, back) {
        (Value::Object(given), Value::Object(back)) => {
            for (key, value) in given {
                let path = format!("{path}.{key}");
                match back.get(key) {
                    Some(back) => compare(value, back, &path, lost),
                    // The API's types leave empty ones out.
                    None if *value == serde_json::json!({}) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(back)) if given.len() == back.len() => {
            for (index, (given, back)) in given.iter().zip(back).enumerate() {
                compare(given, back, &format!("{path}[{index}]"), lost);
            }
        }
        _ if given == back => {}
        _ => lost.push(path.to_owned()),
    }
}

fn config(name: &str) -> toml::Table {
    read(name).parse().unwrap()
}

fn port(config: &toml::Table, section: &str) -> i32 {
    let listen = config[section]["listen"].as_str().unwrap();
    listen.rsplit(':').next().unwrap().parse().unwrap()
}

fn container_port(container: &Container, name: &str) -> (i32, String) {
    let ports = container.ports.as_ref().unwrap();
    let port = ports.iter().find(|port| port.name.as_deref() == Some(name)).unwrap();
    (port.container_port, port.protocol.clone().unwrap())
}

/// What holds for both pods.
fn check_pod(pod: &PodSpec, secret: &str) {
    let security = pod.security_context.as_ref().unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(pod.automount_service_account_token, Some(false));
    let container = &pod.containers[0];
    assert_eq!(container.image.as_deref(), Some("hearth"), "kustomization.yaml names the image");
    let own = container.security_context.as_ref().unwrap();
    assert_eq!(own.read_only_root_filesystem, Some(true));
    assert_eq!(own.allow_privilege_escalation, Some(false));
    assert!(container.lifecycle.is_none(), "SIGTERM drains: a preStop would wait for nothing");
    let probed = |probe: &Option<Probe>| {
        probe.as_ref().unwrap().http_get.as_ref().unwrap().path.clone().unwrap()
    };
    assert_eq!(probed(&container.liveness_probe), "/live");
    assert_eq!(probed(&container.readiness_probe), "/ready");
    let volumes = pod.volumes.as_ref().unwrap();
    let pki = volumes.iter().find_map(|volume| volume.secret.as_ref()).unwrap();
    assert_eq!(pki.secret_name.as_deref(), Some(secret));
    assert_eq!(pki.default_mode, Some(0o440));
    for mount in container.volume_mounts.iter().flatten() {
        assert!(volumes.iter().any(|volume| volume.name == mount.name), "{}", mount.name);
    }
}

fn seconds(config: &toml::Table, section: &str, key: &str) -> i64 {
    let text = config[section][key].as_str().unwrap();
    let minutes: i64 = text.strip_suffix('m').unwrap().parse().unwrap();
    minutes * 60
}

#[test]
fn the_programs_take_the_configs() {
    for name in ["worker", "coordinator"] {
        let mut command = Command::new(program(&format!("hearth-{name}")));
        command.arg("--config").arg(folder().join(format!("{name}.toml"))).arg("--check-config");
        let _ = Run::from(command.output().unwrap()).ok();
    }
}

#[test]
fn workers_are_a_stateful_set_that_drains_and_is_disrupted_one_by_one() {
    let objects = objects("worker.yaml");
    let set: StatefulSet = typed(&objects["StatefulSet"]);
    let service: Service = typed(&objects["Service"]);
    let budget: PodDisruptionBudget = typed(&objects["PodDisruptionBudget"]);
    let (set, config) = (set.spec.unwrap(), config("worker.toml"));
    let pod = set.template.spec.unwrap();
    check_pod(&pod, "hearth-worker-pki");
    let grace = pod.termination_grace_period_seconds.unwrap();
    assert!(grace > seconds(&config, "worker", "drain_timeout"));
    let container = &pod.containers[0];
    assert_eq!(container_port(container, "quic"), (port(&config, "worker"), "UDP".to_owned()));
    assert_eq!(container_port(container, "http"), (port(&config, "http"), "TCP".to_owned()));
    let service = service.spec.unwrap();
    assert_eq!(service.cluster_ip.as_deref(), Some("None"));
    let labels = set.template.metadata.unwrap().labels.unwrap();
    let selected = |selector: &BTreeMap<String, String>| {
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    assert!(selected(&set.selector.match_labels.unwrap()));
    assert!(selected(&service.selector.unwrap()));
    assert!(selected(&budget.spec.unwrap().selector.unwrap().match_labels.unwrap()));
    let mounts: BTreeMap<_, _> =
        container.volume_mounts.iter().flatten().map(|m| (m.mount_path.as_str(), m)).collect();
    let key = mounts["/etc/hearth/pki/tls.key"].sub_path_expr.as_deref();
    assert_eq!(key, Some("$(POD_NAME).tls.key"), "a pod sees its own key alone");
    assert!(mounts.contains_key(config["worker"]["state_dir"].as_str().unwrap()));
}

#[test]
fn the_coordinator_is_a_deployment_behind_a_service() {
    let objects = objects("coordinator.yaml");
    let deployment: Deployment = typed(&objects["Deployment"]);
    let service: Service = typed(&objects["Service"]);
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    check_pod(&pod, "hearth-coordinator-pki");
    let http = port(&config("coordinator.toml"), "http");
    assert_eq!(container_port(&pod.containers[0], "http").0, http);
    assert_eq!(service.spec.unwrap().ports.unwrap()[0].port, http);
}

#[test]
fn kustomizations_name_what_is_there_and_the_gpu_is_a_patch() {
    let known = ["apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images"];
    let base: Value = serde_yaml_ng::from_str(&read("kustomization.yaml")).unwrap();
    assert!(base.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{base}");
    let files = |value: &Value| {
        let list = value.as_array().unwrap().iter();
        list.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let generated = base["configMapGenerator"].as_array().unwrap();
    let generated = generated.iter().flat_map(|map| files(&map["files"]));
    for name in files(&base["resources"]).into_iter().chain(generated) {
        assert!(folder().join(&name).is_file(), "{name}");
    }
    let overlay: Value = serde_yaml_ng::from_str(&read("gpu/kustomization.yaml")).unwrap();
    assert_eq!(overlay["patches"][0]["path"], "worker.yaml");
    let patch = &objects("gpu/worker.yaml")["StatefulSet"];
    assert_eq!(patch["metadata"]["name"], "hearth-worker");
    let container = &patch["spec"]["template"]["spec"]["containers"][0];
    typed::<k8s_openapi::api::core::v1::ResourceRequirements>(&container["resources"]);
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "1");
    assert_eq!(container["name"], "worker");
}
