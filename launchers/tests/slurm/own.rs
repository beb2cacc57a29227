//! What is Slurm's own: its limits, its refusals, its ways to lose a job.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hearth_launchers::shim::{Report, Shim};
use hearth_launchers::slurm::{Config, Slurm};
use hearth_launchers::{
    Error, Gpus, Handle, LaunchRecord, LaunchSpec, Launcher as _, LogOptions, Replica, StateDir,
    Status,
};
use hearth_tests::SlurmCluster;
use rustix::process::Signal;
use serde_json::json;

use crate::conformance::Fixture;

const LIMIT: Duration = Duration::from_secs(30);

/// A launcher, and where its state is.
struct Own {
    slurm: Slurm,
    state: StateDir,
}

impl Own {
    fn new(cluster: &SlurmCluster, state: &str, commands: Option<PathBuf>) -> Self {
        let state = StateDir::new(cluster.shared().join(state));
        let config = Config { commands, env: cluster.env() };
        let slurm = Slurm::new(state.clone(), Shim::find(None).unwrap(), config);
        Self { slurm, state }
    }

    async fn launch(&self, spec: &LaunchSpec) -> Vec<Handle> {
        self.slurm.launch(spec).await.unwrap()
    }

    fn record(&self, handle: &Handle) -> LaunchRecord {
        self.state.load(&handle.launch).unwrap().unwrap()
    }

