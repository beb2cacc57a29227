//! What the programs are told: one JSON document on standard input. Pure.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::config::{Call, NAME};
use super::programs::Programs;
use crate::{Error, LaunchRecord, LaunchSpec, LogOptions, Owner, RESULT_VARIABLE, StateDir};

/// The document's version; a program may refuse one that it does not know.
const VERSION: u32 = 1;

/// Checks what no program could do.
pub(super) fn check(spec: &LaunchSpec) -> Result<(), Error> {
    let cant = |field, remedy: &str| {
        Err(Error::Unsupported { launcher: NAME, field, remedy: remedy.to_owned() })
    };
    if spec.owner != Owner::Nobody {
        let remedy = "what runs elsewhere can't be bound to a process of this host: cancel it, or \
                      give it a timeout";
        return cant("owner", remedy);
    }
    if !spec.resources.cores.is_empty() {
        return cant("cores", "give a number as cpus; which cores is the service's choice");
    }
    Ok(())
}

/// Of which launch a request is, and what is known of its replicas here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Launch<'a> {
    pub(super) record: &'a LaunchRecord,
    pub(super) programs: &'a Programs,
    pub(super) state: &'a StateDir,
}

impl Launch<'_> {
    /// To start all replicas; `files` are the names of each one's files.
    pub(super) fn launch(self, files: &[Vec<&str>]) -> Value {
        let none = Vec::new();
        let replicas = (0..self.record.spec.replicas).map(|rank| {
            let names = files.get(rank as usize).unwrap_or(&none);
            self.replica_to_start(rank, names)
        });
        self.request(Call::Launch, replicas.collect())
    }

    /// Where these are. A handle is what the launch printed for its replica, or null.
    pub(super) fn poll(self, replicas: &[(u32, Value)]) -> Value {
        self.request(Call::Poll, self.replicas(replicas))
    }

    /// To end these; by force where a request did not.
    pub(super) fn cancel(self, replicas: &[(u32, Value)], force: bool) -> Value {
        let mut request = self.request(Call::Cancel, self.replicas(replicas));
        request["force"] = force.into();
        request
    }

    /// For the lines of one.
    pub(super) fn logs(self, replica: &(u32, Value), options: LogOptions) -> Value {
        let one = self.replicas(std::slice::from_ref(replica));
        let mut request = self.request(Call::Logs, one);
        request["tail"] = options.tail.into();
        request["follow"] = options.follow.into();
        request
    }

    /// For the result of one.
    pub(super) fn collect(self, replica: &(u32, Value)) -> Value {
        self.request(Call::Collect, self.replicas(std::slice::from_ref(replica)))
    }

    fn request(self, call: Call, replicas: Vec<Value>) -> Value {
        let LaunchRecord { id, spec, .. } = self.record;
        json!({
            "version": VERSION,
            "call": call.name(),
            "launch": id,
            "name": spec.name,
            "first_rank": spec.first_rank,
            "timeout_seconds": spec.timeout.map(seconds),
            "grace_seconds": seconds(spec.grace),
            "placement": spec.placement,
            "replicas": replicas,
        })
    }

    fn replicas(self, replicas: &[(u32, Value)]) -> Vec<Value> {
        replicas.iter().map(|(rank, handle)| self.replica(*rank, handle)).collect()
    }

    fn replica(self, rank: u32, handle: &Value) -> Value {
        let folder = self.programs.replica_folder(self.state, &self.record.id, rank);
        let result = folder.join("result.json");
        json!({"rank": rank, "handle": handle, "folder": text(&folder), "result": text(&result)})
    }

    fn replica_to_start(self, rank: u32, names: &[&str]) -> Value {
        let LaunchRecord { id, spec, .. } = self.record;
        let mut replica = self.replica(rank, &Value::Null);
        let folder = self.programs.replica_folder(self.state, id, rank);
        let files = folder.join("files");
        let args = spec.args_of(rank, &files, &folder);
        let mut env = spec.env_of(rank, &files, &folder);
        env.insert(RESULT_VARIABLE.to_owned(), text(&folder.join("result.json")));
        let here = self.state.files_folder(id, rank);
        let handed = names.iter().map(|name| {
            json!({"name": name, "from": text(&here.join(name)), "to": text(&files.join(name))})
        });
        let resources = spec.alone(rank).resources;
        replica["argv"] = std::iter::once(text(&spec.program)).chain(args).collect();
        replica["env"] = json!(env);
        replica["working_dir"] = json!(spec.working_dir.as_deref().map(text));
        replica["files"] = handed.collect();
        replica["resources"] = json!({
            "cpus": resources.cpus,
            "memory_bytes": resources.memory,
            "gpus": resources.gpus,
        });
        replica
    }
}

