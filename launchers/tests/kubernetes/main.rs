//! The Kubernetes launcher against a scripted double of an API server; see [`double`] for what
//! that shows and what it can't.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod double;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hearth_launchers::kubernetes::{Config, Kubernetes};
use hearth_launchers::{
    Error, Files, Handle, LaunchRecord, LaunchSpec, Launcher as _, LogOptions, Owner, Replica,
    StateDir, Status,
};
use serde_json::json;

use double::Double;

const LIMIT: Option<Duration> = Some(Duration::from_secs(30));

fn launcher_with(double: &Double, kubeconfig: PathBuf) -> Kubernetes {
    let config = Config { kubeconfig: Some(kubeconfig), ..Config::default() };
    Kubernetes::new(StateDir::new(double.state()), config)
}

fn launcher(double: &Double) -> Kubernetes {
    launcher_with(double, double.kubeconfig())
}

fn script(replicas: u32, script: &str) -> LaunchSpec {
    let mut spec = LaunchSpec::new("job", replicas, "sh");
    spec.args = vec!["-c".to_owned(), script.to_owned()];
    spec.placement.image = Some("registry.example/hearth:1".to_owned());
    spec.grace = Duration::from_secs(2);
    spec
}

/// Polls until `reached` holds for all.
async fn until(
    launcher: &Kubernetes,
    handles: &[Handle],
    reached: impl Fn(&Replica) -> bool,
) -> Vec<Replica> {
    for _ in 0..500 {
        let replicas = launcher.poll(handles).await.unwrap();
        if replicas.iter().all(&reached) {
            return replicas;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 10 s: {:?}", launcher.poll(handles).await);
}

async fn log(launcher: &Kubernetes, handle: &Handle, options: LogOptions) -> Vec<String> {
    launcher.logs(handle, options).await.unwrap().try_collect().await.unwrap()
}

#[tokio::test]
async fn double_runs_an_indexed_job_and_ends_come_back_in_rank_order() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let spec = script(3, "echo {\\\"rank\\\": $REPLICA_RANK} > $REPLICA_RESULT; exit {rank}");
    let handles = kubernetes.launch(&spec).await.unwrap();
    let outcomes = kubernetes.collect(&handles, LIMIT).await.unwrap();
    let ends: Vec<_> = outcomes.iter().map(|o| (o.rank, o.status, o.exit_code)).collect();
    let failed = Status::Failed;
    assert_eq!(ends, [(0, Status::Succeeded, Some(0)), (1, failed, Some(1)), (2, failed, Some(2))]);
    assert_eq!(outcomes[2].result, Some(json!({"rank": 2})));
    assert_eq!(outcomes[2].error.as_deref(), Some("ended with status 2"));
    // What is known is not asked again, and outlives the Job.
    let asked = double.count("GET", "/pods");
    double.remove("jobs", handles[0].launch.as_str());
    let again = launcher(&double).collect(&handles, LIMIT).await.unwrap();
    assert_eq!(again, outcomes);
    assert_eq!(double.count("GET", "/pods"), asked);
}

#[tokio::test]
async fn double_is_sent_the_manifest_that_the_spec_means() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut spec = script(2, "exit 0");
    spec.rank_variable = "MY_RANK".to_owned();
    spec.env.insert("GREETING".to_owned(), "hello $USER".to_owned());
    spec.resources =
        serde_json::from_value(json!({"cpus": 0.5, "memory": 1 << 20, "gpus": 1})).unwrap();
    spec.timeout = Some(Duration::from_secs(60));
    spec.placement.pool = Some("ml".to_owned());
    spec.placement.hosts = vec!["n1".to_owned(), "n2".to_owned()];
    spec.placement.labels = [("card".to_owned(), "h200".to_owned())].into();
    let handles = kubernetes.launch(&spec).await.unwrap();
    kubernetes.collect(&handles, LIMIT).await.unwrap();
    let job = double.objects("jobs").remove(0);
    assert_eq!(job["metadata"]["namespace"], "ml");
    assert_eq!(job["metadata"]["name"], handles[0].launch.as_str());
    let (job, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
    let numbers = [&job["completions"], &job["parallelism"], &job["backoffLimitPerIndex"]];
    assert_eq!(numbers, [2, 2, 0]);
    assert_eq!(job["ttlSecondsAfterFinished"], 24 * 60 * 60);
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["activeDeadlineSeconds"], 60);
    assert_eq!(pod["terminationGracePeriodSeconds"], 2);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["nodeSelector"], json!({"card": "h200"}));
    let affinity = pod["affinity"].to_string();
    assert!(affinity.contains("kubernetes.io/hostname") && affinity.contains("\"n2\""));
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/hearth:1");
    assert_eq!(container["command"], json!(["sh"]));
    let limits = json!({"cpu": "500m", "memory": "1048576", "nvidia.com/gpu": "1"});
    assert_eq!(container["resources"], json!({"limits": limits, "requests": limits}));
    assert_eq!(container["env"][0]["name"], "MY_RANK");
    assert_eq!(container["env"][2], json!({"name": "GREETING", "value": "hello $$USER"}));
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
}

