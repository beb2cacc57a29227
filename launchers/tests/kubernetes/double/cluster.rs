//! What the double keeps: objects as they were sent, and the processes that stand for containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::kubelet::Container;

/// Kind, namespace, name.
type Key = (String, String, String);

pub(super) struct Cluster {
    pub(super) folder: PathBuf,
    pub(super) requests: Vec<(String, String)>,
    /// Methods and kinds whose requests fail.
    pub(super) failing: BTreeSet<(String, String)>,
    objects: BTreeMap<Key, Value>,
    /// By namespace and pod.
    pub(super) containers: BTreeMap<(String, String), Container>,
    created: u32,
}

impl Cluster {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            requests: Vec::new(),
            failing: BTreeSet::new(),
            objects: BTreeMap::new(),
            containers: BTreeMap::new(),
            created: 0,
        }
    }

    pub(super) fn create(&mut self, kind: &str, namespace: &str, mut object: Value) -> Value {
        self.created += 1;
        let (minutes, seconds) = (self.created / 60 % 60, self.created % 60);
        let metadata = &mut object["metadata"];
        metadata["namespace"] = namespace.into();
        metadata["uid"] = format!("uid-{}", self.created).into();
        metadata["creationTimestamp"] = format!("2026-01-01T00:{minutes:02}:{seconds:02}Z").into();
        let name = metadata["name"].as_str().unwrap().to_owned();
        self.objects.insert((kind.into(), namespace.into(), name), object.clone());
        object
    }

    pub(super) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind.into(), namespace.into(), name.into()))
    }

    pub(super) fn get_mut(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<&mut Value> {
        self.objects.get_mut(&(kind.into(), namespace.into(), name.into()))
    }

    /// The objects that a selector of the form `key in (a,b)` chooses; all when it is empty.
    pub(super) fn list(&self, kind: &str, namespace: Option<&str>, selector: &str) -> Vec<Value> {
        let chosen = |object: &Value| {
            let Some((key, values)) = selector.split_once(" in (") else {
                return selector.is_empty();
            };
            let label = object["metadata"]["labels"][key].as_str().unwrap_or_default();
            values.trim_end_matches(')').split(',').any(|value| value == label)
        };
        self.objects
            .iter()
            .filter(|((k, n, _), _)| k == kind && namespace.is_none_or(|namespace| namespace == n))
            .map(|(_, object)| object.clone())
            .filter(chosen)
            .collect()
    }

    /// Merges the members of `metadata` and `spec`.
    pub(super) fn patch(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Option<Value> {
        let object = self.get_mut(kind, namespace, name)?;
        for part in ["metadata", "spec"] {
            for (key, value) in patch[part].as_object().into_iter().flatten() {
                object[part][key] = value.clone();
            }
        }
        Some(object.clone())
    }

    /// Deletes: a Job and its pods go once the pods have ended; what a Job owns goes with it.
    pub(super) fn delete(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        force: bool,
    ) -> Option<Value> {
        let object = self.get_mut(kind, namespace, name)?;
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
        let object = object.clone();
        match kind {
            "jobs" => {
                for pod in self.pods_of(namespace, name) {
                    self.delete("pods", namespace, &pod, force);
                }
            }
            "pods" => {
                let container = self.containers.get(&(namespace.to_owned(), name.to_owned()));
                if let Some(container) = container {
                    container.ask_to_end(force);
                }
            }
            _ => {
                self.objects.remove(&(kind.into(), namespace.into(), name.into()));
            }
        }
        self.clear();
        Some(object)
    }

    pub(super) fn pods_of(&self, namespace: &str, job: &str) -> Vec<String> {
        let pods = self.list("pods", Some(namespace), "");
        let own = pods.iter().filter(|pod| pod["metadata"]["labels"]["job-name"] == job);
        own.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What the controllers do: removes deleted pods that have ended, deleted Jobs without pods,
    /// and Secrets without their owner.
    pub(super) fn clear(&mut self) {
        let deleted = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
        let over = |object: &Value| {
            matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        };
        let gone: Vec<(Key, Value)> = self
            .objects
            .iter()
            .filter(|((kind, ..), object)| kind == "pods" && deleted(object) && over(object))
            .map(|(key, pod)| (key.clone(), pod.clone()))
            .collect();
        for (key, pod) in gone {
            self.objects.remove(&key);
            let job = pod["metadata"]["labels"]["job-name"].as_str().unwrap();
            let index = pod["metadata"]["annotations"][super::kubelet::INDEX].as_str().unwrap();
            if let Some(job) = self.get_mut("jobs", &key.1, job) {
                job["status"]["failedIndexes"] = index.into();
            }
        }
        let jobs: Vec<Key> = self
            .objects
            .iter()
            .filter(|((kind, namespace, name), object)| {
                kind == "jobs" && deleted(object) && self.pods_of(namespace, name).is_empty()
            })
            .map(|(key, _)| key.clone())
            .collect();
        for job in jobs {
            let uid = self.objects.remove(&job).unwrap()["metadata"]["uid"].clone();
            let owned = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"] == uid;
            self.objects.retain(|_, object| !owned(object));
        }
    }

    pub(super) fn is_over(&self, namespace: &str, pod: &str) -> bool {
        let pod = self.get("pods", namespace, pod);
        pod.is_none_or(|pod| pod["status"]["phase"] != "Running")
    }

    /// The file that has a pod's log, once its container was started.
    pub(super) fn log(&self, namespace: &str, pod: &str) -> Option<PathBuf> {
        let container = self.containers.get(&(namespace.to_owned(), pod.to_owned()))?;
        container.started().then(|| container.log.clone())
    }

    pub(super) fn end(&mut self) {
        for container in self.containers.values() {
            container.ask_to_end(true);
        }
    }
}