/// A whole number where it is one: shells calculate with nothing else.
fn seconds(time: Duration) -> Value {
    match time.subsec_nanos() {
        0 => time.as_secs().into(),
        _ => time.as_secs_f64().into(),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Config;
    use crate::{Gpus, Resources};

    fn programs() -> Programs {
        let sh = || vec!["sh".to_owned()];
        let replica_folder = Some("/far/{launch}/{rank}".to_owned());
        let (launch, poll, logs, cancel, collect) = (sh(), sh(), sh(), sh(), sh());
        let config =
            Config { launch, poll, logs, cancel, collect, replica_folder, ..Config::default() };
        Programs::find(&config).unwrap()
    }

    #[test]
    fn a_launch_says_all_that_a_replica_is_to_be() {
        let mut spec = LaunchSpec::new("job", 2, "worker");
        spec.args = ["--id={rank}", "{files}/tls.key", "{folder}"].map(str::to_owned).into();
        spec.env.insert("WHO".to_owned(), "{rank}".to_owned());
        spec.timeout = Some(Duration::from_millis(1500));
        spec.grace = Duration::from_secs(3);
        let gpus = Some(Gpus::Devices(vec!["4".to_owned(), "5".to_owned()]));
        spec.resources = Resources { cpus: Some(0.5), gpus, ..Resources::default() };
        spec.placement.hosts = vec!["n1".to_owned()];
        let id = "job-1f0c9e77a2b4".parse().unwrap();
        let record = LaunchRecord::new(id, NAME, &spec, "");
        let (programs, state) = (programs(), StateDir::new("/here"));
        let launch = Launch { record: &record, programs: &programs, state: &state };
        let request = launch.launch(&[vec![], vec!["tls.key"]]);
        let far = "/far/job-1f0c9e77a2b4/1";
        assert_eq!(
            request["replicas"][1],
            json!({
                "rank": 1, "handle": null, "folder": far, "result": format!("{far}/result.json"),
                "argv": ["worker", "--id=1", format!("{far}/files/tls.key"), far],
                "env": {"WHO": "1", "REPLICA_RANK": "1",
                    "REPLICA_RESULT": format!("{far}/result.json")},
                "working_dir": null,
                "files": [{"name": "tls.key", "from": "/here/job-1f0c9e77a2b4/1/files/tls.key",
                    "to": format!("{far}/files/tls.key")}],
                "resources": {"cpus": 0.5, "memory_bytes": null, "gpus": ["5"]},
            })
        );
        assert_eq!(request["replicas"][0]["files"], json!([]));
        assert_eq!(
            [&request["version"], &request["call"], &request["launch"], &request["name"]],
            [&json!(1), &json!("launch"), &json!("job-1f0c9e77a2b4"), &json!("job")]
        );
        assert_eq!(
            [&request["timeout_seconds"], &request["grace_seconds"]],
            [&json!(1.5), &json!(3)]
        );
        assert_eq!(request["placement"]["hosts"], json!(["n1"]));

        let one = (1, json!({"host": "n1"}));
        let replica = json!({"rank": 1, "handle": {"host": "n1"}, "folder": far,
            "result": format!("{far}/result.json")});
        let poll = launch.poll(std::slice::from_ref(&one));
        assert_eq!((&poll["call"], &poll["replicas"]), (&json!("poll"), &json!([replica])));
        assert_eq!(launch.cancel(&[], true)["force"], true);
        let options = LogOptions { tail: Some(5), follow: false };
        let logs = launch.logs(&one, options);
        assert_eq!((&logs["tail"], &logs["follow"]), (&json!(5), &json!(false)));
        assert_eq!(launch.logs(&one, LogOptions::default())["tail"], Value::Null);
        assert_eq!(launch.collect(&one)["replicas"], json!([replica]));
    }

    #[test]
    fn what_no_program_can_do_is_refused() {
        let mut spec = LaunchSpec::new("job", 1, "true");
        assert!(check(&spec).is_ok());
        spec.resources.cores = vec![0];
        assert!(check(&spec).unwrap_err().to_string().contains("cpus"));
        spec.owner = Owner::Caller;
        assert!(check(&spec).unwrap_err().to_string().contains("timeout"));
    }
}
