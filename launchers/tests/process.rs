//! The `process` launcher: the suite of all launchers, and what is its own.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod conformance;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use conformance::Fixture;
use hearth_launchers::shim::{Plan, ProcessId, Report, Shim};
use hearth_launchers::{
    Error, Gpus, Handle, LaunchRecord, LaunchSpec, Launcher, Owner, ProcessLauncher, StateDir,
    Status,
};
use rustix::process::Signal;

/// Tells the process that a test starts to be the owner of replicas in this folder.
fn launcher(state: &Path) -> ProcessLauncher {
    // Beside the tests, as `cargo build -p hearth-cli` leaves it.
    ProcessLauncher::new(StateDir::new(state), Shim::find(None).unwrap())
}

fn fixture(folder: &Path) -> Fixture {
    let folder = folder.join("state");
    Fixture::new(StateDir::new(&folder), move || Box::new(launcher(&folder)))
}

#[tokio::test]
async fn it_does_what_every_launcher_does() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check(&fixture(folder.path())).await;
}

#[tokio::test]
async fn cards_and_cores_are_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let script = r#"printf '"%s %s"' "$CUDA_VISIBLE_DEVICES" "$(nproc)" > "$REPLICA_RESULT""#;
    let mut spec = fixture.script(2, script);
    spec.resources.gpus = Some(Gpus::Devices(vec!["3".to_owned(), "GPU-1".to_owned()]));
    spec.resources.cpus = Some(1.0);
    let outcomes = fixture.run(&spec).await;
    assert_eq!(outcomes[0].result, Some("3 1".into()), "{outcomes:?}");
    assert_eq!(outcomes[1].result, Some("GPU-1 1".into()), "{outcomes:?}");
}

#[tokio::test]
async fn what_it_cannot_keep_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let refused = async |change: fn(&mut LaunchSpec), part: &str| {
        let mut spec = fixture.script(1, "exit 0");
        change(&mut spec);
        let error = fixture.launcher().launch(&spec).await.unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains(part), "{error}");
    };
    refused(|spec| spec.resources.memory = Some(1 << 30), "systemd").await;
    refused(|spec| spec.resources.cpus = Some(0.5), "systemd").await;
    refused(|spec| spec.resources.cpus = Some(4096.0), "may use").await;
    refused(|spec| spec.placement.pool = Some("gpu".to_owned()), "slurm").await;
    refused(|spec| spec.placement.image = Some("x".to_owned()), "kubernetes").await;
    refused(|spec| spec.working_dir = Some("/no/such/folder".into()), "/no/such").await;
    assert_eq!(fixture.state.list().unwrap(), []);
    let absent = Shim::find(Some(Path::new("/no/such/hearth"))).unwrap_err();
    assert!(matches!(absent, Error::Program { .. }), "{absent}");
}

/// With a program that is no shim, nothing is left of the launch.
#[tokio::test]
async fn a_launch_whose_shim_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    let shim = Shim::find(Some(Path::new("/bin/false"))).unwrap();
    let launcher = ProcessLauncher::new(state.clone(), shim);
    let error = launcher.launch(&LaunchSpec::new("job", 2, "true")).await.unwrap_err();
    assert!(matches!(error, Error::Manager { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_killed_shim_takes_its_program_and_all_of_it_along() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let script = "sleep 600 & setsid sleep 601 & echo ready; while :; do sleep 0.05; done";
    let spec = fixture.script(1, script);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    fixture.says(&handles[0], "ready").await;
    let report = report(&fixture, &handles[0]);
    assert!(report.shim.signal(Signal::KILL));
    fixture.nothing_left(&spec).await;
    let outcomes = fixture.collect(&handles).await;
    assert_eq!(outcomes[0].status, Status::Failed);
    assert!(outcomes[0].error.as_ref().unwrap().contains("shim"), "{outcomes:?}");
    fixture.launcher().cancel(&handles).await.unwrap();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Failed, "it stays so");
}

#[tokio::test]
async fn a_frozen_shim_does_not_keep_a_cancel_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let mut spec = fixture.script(1, "echo ready; exec sleep 600");
    spec.grace = Duration::from_millis(100);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    fixture.says(&handles[0], "ready").await;
    assert!(report(&fixture, &handles[0]).shim.signal(Signal::STOP));
    fixture.launcher().cancel(&handles).await.unwrap();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Cancelled);
    fixture.nothing_left(&spec).await;
}