#[tokio::test]
async fn double_is_asked_for_nodes_that_have_a_type_of_cards() {
    let double = Double::start().await;
    let product = [("nvidia.com/gpu.product".to_owned(), "NVIDIA-A100-SXM4-80GB".to_owned())];
    let config = Config {
        kubeconfig: Some(double.kubeconfig()),
        gpu_node_selector: [("A100".to_owned(), product.into())].into(),
        ..Config::default()
    };
    let kubernetes = Kubernetes::new(StateDir::new(double.state()), config);
    let mut spec = script(1, "exit 0");
    spec.resources = serde_json::from_value(json!({"gpus": "A100:2"})).unwrap();
    kubernetes.launch(&spec).await.unwrap();
    let pod = &double.objects("jobs").remove(0)["spec"]["template"]["spec"];
    let selector = json!({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"});
    assert_eq!(pod["nodeSelector"], selector);
    assert_eq!(pod["containers"][0]["resources"]["limits"], json!({"nvidia.com/gpu": "2"}));

    spec.resources = serde_json::from_value(json!({"gpus": "H100"})).unwrap();
    let error = kubernetes.launch(&spec).await.unwrap_err();
    assert!(error.is_configuration() && error.to_string().contains("those are A100"), "{error}");
    assert_eq!(double.objects("jobs").len(), 1);
}

#[tokio::test]
async fn double_gives_each_rank_its_own_files_and_they_go_with_the_job() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut spec = script(2, "cd {files} && echo $(ls) $(cat tls.key); sleep 30");
    let files = |key: &str| Files::from([("tls.key".to_owned(), key.as_bytes().to_vec())]);
    spec.files = vec![files("key of 0"), files("key of 1")];
    let handles = kubernetes.launch(&spec).await.unwrap();
    until(&kubernetes, &handles, |replica| replica.status == Status::Running).await;
    for (rank, handle) in handles.iter().enumerate() {
        let options = LogOptions { tail: None, follow: true };
        let mut lines = kubernetes.logs(handle, options).await.unwrap();
        let line = lines.try_next().await.unwrap();
        assert_eq!(line, Some(format!("tls.key key of {rank}")));
    }
    let secret = double.objects("secrets").remove(0);
    assert_eq!(secret["immutable"], true);
    assert_eq!(secret["metadata"]["ownerReferences"][0]["kind"], "Job");
    let volume = double.objects("jobs")[0]["spec"]["template"]["spec"]["volumes"][1].clone();
    assert_eq!(volume["secret"]["defaultMode"], 0o400);
    let state = StateDir::new(double.state());
    let here = std::fs::read_dir(state.files_folder(&handles[0].launch, 0)).unwrap();
    assert_eq!(here.count(), 0, "keys for the cluster don't stay on this host");
    kubernetes.cancel(&handles).await.unwrap();
    assert_eq!(double.objects("secrets").len() + double.objects("jobs").len(), 0);
}

#[tokio::test]
async fn double_ends_what_runs_too_long_and_tells_other_failures_apart() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut late = script(1, "sleep 60");
    late.timeout = Some(Duration::from_secs(1));
    let mut absent = script(1, "");
    absent.program = "no-such-program".into();
    let mut memory = script(1, "kill -9 $$");
    memory.placement.image = Some("double/oom".to_owned());
    let large = script(1, "printf '[%5000s]' 1 > $REPLICA_RESULT");
    let mut errors = Vec::new();
    for spec in [late, absent, memory, script(1, "kill -9 $$"), large] {
        let handles = kubernetes.launch(&spec).await.unwrap();
        let outcome = kubernetes.collect(&handles, LIMIT).await.unwrap().remove(0);
        errors.push((outcome.status, outcome.error.unwrap()));
    }
    let said = |at: usize| errors[at].1.as_str();
    assert_eq!(said(0), "ran longer than 1s");
    assert!(said(1).contains("No such file"), "{}", said(1));
    assert!(said(2).starts_with("out of memory"), "{}", said(2));
    assert_eq!(said(3), "killed by signal 9");
    assert!(said(4).contains("4096 bytes"), "{}", said(4));
    let statuses: Vec<_> = errors.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses[..4], [Status::Failed; 4]);
    assert_eq!(statuses[4], Status::Succeeded);
}

