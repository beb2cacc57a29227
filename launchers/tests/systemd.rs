//! The `systemd` launcher with a real user manager: the suite of all launchers, and what is its own.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod conformance;

use std::path::Path;

use conformance::{Fixture, statuses};
use hearth_launchers::shim::{Report, Shim};
use hearth_launchers::systemd::{Manager, SystemdLauncher};
use hearth_launchers::{Error, Gpus, LaunchSpec, Launcher, StateDir, Status};
use hearth_tests::{UserManager, under_user_manager};
use rustix::process::Signal;

/// Tells the process that a test starts to be the owner of replicas in this folder.
fn launcher(state: &Path) -> SystemdLauncher {
    SystemdLauncher::new(StateDir::new(state), Shim::find(None).unwrap(), Manager::User)
}

fn fixture(manager: &UserManager) -> Fixture {
    let folder = manager.dir().join("state");
    Fixture::new(StateDir::new(&folder), move || Box::new(launcher(&folder)))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn it_does_what_every_launcher_does() {
    under_user_manager("it_does_what_every_launcher_does", |manager| {
        block_on(conformance::check(&fixture(manager)));
        manager.wait_without_replicas();
    });
}

#[test]
fn limits_hold_and_the_journal_has_the_output() {
    under_user_manager("limits_hold_and_the_journal_has_the_output", |manager| {
        block_on(limits_hold(manager));
    });
}

async fn limits_hold(manager: &UserManager) {
    let fixture = fixture(manager);
    let mut spec = fixture.script(2, "echo cards $CUDA_VISIBLE_DEVICES; exec sleep 600");
    spec.resources.gpus = Some(Gpus::Devices(vec!["3".to_owned(), "GPU-1".to_owned()]));
    spec.resources.cpus = Some(0.5);
    spec.resources.memory = Some(64 << 20);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    fixture.says(&handles[1], "cards GPU-1").await;
    let name = format!("hearth-{}-1", handles[1].launch);
    let unit = format!("{name}.service");
    assert_eq!(manager.property(&unit, "CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(manager.property(&unit, "MemoryMax"), (64 << 20).to_string());
    assert_eq!(manager.property(&unit, "ActiveState"), "active");
    assert!(manager.journal(&name).contains("cards GPU-1"));

    // A shim that is killed, and one that is frozen.
    let report = |rank: u32| {
        Report::read(&fixture.state.replica_folder(&handles[0].launch, rank)).unwrap().unwrap()
    };
    assert!(report(0).shim.signal(Signal::KILL));
    let outcome = fixture.collect(&handles[..1]).await.remove(0);
    assert!(outcome.error.as_ref().unwrap().contains("shim"), "{outcome:?}");
    fixture.launcher().cancel(&handles).await.unwrap();
    let replicas = fixture.launcher().poll(&handles).await.unwrap();
    let found: Vec<_> = replicas.iter().map(|replica| replica.status).collect();
    assert_eq!(found, [Status::Failed, Status::Cancelled]);
    fixture.nothing_left(&spec).await;

    if !manager.limits_memory() {
        return hearth_tests::skip("out of memory in a unit", "there is no memory controller");
    }
    // Well above what the shim takes: the system ends the largest.
    let mut hungry = fixture.script(1, "exec tail /dev/zero");
    hungry.resources.memory = Some(64 << 20);
    let outcomes = fixture.run(&hungry).await;
    assert_eq!(statuses(&outcomes), [Status::Failed]);
    assert!(outcomes[0].error.as_ref().unwrap().contains("out of memory"), "{outcomes:?}");
}

/// Over a shared folder: nothing is said of a replica that lives on.
#[test]
fn a_cancel_on_another_host_is_refused_and_changes_nothing() {
    under_user_manager("a_cancel_on_another_host_is_refused_and_changes_nothing", |manager| {
        block_on(refused_elsewhere(manager));
    });
}

async fn refused_elsewhere(manager: &UserManager) {
    let fixture = fixture(manager);
    let handles = fixture.launcher().launch(&fixture.script(2, "exec sleep 600")).await.unwrap();
    let folder = fixture.state.replica_folder(&handles[0].launch, 0);
    let here = Report::read(&folder).unwrap().unwrap();
    let elsewhere = Report { host: "another".to_owned(), ..here.clone() };
    elsewhere.write(&folder).unwrap();
    let error = fixture.launcher().cancel(&handles).await.unwrap_err().to_string();
    assert!(error.contains("runs on another: cancel it there"), "{error}");
    assert_eq!(Report::read(&folder).unwrap(), Some(elsewhere));
    assert!(here.program.as_ref().unwrap().runs());
    assert_eq!(fixture.poll_one(&handles[1]).await.status, Status::Cancelled);
    here.write(&folder).unwrap();
    fixture.launcher().cancel(&handles).await.unwrap();
    assert!(!here.program.unwrap().runs());
}

#[test]
fn owned_replicas_end_with_their_owner() {
    under_user_manager("owned_replicas_end_with_their_owner", |manager| {
        block_on(owned_replicas_end(manager));
    });
}

async fn owned_replicas_end(manager: &UserManager) {
    let fixture = fixture(manager);
    conformance::owner::is_killed(&fixture, "owns_replicas_until_it_is_killed").await;
}

/// Does nothing unless another test asks for it.
#[tokio::test]
async fn owns_replicas_until_it_is_killed() {
    conformance::owner::own(|state| Box::new(launcher(state.path()))).await;
}

/// With a program that is no shim, and with a manager that is not there, nothing is left of a launch.
#[test]
fn what_cannot_be_launched_leaves_nothing() {
    under_user_manager("what_cannot_be_launched_leaves_nothing", |manager| {
        let state = StateDir::new(manager.dir().join("state"));
        let refused = |shim: &str, pool: &str| {
            let shim = Shim::find(Some(Path::new(shim))).unwrap();
            let launcher = SystemdLauncher::new(state.clone(), shim, Manager::User);
            let mut spec = LaunchSpec::new("job", 2, "true");
            spec.placement.pool = Some(pool.to_owned());
            let error = block_on(launcher.launch(&spec)).unwrap_err();
            let left = std::fs::read_dir(state.path()).map_or(0, Iterator::count);
            assert_eq!(left, 0, "after {error}");
            error
        };
        let error = refused("/bin/false", "user");
        assert!(matches!(error, Error::Manager { .. }), "{error}");
        assert!(error.to_string().contains("journalctl"), "{error}");
        let error = refused("/bin/true", "system");
        assert!(matches!(error, Error::ManagerAbsent { .. }), "{error}");
        assert!(error.is_configuration() && error.to_string().contains("process"), "{error}");
        let _ = manager.systemctl(&["stop", "dbus.socket", "dbus.service"]);
        let error = refused("/bin/true", "user");
        assert!(error.to_string().contains("dbus-user-session"), "{error}");
        let error = refused("/bin/true", "gpu");
        assert!(matches!(error, Error::Spec { field: "placement.pool", .. }), "{error}");
    });
}
