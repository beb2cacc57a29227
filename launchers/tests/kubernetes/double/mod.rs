//! A scripted double of a Kubernetes API server: no Kubernetes is involved.
//!
//! It is a real HTTP server that the launcher's client reaches through a kubeconfig. It keeps the
//! Jobs, Pods and Secrets it is sent as they come, acts out what the Job controller and the
//! kubelet do with them ([`kubelet`]), and answers the few routes that the launcher uses in the
//! API's own shapes. What it can't show: that a real cluster accepts the objects, pulls images,
//! mounts Secrets and keeps limits.

mod cluster;
mod kubelet;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use cluster::Cluster;

/// The token that the kubeconfig has, and the double asks for.
const TOKEN: &str = "token-of-the-double";

/// The server; ends with what it started when it is dropped.
pub(crate) struct Double {
    folder: TempDir,
    cluster: Arc<Mutex<Cluster>>,
    server: JoinSet<()>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    label_selector: Option<String>,
    #[serde(default)]
    follow: bool,
    tail_lines: Option<usize>,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::new(folder.path().join("pods"));
        let cluster = Arc::new(Mutex::new(cluster));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&cluster));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let double = Self { folder, cluster, server };
        for (name, token) in [("kubeconfig", TOKEN), ("foreign", "another")] {
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "double",
                "clusters": [{"name": "double", "cluster": {"server": format!("http://{address}")}}],
                "users": [{"name": "tester", "user": {"token": token}}],
                "contexts": [{"name": "double", "context":
                    {"cluster": "double", "user": "tester", "namespace": "default"}}],
            });
            std::fs::write(double.file(name), config.to_string()).unwrap();
        }
        double
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// A kubeconfig with a token that the server doesn't know.
    pub(crate) fn foreign_kubeconfig(&self) -> PathBuf {
        self.file("foreign")
    }

    /// A folder for the launcher's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.file("state")
    }

    /// Objects of a kind (`jobs`, `pods`, `secrets`) as they are now.
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        self.cluster.lock().unwrap().list(kind, None, "")
    }

    /// Requests so far that have this method and this end of their path.
    pub(crate) fn count(&self, method: &str, end: &str) -> usize {
        let cluster = self.cluster.lock().unwrap();
        let fits = |(m, path): &&(String, String)| m == method && path.ends_with(end);
        cluster.requests.iter().filter(fits).count()
    }

    /// From now on requests of this method for objects of this kind fail, or no longer do.
    pub(crate) fn fail(&self, method: &str, kind: &str, fails: bool) {
        let request = (method.to_owned(), kind.to_owned());
        let mut cluster = self.cluster.lock().unwrap();
        match fails {
            true => cluster.failing.insert(request),
            false => cluster.failing.remove(&request),
        };
    }

    /// Removes an object behind the launcher's back.
    pub(crate) fn remove(&self, kind: &str, name: &str) {
        self.cluster.lock().unwrap().delete(kind, "default", name, false);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.server.abort_all();
        self.cluster.lock().unwrap().end();
    }
}

async fn answer(
    State(cluster): State<Arc<Mutex<Cluster>>>,
    method: Method,
    uri: Uri,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let known = format!("Bearer {TOKEN}");
    if headers.get("authorization").is_none_or(|value| value.as_bytes() != known.as_bytes()) {
        return status(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let mut locked = cluster.lock().unwrap();
    locked.requests.push((method.to_string(), uri.path().to_owned()));
    let path = uri.path().trim_start_matches("/apis/batch/v1/").trim_start_matches("/api/v1/");
    let parts: Vec<&str> = path.split('/').collect();
    let kind = parts.get(2).copied().unwrap_or_default();
    if locked.failing.contains(&(method.to_string(), kind.to_owned())) {
        return status(StatusCode::INTERNAL_SERVER_ERROR, "etcdserver: request timed out");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let selector = params.label_selector.as_deref().unwrap_or_default();
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["namespaces", namespace, kind]) => {
            if !["default", "ml"].contains(namespace) {
                let said = format!("namespaces {namespace:?} not found");
                return status(StatusCode::NOT_FOUND, &said);
            }
            let image = body["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
            if image == Some("double/refused") {
                return status(StatusCode::FORBIDDEN, "jobs.batch is forbidden: exceeded quota");
            }
            let created = locked.create(kind, namespace, body);
            if *kind == "jobs" && created["spec"]["suspend"] != true {
                let name = created["metadata"]["name"].as_str().unwrap();
                kubelet::run_job(&mut locked, &cluster, namespace, name);
            }
            json_answer(StatusCode::CREATED, &created)
        }
        ("GET", ["namespaces", namespace, kind]) => {
            let items = locked.list(kind, Some(namespace), selector);
            let kind = if *kind == "jobs" { "JobList" } else { "PodList" };
            let list = json!({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items});
            json_answer(StatusCode::OK, &list)
        }
        ("GET", ["namespaces", namespace, "pods", name, "log"]) => {
            match locked.log(namespace, name) {
                Some(path) => log(path, &params, &cluster, namespace, name),
                None => status(StatusCode::BAD_REQUEST, "container is waiting to start"),
            }
        }
        ("PATCH", ["namespaces", namespace, kind, name]) => {
            match locked.patch(kind, namespace, name, &body) {
                Some(patched) => {
                    if *kind == "jobs" && body["spec"]["suspend"] == false {
                        kubelet::run_job(&mut locked, &cluster, namespace, name);
                    }
                    json_answer(StatusCode::OK, &patched)
                }
                None => status(StatusCode::NOT_FOUND, &format!("{kind} {name:?} not found")),
            }
        }
        ("DELETE", ["namespaces", namespace, kind, name]) => {
            let force = body["gracePeriodSeconds"] == json!(0);
            match locked.delete(kind, namespace, name, force) {
                Some(deleted) => json_answer(StatusCode::OK, &deleted),
                None => status(StatusCode::NOT_FOUND, &format!("{kind} {name:?} not found")),
            }
        }
        _ => status(StatusCode::NOT_IMPLEMENTED, &format!("the double has no {method} {uri}")),
    }
}

fn json_answer(code: StatusCode, value: &Value) -> Response {
    (code, [("content-type", "application/json")], value.to_string()).into_response()
}

fn status(code: StatusCode, message: &str) -> Response {
    let value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": code.canonical_reason(), "code": code.as_u16()});
    json_answer(code, &value)
}

/// A pod's log from its file; followed until the pod is over.
fn log(
    path: PathBuf,
    params: &Params,
    cluster: &Arc<Mutex<Cluster>>,
    namespace: &str,
    name: &str,
) -> Response {
    let text = std::fs::read(&path).unwrap_or_default();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let from = lines.len().saturating_sub(params.tail_lines.unwrap_or(usize::MAX));
    let first = lines[from..].concat();
    if !params.follow {
        return Body::from(first).into_response();
    }
    let (cluster, pod) = (Arc::clone(cluster), (namespace.to_owned(), name.to_owned()));
    let state = (Some(first), text.len(), false);
    let parts = stream::unfold(state, move |(first, read, over)| {
        let (cluster, pod, path) = (Arc::clone(&cluster), pod.clone(), path.clone());
        async move {
            if let Some(first) = first {
                return Some((Ok::<_, std::io::Error>(first), (None, read, over)));
            }
            if over {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            let over = cluster.lock().unwrap().is_over(&pod.0, &pod.1);
            let text = std::fs::read(&path).unwrap_or_default();
            let new = text.get(read..).unwrap_or_default().to_vec();
            Some((Ok(new), (None, text.len().max(read), over)))
        }
    });
    Body::from_stream(parts).into_response()
}