    async fn until(&self, handles: &[Handle], status: Status) -> Vec<Replica> {
        let began = Instant::now();
        loop {
            let seen = self.slurm.poll(handles).await.unwrap();
            if seen.iter().all(|replica| replica.status == status) {
                return seen;
            }
            assert!(began.elapsed() < LIMIT, "not {status}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) async fn limits_reach_slurm_and_refusals_come_back(
    fixture: &Fixture,
    cluster: &SlurmCluster,
) {
    let own = Own::new(cluster, "limits", cluster.commands());
    let mut spec = fixture.script(1, "sleep 60");
    spec.resources = serde_json::from_value(json!({"cpus": 1.5, "memory": 256 << 20})).unwrap();
    spec.timeout = Some(Duration::from_secs(110));
    spec.placement.pool = Some("main".to_owned());
    spec.placement.hosts = vec!["n1".to_owned()];
    spec.placement.labels = [("fast".to_owned(), String::new())].into();
    let handles = own.launch(&spec).await;
    own.until(&handles, Status::Running).await;
    let (job, _) = cluster.said("scontrol", &["show", "job", &own.record(&handles[0]).native]);
    for part in ["NumCPUs=2", "MinMemoryNode=256M", "TimeLimit=00:03:00", "Features=fast"] {
        assert!(job.contains(part), "{part}: {job}");
    }
    own.slurm.cancel(&handles).await.unwrap();
    let of_job = format!("--jobs={}", own.record(&handles[0]).native);
    let (runs, _) = cluster.said("squeue", &["--noheader", "--states=RUNNING", &of_job]);
    assert_eq!(runs, "", "Slurm has let it go");
    let refused = async |change: fn(&mut LaunchSpec), part: &str| {
        let mut spec = fixture.script(1, "exit 0");
        spec.name = "refused".to_owned();
        change(&mut spec);
        let error = own.slurm.launch(&spec).await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Manager { .. }) && said.contains(part), "{said}");
    };
    refused(|spec| spec.placement.pool = Some("nowhere".to_owned()), "nowhere").await;
    refused(|spec| spec.resources.gpus = Some(Gpus::Count(9)), "not available").await;
    let typed = |spec: &mut LaunchSpec| {
        spec.resources.gpus = Some(Gpus::Typed("H100".parse().unwrap()));
    };
    // Another text than for an option that Slurm can't read.
    refused(typed, "not available").await;
    let label = |spec: &mut LaunchSpec| spec.placement.labels = [("no".into(), "".into())].into();
    refused(label, "Invalid feature").await;
    let kept = own.state.list().unwrap();
    assert!(!kept.iter().any(|record| record.spec.name == "refused"), "{kept:?}");
}

/// Neither the state's folder nor an argument is read by a shell.
pub(crate) async fn nothing_is_read_by_a_shell(fixture: &Fixture, cluster: &SlurmCluster) {
    let own = Own::new(cluster, "it's 50% \"$HOME\" `id` \\a", cluster.commands());
    let odd = "a 'b' \"c\" $HOME `id` %j \\ ;exit 7";
    let mut spec = fixture.script(1, "printf '%s\\n' \"$0\" \"$ODD\"");
    spec.args.push(odd.to_owned());
    spec.env.insert("ODD".to_owned(), odd.to_owned());
    let handles = own.launch(&spec).await;
    let outcomes = own.slurm.collect(&handles, Some(LIMIT)).await.unwrap();
    assert_eq!(outcomes[0].status, Status::Succeeded, "{outcomes:?}");
    let lines = own.slurm.logs(&handles[0], LogOptions::default()).await.unwrap();
    let lines: Vec<String> = futures_util::TryStreamExt::try_collect(lines).await.unwrap();
    assert_eq!(lines, [odd, odd]);
}

pub(crate) async fn one_question_for_all_and_none_for_ended(
    fixture: &Fixture,
    cluster: &SlurmCluster,
) {
    let counted = cluster.shared().join("counted");
    let log = counted.join("log");
    fs::create_dir(&counted).unwrap();
    for name in ["sbatch", "squeue", "scancel"] {
        let real = cluster.commands().unwrap_or_default().join(name);
        let script = format!(
            "#!/bin/sh\necho {name} >> {}\nexec {} \"$@\"\n",
            log.display(),
            real.display()
        );
        fs::write(counted.join(name), script).unwrap();
        fs::set_permissions(counted.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let own = Own::new(cluster, "counted-state", Some(counted));
    let count = |name: &str| {
        fs::read_to_string(&log).unwrap_or_default().lines().filter(|line| *line == name).count()
    };
    let mut handles = own.launch(&fixture.script(5, "exec sleep 60")).await;
    handles.extend(own.launch(&fixture.script(3, "exec sleep 60")).await);
    assert_eq!(count("sbatch"), 2);
    own.until(&handles, Status::Running).await;
    let before = count("squeue");
    own.slurm.poll(&handles).await.unwrap();
    assert_eq!(count("squeue"), before + 1);
    own.slurm.cancel(&handles).await.unwrap();
    let before = count("squeue");
    own.slurm.collect(&handles, Some(LIMIT)).await.unwrap();
    assert_eq!(count("squeue"), before);
}

pub(crate) async fn what_waits_can_be_cancelled_and_never_runs(
    fixture: &Fixture,
    cluster: &SlurmCluster,
) {
    let own = Own::new(cluster, "waits", cluster.commands());
    let handles = own.launch(&fixture.script(2, "touch {folder}/ran; exec sleep 60")).await;
    own.slurm.cancel(&handles).await.unwrap();
    own.until(&handles, Status::Cancelled).await;
    // A partition that is down keeps jobs waiting, and the reason is told.
    let _ = cluster.said("scontrol", &["update", "PartitionName=later", "State=DOWN"]);
    let mut spec = fixture.script(1, "touch {folder}/ran");
    spec.placement.pool = Some("later".to_owned());
    let handles = own.launch(&spec).await;
    let began = Instant::now();
    loop {
        let seen = own.slurm.poll(&handles).await.unwrap().remove(0);
        assert_eq!(seen.status, Status::Pending, "{seen:?}");
        if seen.error.as_ref().is_some_and(|error| error.contains("PartitionDown")) {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    own.slurm.cancel(&handles).await.unwrap();
    own.until(&handles, Status::Cancelled).await;
    let folder = own.state.replica_folder(&handles[0].launch, 0);
    assert!(!folder.join("ran").exists());
    // By somebody else, and then forgotten by Slurm: it stays as it was seen.
    let handles = own.launch(&spec).await;
    let mut record = own.record(&handles[0]);
    let _ = cluster.said("scancel", &[&record.native]);
    own.until(&handles, Status::Cancelled).await;
    record.native = "4000000".to_owned();
    own.state.save(&record).unwrap();
    own.until(&handles, Status::Cancelled).await;
}

/// Ends that no shim reports: Slurm's word counts, as long as it knows one.
pub(crate) async fn a_job_that_vanishes_is_told_from_one_that_was_cancelled(
    fixture: &Fixture,
    cluster: &SlurmCluster,
) {
    let own = Own::new(cluster, "vanishes", cluster.commands());
    let run = async || {
        let handles = own.launch(&fixture.script(1, "exec sleep 60")).await;
        own.until(&handles, Status::Running).await;
        let job = own.record(&handles[0]).native;
        (handles, job)
    };
    // Somebody else's scancel.
    let (handles, job) = run().await;
    let _ = cluster.said("scancel", &[&job]);
    own.until(&handles, Status::Cancelled).await;
    // Its shim killed, as the kernel does where memory is short.
    let (handles, _) = run().await;
    let folder = own.state.replica_folder(&handles[0].launch, 0);
    Report::read(&folder).unwrap().unwrap().shim.signal(Signal::KILL);
    let seen = own.until(&handles, Status::Failed).await;
    assert!(seen[0].error.as_ref().unwrap().contains("was killed"), "{seen:?}");
    // Slurm has forgotten it, and there is no report: the folder is not shared, its node is lost.
    let (handles, _) = run().await;
    let mut record = own.record(&handles[0]);
    let job = std::mem::replace(&mut record.native, "4000000".to_owned());
    own.state.save(&record).unwrap();
    let seen = own.until(&handles, Status::Failed).await;
    assert!(seen[0].error.as_ref().unwrap().contains("no longer knows it"), "{seen:?}");
    record.native = job;
    own.state.save(&record).unwrap();
    own.slurm.cancel(&handles).await.unwrap();
    own.until(&handles, Status::Cancelled).await;
}

/// Its command was killed before it had kept the job's number, or before it had it.
pub(crate) async fn a_launch_that_was_broken_off_is_found_by_its_name(
    fixture: &Fixture,
    cluster: &SlurmCluster,
) {
    let own = Own::new(cluster, "broken-off", cluster.commands());
    let handles = own.launch(&fixture.script(2, "exec sleep 60")).await;
    let record = own.record(&handles[0]);
    let lost = LaunchRecord { native: String::new(), ..record.clone() };
    own.state.save(&lost).unwrap();
    own.until(&handles, Status::Running).await;
    assert_eq!(own.record(&handles[0]), record, "its number is kept from then on");
    own.state.save(&lost).unwrap();
    own.slurm.cancel(&handles).await.unwrap();
    own.until(&handles, Status::Cancelled).await;

    // Accepted by Slurm, and its answer never read.
    let slow = cluster.shared().join("slow");
    fs::create_dir(&slow).unwrap();
    for (name, after) in [("sbatch", "sleep 60"), ("squeue", ""), ("scancel", "")] {
        let real = cluster.commands().unwrap_or_default().join(name);
        let script = format!("#!/bin/sh\n{} \"$@\" || exit\n{after}\n", real.display());
        fs::write(slow.join(name), script).unwrap();
        fs::set_permissions(slow.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let own = Own::new(cluster, "given-up", Some(slow));
    let _ = cluster.said("scontrol", &["update", "PartitionName=later", "State=DOWN"]);
    let mut spec = fixture.script(2, "touch {folder}/ran");
    spec.placement.pool = Some("later".to_owned());
    let queued = |id: &str| cluster.said("squeue", &["--noheader", &format!("--name={id}")]).0;
    {
        let launch = own.slurm.launch(&spec);
        tokio::pin!(launch);
        let began = Instant::now();
        loop {
            let pause = Duration::from_millis(100);
            assert!(tokio::time::timeout(pause, &mut launch).await.is_err());
            let records = own.state.list().unwrap();
            if records.first().is_some_and(|record| !queued(record.id.as_str()).is_empty()) {
                break;
            }
            assert!(began.elapsed() < LIMIT);
        }
    }
    let record = own.state.list().unwrap().remove(0);
    assert_eq!(record.native, "");
    let handles: Vec<Handle> = record.handles().collect();
    own.until(&handles, Status::Cancelled).await;
    own.slurm.cancel(&handles).await.unwrap();
    assert_eq!(queued(record.id.as_str()), "");
}

/// Last of all: it takes the node away from whoever is on it.
pub(crate) async fn a_lost_node_is_told(fixture: &Fixture, cluster: &SlurmCluster) {
    let own = Own::new(cluster, "lost", cluster.commands());
    let handles = own.launch(&fixture.script(1, "trap '' TERM; while :; do sleep 1; done")).await;
    own.until(&handles, Status::Running).await;
    let _ = cluster.said("scontrol", &["update", "NodeName=n1", "State=DOWN", "Reason=test"]);
    let seen = own.until(&handles, Status::Failed).await;
    assert!(seen[0].error.as_ref().unwrap().contains("node failed"), "{seen:?}");
}

pub(crate) async fn without_slurm_the_remedy_is_named(fixture: &Fixture, cluster: &SlurmCluster) {
    let own = Own::new(cluster, "absent", Some(Path::new("/nowhere").to_owned()));
    let error = own.slurm.launch(&fixture.script(1, "exit 0")).await.unwrap_err();
    assert!(matches!(error, Error::ManagerAbsent { .. }), "{error}");
    assert!(error.to_string().contains("slurm-client"), "{error}");
    assert_eq!(own.state.list().unwrap(), []);
}