#[tokio::test]
async fn double_ends_replicas_gracefully_then_firmly_and_only_those_that_are_named() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let kind = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    let text = format!("case {{rank}} in 0) {kind};; 1) {stubborn};; 2) exit 0;; *) {kind};; esac");
    let mut spec = script(4, &text);
    spec.grace = Duration::from_secs(1);
    let handles = kubernetes.launch(&spec).await.unwrap();
    until(&kubernetes, &handles, |r| r.status == Status::Running || r.rank == 2).await;
    until(&kubernetes, &handles[2..3], |r| r.status == Status::Succeeded).await;
    kubernetes.cancel(&handles[..3]).await.unwrap();
    let statuses = |replicas: Vec<Replica>| replicas.iter().map(|r| r.status).collect::<Vec<_>>();
    let (cancelled, done) = (Status::Cancelled, Status::Succeeded);
    let now = statuses(kubernetes.poll(&handles).await.unwrap());
    assert_eq!(now, [cancelled, cancelled, done, Status::Running]);
    assert_eq!(double.objects("jobs").len(), 1);
    kubernetes.cancel(&handles).await.unwrap();
    launcher(&double).cancel(&handles).await.unwrap();
    let now = statuses(launcher(&double).poll(&handles).await.unwrap());
    assert_eq!(now, [cancelled, cancelled, done, cancelled]);
}

#[tokio::test]
async fn double_says_why_a_pod_waits_and_it_can_be_cancelled_then() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    for (image, why) in [
        ("double/absent", "ImagePullBackOff: Back-off pulling image \"double/absent\""),
        ("double/too-large", "Unschedulable: 0/1 nodes are available"),
    ] {
        let mut spec = script(2, "exit 0");
        spec.placement.image = Some(image.to_owned());
        let handles = kubernetes.launch(&spec).await.unwrap();
        let told = |replica: &Replica| {
            let error = replica.error.as_deref().unwrap_or_default();
            replica.status == Status::Pending && error.starts_with(why)
        };
        until(&kubernetes, &handles, told).await;
        assert_eq!(log(&kubernetes, &handles[0], LogOptions::default()).await, [""; 0]);
        let timeout = Some(Duration::from_millis(50));
        let late = kubernetes.collect(&handles, timeout).await.unwrap_err();
        let Error::CollectTimeout { running, .. } = late else { panic!("{late}") };
        assert_eq!(running, handles);
        kubernetes.cancel(&handles).await.unwrap();
        let outcomes = kubernetes.collect(&handles, LIMIT).await.unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.status == Status::Cancelled));
    }
}

#[tokio::test]
async fn double_gives_logs_whole_by_their_end_and_as_they_come() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let text = "for i in 1 2 3; do echo line $i; done; sleep 0.3; echo line 4; printf end";
    let handles = kubernetes.launch(&script(1, text)).await.unwrap();
    let follow = LogOptions { tail: Some(10), follow: true };
    let lines = log(&kubernetes, &handles[0], follow).await;
    assert_eq!(lines, ["line 1", "line 2", "line 3", "line 4", "end"]);
    let tail = LogOptions { tail: Some(2), follow: false };
    assert_eq!(log(&kubernetes, &handles[0], tail).await, ["line 4", "end"]);
}

#[tokio::test]
async fn double_is_asked_once_for_all_replicas() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut handles = kubernetes.launch(&script(3, "sleep 30")).await.unwrap();
    handles.extend(kubernetes.launch(&script(2, "sleep 30")).await.unwrap());
    until(&kubernetes, &handles, |replica| replica.status == Status::Running).await;
    let before = double.count("GET", "");
    kubernetes.poll(&handles).await.unwrap();
    assert_eq!(double.count("GET", "") - before, 1);
    kubernetes.cancel(&handles).await.unwrap();
}

#[tokio::test]
async fn double_refuses_and_nothing_is_left() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut refused = script(1, "exit 0");
    refused.placement.image = Some("double/refused".to_owned());
    refused.files = vec![Files::from([("tls.key".to_owned(), b"key".to_vec())])];
    let error = kubernetes.launch(&refused).await.unwrap_err().to_string();
    assert!(error.contains("exceeded quota") && error.contains("docs/launchers.md"), "{error}");
    let mut nowhere = script(1, "exit 0");
    nowhere.placement.pool = Some("nowhere".to_owned());
    let error = kubernetes.launch(&nowhere).await.unwrap_err().to_string();
    assert!(error.contains("\"nowhere\" not found"), "{error}");
    let foreign = launcher_with(&double, double.foreign_kubeconfig());
    let error = foreign.launch(&script(1, "exit 0")).await.unwrap_err().to_string();
    assert!(error.contains("credentials"), "{error}");
    assert_eq!(double.objects("secrets").len() + double.objects("jobs").len(), 0);
    assert_eq!(StateDir::new(double.state()).list().unwrap(), []);
}

fn with_a_key(spec: LaunchSpec) -> LaunchSpec {
    let key = Files::from([("tls.key".to_owned(), b"key".to_vec())]);
    LaunchSpec { files: vec![key; spec.replicas as usize], ..spec }
}