/// As where the launching command was killed in the middle.
#[tokio::test]
async fn a_replica_that_was_cancelled_before_its_shim_began_never_starts() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let spec = fixture.script(1, "echo started");
    let record = LaunchRecord::new(spec.launch_id(), "process", &spec, "");
    fixture.state.create(&record, &[]).unwrap();
    let handles: Vec<Handle> = record.handles().collect();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Pending);
    fixture.launcher().cancel(&handles).await.unwrap();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Cancelled);
    let own = fixture.state.replica_folder(&record.id, 0);
    Plan::new(&record, 0, &fixture.state).write(&own).unwrap();
    let mut shim = Command::new(Shim::find(None).unwrap().program());
    assert_eq!(shim.args(Shim::args(&own)).status().unwrap().code(), Some(143));
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Cancelled);
    assert!(fixture.lines(&handles[0], None).await.is_empty());
}

/// After a reboot the number of a replica's program is anybody's.
#[tokio::test]
async fn a_cancel_after_a_reboot_kills_nobody_elses_session() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let spec = fixture.script(1, "");
    let record = LaunchRecord::new(spec.launch_id(), "process", &spec, "");
    fixture.state.create(&record, &[]).unwrap();
    let handle = record.handles().next().unwrap();
    let mut daemon = Command::new("setsid").args(["sleep", "600"]).spawn().unwrap();
    let now = ProcessId::of(daemon.id()).unwrap();
    let before = ProcessId { boot: "the one before".to_owned(), ..now.clone() };
    let report = Report::begin(before.clone());
    let report = Report { status: Status::Running, program: Some(before), ..report };
    report.write(&fixture.state.replica_folder(&record.id, 0)).unwrap();
    fixture.launcher().cancel(std::slice::from_ref(&handle)).await.unwrap();
    assert!(now.runs(), "what has the number now lives");
    assert_eq!(fixture.poll_one(&handle).await.status, Status::Failed);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// As on a disk that is full until somebody makes room.
#[tokio::test]
async fn a_last_report_that_cannot_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let script = "until test -e {folder}/go; do sleep 0.02; done; cd {folder}; \
                  rm status.json; mkdir -p status.json/in-the-way";
    let handles = fixture.launcher().launch(&fixture.script(1, script)).await.unwrap();
    let own = fixture.state.replica_folder(&handles[0].launch, 0);
    let shim = report(&fixture, &handles[0]).shim;
    std::fs::write(own.join("go"), "").unwrap();
    let said = || std::fs::read_to_string(own.join("shim.log")).unwrap();
    while !said().contains("can't be written") {
        assert!(shim.runs(), "{}", said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_dir_all(own.join("status.json")).unwrap();
    while shim.runs() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Succeeded);
}

fn report(fixture: &Fixture, handle: &Handle) -> Report {
    let folder = fixture.state.replica_folder(&handle.launch, handle.rank);
    Report::read(&folder).unwrap().unwrap()
}

/// They end with the launcher's object, and with its process however that ends.
#[tokio::test]
async fn owned_replicas_end_with_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture(folder.path());
    let mut spec = fixture.script(2, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    spec.owner = Owner::Caller;
    let owner = (fixture.make)();
    let handles = owner.launch(&spec).await.unwrap();
    for handle in &handles {
        fixture.says(handle, "ready").await;
    }
    drop(owner);
    let outcomes = fixture.collect(&handles).await;
    assert_eq!(outcomes[1].status, Status::Cancelled);
    assert!(outcomes[1].error.as_ref().unwrap().contains("owner"), "{outcomes:?}");
    fixture.nothing_left(&spec).await;

    conformance::owner::is_killed(&fixture, "owns_replicas_until_it_is_killed").await;
}

/// Does nothing unless another test asks for it.
#[tokio::test]
async fn owns_replicas_until_it_is_killed() {
    conformance::owner::own(|state| Box::new(launcher(state.path()))).await;
}
