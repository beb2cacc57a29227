//! What the Job controller and the kubelet do, with plain processes for containers.
//!
//! Mounts are acted out by their paths: where a manifest mounts something, the process gets the
//! path of a folder instead, in its arguments, its variables and its working folder. Some images
//! stand for what can go wrong: `double/absent`, `double/too-large`, `double/oom`.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};

use super::cluster::Cluster;

pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const TICK: Duration = Duration::from_millis(5);

/// A process that stands for a pod's container.
#[derive(Clone)]
pub(super) struct Container {
    pub(super) log: PathBuf,
    /// 0 before it was started.
    pid: Arc<AtomicI32>,
    asked: Arc<AtomicBool>,
    forced: Arc<AtomicBool>,
}

impl Container {
    pub(super) fn started(&self) -> bool {
        self.pid.load(Ordering::SeqCst) != 0
    }

    pub(super) fn ask_to_end(&self, force: bool) {
        self.asked.store(true, Ordering::SeqCst);
        self.forced.fetch_or(force, Ordering::SeqCst);
    }
}

/// Makes the pods of a new Job and gives each a thread that is its kubelet.
pub(super) fn run_job(
    cluster: &mut Cluster,
    shared: &Arc<Mutex<Cluster>>,
    namespace: &str,
    name: &str,
) {
    let job = cluster.get("jobs", namespace, name).unwrap().clone();
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    assert_eq!(job["spec"]["backoffLimitPerIndex"], 0, "a failed index would end the others");
    for index in 0..job["spec"]["completions"].as_u64().unwrap() {
        let template = &job["spec"]["template"];
        let mut labels = template["metadata"]["labels"].clone();
        labels["job-name"] = name.into();
        let pod_name = format!("{name}-{index}-x7k2p");
        let metadata = json!({"name": pod_name, "labels": labels,
            "annotations": {INDEX: index.to_string()}});
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata,
            "spec": template["spec"], "status": {"phase": "Pending"}});
        let pod = cluster.create("pods", namespace, pod);
        let folder = cluster.folder.join(&pod_name);
        fs::create_dir_all(&folder).unwrap();
        let container = Container {
            log: folder.join("log"),
            pid: Arc::default(),
            asked: Arc::default(),
            forced: Arc::default(),
        };
        let key = (namespace.to_owned(), pod_name);
        cluster.containers.insert(key.clone(), container.clone());
        let secret = cluster.get("secrets", namespace, name).cloned();
        let cluster = Arc::clone(shared);
        std::thread::spawn(move || {
            let set = |status: Value| {
                let mut cluster = cluster.lock().unwrap();
                if let Some(pod) = cluster.get_mut("pods", &key.0, &key.1) {
                    pod["status"] = status;
                }
                cluster.clear();
            };
            set(live(&pod, secret.as_ref(), &folder, &container, &set));
        });
    }
}

/// A pod's life; its last status.
fn live(
    pod: &Value,
    secret: Option<&Value>,
    folder: &Path,
    container: &Container,
    set: &dyn Fn(Value),
) -> Value {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
    let waits = match image {
        "double/absent" => Some(with_state(
            "Pending",
            json!({"waiting": {"reason": "ImagePullBackOff",
                "message": "Back-off pulling image \"double/absent\""}}),
        )),
        "double/too-large" => Some(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}]})),
        _ => None,
    };
    if let Some(waits) = waits {
        set(waits);
        while !container.asked.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
        }
        return json!({"phase": "Failed"});
    }
    let message = folder.join("termination-log");
    let started = start(pod, secret, folder, container);
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let terminated = json!({"reason": "StartError", "exitCode": 128,
                "message": format!("failed to create containerd task: {error}")});
            return with_state("Failed", json!({"terminated": terminated}));
        }
    };
    container.pid.store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
    set(with_state("Running", json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}})));
    let (status, late) = wait(&mut child, &pod["spec"], container);
    let text = fs::read(&message).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(4096)]).into_owned();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
    let reason = match (image, code) {
        ("double/oom", 137) => "OOMKilled",
        (_, 0) => "Completed",
        _ => "Error",
    };
    let terminated = json!({"terminated": {"reason": reason, "exitCode": code, "message": text}});
    let mut status =
        with_state(if code == 0 && !late { "Succeeded" } else { "Failed" }, terminated);
    if late {
        status["reason"] = "DeadlineExceeded".into();
        status["message"] = "Pod was active on the node longer than the specified deadline".into();
    }
    status
}