#[tokio::test]
async fn double_fails_in_the_middle_and_no_key_is_left() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let state = StateDir::new(double.state());
    let spec = with_a_key(script(2, "exit 0"));
    double.fail("POST", "secrets", true);
    let error = kubernetes.launch(&spec).await.unwrap_err().to_string();
    assert!(error.contains("create the Secret") && error.contains("timed out"), "{error}");
    assert_eq!(double.objects("secrets").len() + double.objects("jobs").len(), 0);
    assert_eq!(state.list().unwrap(), []);
    // And it can't be undone either: the launch is kept, so that a cancel can do that.
    double.fail("POST", "secrets", false);
    double.fail("PATCH", "jobs", true);
    double.fail("DELETE", "jobs", true);
    let error = kubernetes.launch(&spec).await.unwrap_err().to_string();
    assert!(error.contains("hearth replicas cancel kubernetes/job-"), "{error}");
    let secret = double.objects("secrets").remove(0);
    assert_eq!(secret["metadata"]["ownerReferences"][0]["kind"], "Job");
    let handles: Vec<Handle> = state.list().unwrap()[0].handles().collect();
    let replica = kubernetes.poll(&handles).await.unwrap().remove(0);
    assert_eq!((replica.status, replica.error.as_deref()), {
        (Status::Pending, Some("its Job is suspended"))
    });
    assert_eq!(double.objects("pods"), [json!(null); 0]);
    double.fail("DELETE", "jobs", false);
    kubernetes.cancel(&handles).await.unwrap();
    assert_eq!(double.objects("secrets").len() + double.objects("jobs").len(), 0);
    let replicas = kubernetes.poll(&handles).await.unwrap();
    assert!(replicas.iter().all(|replica| replica.status == Status::Cancelled), "{replicas:?}");
}

/// Its command was killed before the Job's creation was answered.
#[tokio::test]
async fn double_is_asked_to_remove_what_may_have_come_of_a_launch_that_was_broken_off() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let spec = script(1, "exit 0");
    let record = LaunchRecord::new(spec.launch_id(), "kubernetes", &spec, "default");
    StateDir::new(double.state()).create(&record, &[]).unwrap();
    let handles: Vec<Handle> = record.handles().collect();
    let status = async || kubernetes.poll(&handles).await.unwrap()[0].status;
    assert_eq!(status().await, Status::Pending);
    kubernetes.cancel(&handles).await.unwrap();
    for kind in ["jobs", "secrets"] {
        assert_eq!(double.count("DELETE", &format!("/{kind}/{}", record.id)), 1, "{kind}");
    }
    assert_eq!(status().await, Status::Cancelled);
}

/// A rank without a pod must not keep the lines of the others.
#[tokio::test]
async fn double_is_followed_without_waiting_for_the_first_pod() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut spec = script(1, "exit 0");
    spec.placement.image = Some("double/too-large".to_owned());
    let handles = kubernetes.launch(&spec).await.unwrap();
    let follow = LogOptions { tail: None, follow: true };
    let opened = tokio::time::timeout(Duration::from_secs(5), kubernetes.logs(&handles[0], follow));
    let mut lines = opened.await.expect("the lines come later").unwrap();
    kubernetes.cancel(&handles).await.unwrap();
    assert_eq!(lines.try_next().await.unwrap(), None, "they end with it");
}

#[tokio::test]
async fn without_a_cluster_or_an_image_the_remedy_is_named() {
    let double = Double::start().await;
    let absent = launcher_with(&double, double.state().join("no-kubeconfig"));
    let error = absent.launch(&script(1, "exit 0")).await.unwrap_err();
    assert!(matches!(error, Error::ManagerAbsent { .. }), "{error}");
    assert!(error.to_string().contains("no-kubeconfig"), "{error}");
    let kubernetes = launcher(&double);
    let mut spec = script(1, "exit 0");
    spec.placement.image = None;
    let error = kubernetes.launch(&spec).await.unwrap_err().to_string();
    assert!(error.contains("name the container image"), "{error}");
    spec = script(1, "exit 0");
    spec.owner = Owner::Caller;
    assert!(matches!(kubernetes.launch(&spec).await, Err(Error::Unsupported { .. })));
}

#[tokio::test]
async fn double_loses_a_job_and_its_replicas_count_as_failed() {
    let double = Double::start().await;
    let kubernetes = launcher(&double);
    let mut spec = script(2, "sleep 30");
    spec.grace = Duration::ZERO;
    let handles = kubernetes.launch(&spec).await.unwrap();
    until(&kubernetes, &handles, |replica| replica.status == Status::Running).await;
    double.remove("jobs", handles[0].launch.as_str());
    let outcomes = kubernetes.collect(&handles, LIMIT).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Failed));
}