fn with_state(phase: &str, state: Value) -> Value {
    json!({"phase": phase, "containerStatuses": [{"name": "replica", "image": "i", "imageID": "",
        "ready": false, "restartCount": 0, "state": state}]})
}

fn start(
    pod: &Value,
    secret: Option<&Value>,
    folder: &Path,
    container: &Container,
) -> std::io::Result<Child> {
    let spec = &pod["spec"]["containers"][0];
    let env = environment(spec, &pod["metadata"]["annotations"]);
    let mut mounts = vec![("/dev/termination-log".to_owned(), folder.join("termination-log"))];
    for mount in spec["volumeMounts"].as_array().unwrap() {
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        let place = folder.join(mount["name"].as_str().unwrap());
        fs::create_dir_all(&place)?;
        if !volume["secret"].is_null() {
            fill(&place, &volume["secret"], secret.unwrap());
        }
        let sub = mount["subPathExpr"].as_str().map(|expression| expand(expression, &env));
        let place = sub.map_or(place.clone(), |sub| place.join(sub));
        mounts.push((mount["mountPath"].as_str().unwrap().to_owned(), place));
    }
    let mounted = |text: &str| {
        let replace = |text: String, (path, place): &(String, PathBuf)| {
            text.replace(path, place.to_str().unwrap())
        };
        mounts.iter().fold(text.to_owned(), replace)
    };
    let strings = |key: &str| {
        let list = spec[key].as_array().cloned().unwrap_or_default();
        let strings = list.iter().map(|text| mounted(&expand(text.as_str().unwrap(), &env)));
        strings.collect::<Vec<_>>()
    };
    let command = strings("command");
    let log = File::create(&container.log)?;
    Command::new(&command[0])
        .args(&command[1..])
        .args(strings("args"))
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .envs(env.iter().map(|(name, value)| (name, mounted(value))))
        .current_dir(mounted(spec["workingDir"].as_str().unwrap()))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn environment(spec: &Value, annotations: &Value) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in spec["env"].as_array().unwrap() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some(path) => {
                assert_eq!(path, format!("metadata.annotations['{INDEX}']"));
                annotations[INDEX].as_str().unwrap().to_owned()
            }
            None => expand(variable["value"].as_str().unwrap(), &env),
        };
        env.push((variable["name"].as_str().unwrap().to_owned(), value));
    }
    env
}

/// The kubelet's own expansion: `$(NAME)` of a known variable, and `$$` for `$`.
fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let known = name.and_then(|(name, _)| env.iter().find(|(known, _)| known == name));
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let (Some((_, after)), Some((_, value))) = (name, known) {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// A Secret's items under their paths.
fn fill(place: &Path, volume: &Value, secret: &Value) {
    assert_eq!(volume["secretName"], secret["metadata"]["name"]);
    for item in volume["items"].as_array().unwrap() {
        let content = secret["data"][item["key"].as_str().unwrap()].as_str().unwrap();
        let content = base64::engine::general_purpose::STANDARD.decode(content).unwrap();
        let path = place.join(item["path"].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Until the process ends, by itself or after the deadline or a delete; then all of it goes.
fn wait(child: &mut Child, spec: &Value, container: &Container) -> (ExitStatus, bool) {
    let pid = Pid::from_child(child);
    let deadline = spec["activeDeadlineSeconds"].as_u64().map(Duration::from_secs);
    let grace = Duration::from_secs(spec["terminationGracePeriodSeconds"].as_u64().unwrap());
    let (started, mut asked, mut late) = (Instant::now(), None::<Instant>, false);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let over = deadline.is_some_and(|deadline| started.elapsed() >= deadline);
        if asked.is_none() && (over || container.asked.load(Ordering::SeqCst)) {
            late = over;
            asked = Some(Instant::now());
            let _ = kill_process(pid, Signal::TERM);
        }
        let patience = asked.is_some_and(|asked| asked.elapsed() >= grace);
        if patience || container.forced.load(Ordering::SeqCst) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        std::thread::sleep(TICK);
    };
    let _ = kill_process_group(pid, Signal::KILL);
    (status, late)
}
