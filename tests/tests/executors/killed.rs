//! The engine's process is killed: owned workers go with it, others don't notice.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hearth_api::OwnerId;
use hearth_fabric::identity::Authority;
use hearth_fabric::registry::{self, RegistryUrl};
use hearth_tests::{Fleet, FleetOptions, Process, SlurmCluster, program, until};

use super::place::{
    SOON, WORKERS, fleet, lives, over, owning, owning_on_slurm, until_workers, workers_of,
};

fn coordinator(dir: &Path, config: &str) -> Process {
    Process::start(&mut coordinator_command(dir, config), &dir.join("coordinator.log"))
}

fn coordinator_command(dir: &Path, config: &str) -> Command {
    let file = dir.join("coordinator.toml");
    std::fs::write(&file, config).expect("a config");
    let mut command = Command::new(program("hearth-coordinator"));
    command.arg("--config").arg(&file);
    command
}

/// The coordinator says that it is ready.
fn until_ready(coordinator: &Process) {
    until("the coordinator is ready", SOON, || {
        coordinator
            .log()
            .contains("\"message\":\"ready\",\"target\":\"hearth_coordinator")
            .then_some(())
    });
}

fn gone_within(limit: Duration, dir: &Path) {
    let killed = Instant::now();
    until("the workers' end", limit + SOON, || workers_of(dir).is_empty().then_some(()));
    assert!(killed.elapsed() <= limit, "{:?}", killed.elapsed());
}

#[test]
fn workers_of_mp_are_gone_within_two_seconds() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("a folder");
    let engine = coordinator(dir.path(), &owning("mp", dir.path()));
    until_ready(&engine);
    assert_eq!(workers_of(dir.path()).len(), WORKERS);
    engine.signal("KILL");
    gone_within(Duration::from_secs(2), dir.path());
    // The next engine clears up what the killed one left.
    let left = || std::fs::read_dir(dir.path()).expect("a folder").flatten().count();
    let before = left();
    let next = coordinator(dir.path(), &owning("mp", dir.path()));
    until_workers(dir.path(), WORKERS);
    assert_eq!(left(), before);
    next.signal("TERM");
    until("the end", SOON, || workers_of(dir.path()).is_empty().then_some(()));
}

#[test]
fn workers_of_launched_are_gone_within_their_grace() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("a folder");
    let engine = coordinator(dir.path(), &owning("launched", dir.path()));
    until_ready(&engine);
    assert_eq!(workers_of(dir.path()).len(), WORKERS);
    engine.signal("KILL");
    // A second of grace, and the two that the shims have.
    gone_within(Duration::from_secs(4), dir.path());
}

fn coordinator_of(cluster: &SlurmCluster, dir: &Path, config: &str, log: &str) -> Process {
    let mut command = coordinator_command(dir, config);
    let path = std::env::var("PATH").expect("a path");
    let commands = cluster.commands().map(|folder| format!("{}:", folder.display()));
    command.envs(cluster.env()).env("PATH", commands.unwrap_or_default() + &path);
    Process::start(&mut command, &dir.join(log))
}

/// Jobs have no parent here, so they miss their owner's name and connection: also where the next
/// engine is there at once, with certificates of the same authority.
pub(super) fn jobs_of_slurm_are_gone_within_their_grace(cluster: &SlurmCluster) {
    let dir = tempfile::tempdir_in(cluster.shared()).expect("a folder");
    let authority = dir.path().join("authority");
    let made = Authority::create("test", Duration::from_secs(3600)).expect("an authority");
    made.save(&authority).expect("a folder");
    let config = owning_on_slurm(cluster, dir.path())
        .replace("[http]", &format!("authority = {authority:?}\n[http]"));
    let engine = coordinator_of(cluster, dir.path(), &config, "first.log");
    until_ready(&engine);
    let orphans = workers_of(dir.path());
    assert_eq!(orphans.len(), WORKERS);
    engine.signal("KILL");
    let killed = Instant::now();
    let mut next = coordinator_of(cluster, dir.path(), &config, "next.log");
    until("the orphans' end", SOON, || (!orphans.iter().any(|pid| lives(*pid))).then_some(()));
    // The transport's 6 s, a second of grace, and what leaving takes.
    assert!(killed.elapsed() <= Duration::from_secs(12), "{:?}", killed.elapsed());
    until_ready(&next);
    assert_eq!(workers_of(dir.path()).len(), WORKERS);
    next.signal("TERM");
    assert!(next.wait(SOON).success(), "{}", next.log());
    until("the jobs' end", SOON, || {
        cluster.said("squeue", &["--noheader"]).0.is_empty().then_some(())
    });
}

/// A job that waits in the queue would be nobody's.
pub(super) fn a_start_on_slurm_that_is_asked_to_end_leaves_no_job(cluster: &SlurmCluster) {
    let dir = tempfile::tempdir_in(cluster.shared()).expect("a folder");
    // The second does not fit beside the first.
    let config = owning_on_slurm(cluster, dir.path()).replace("cpus = 1\n", "cpus = 40\n");
    let mut engine = coordinator_of(cluster, dir.path(), &config, "coordinator.log");
    until_workers(dir.path(), 1);
    let open = || cluster.said("squeue", &["--noheader", "--states=PENDING,RUNNING"]).0;
    assert_eq!(open().lines().count(), 2, "{}", open());
    engine.signal("TERM");
    assert!(engine.wait(SOON).success(), "{}", engine.log());
    assert_eq!((open().as_str(), workers_of(dir.path()).len()), ("", 0));
}

#[test]
fn external_workers_notice_nothing() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("a folder");
    let mut fleet = fleet();
    let before = (fleet.stats("pid"), fleet.stats("model_loads"));
    let engine = coordinator(dir.path(), &over("external", &fleet));
    until_ready(&engine);
    engine.signal("KILL");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((fleet.stats("pid"), fleet.stats("model_loads")), before);
    assert!(fleet.workers.iter_mut().all(|worker| worker.ended().is_none()));
}

/// A worker elsewhere: neither a pipe nor a parent tells it that its owner is gone.
#[test]
fn a_worker_outlives_its_owner_s_name_and_connection_by_its_grace() {
    let _turn = hearth_tests::Turn::take();
    let worker = "owner = \"c0\"\nowner_grace = \"1s\"".to_owned();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _entered = runtime.enter();
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("dir:{}", dir.path().join("registry").display());
    let registry = RegistryUrl::parse(&url).expect("a URL");
    let registry = registry::open(&registry, &registry::Settings::default()).expect("a registry");
    let owner = OwnerId::new("c0").expect("a name");
    let claim = registry.own(&owner);
    runtime.block_on(claim.held());

    let options = FleetOptions { registry: Some(url), worker, ..FleetOptions::default() };
    let mut fleet = Fleet::start(options);
    // The connection alone keeps it.
    let engine = coordinator(
        dir.path(),
        &over("external", &fleet)
            .replace("\"w0\", \"w1\"", "\"w0\"")
            .replace("min_workers = 2", "min_workers = 1"),
    );
    until_ready(&engine);
    drop(claim);
    std::thread::sleep(Duration::from_secs(3));
    assert!(fleet.workers[0].ended().is_none(), "its owner is still connected");
    // The name alone keeps it.
    let claim = registry.own(&owner);
    runtime.block_on(claim.held());
    engine.signal("KILL");
    std::thread::sleep(Duration::from_secs(9));
    assert!(fleet.workers[0].ended().is_none(), "its owner's name is still held");
    drop(claim);
    let status = fleet.workers[0].wait(Duration::from_secs(10));
    assert!(status.success(), "{status}: {}", fleet.workers[0].log());
    assert!(fleet.workers[0].log().contains("the owner is gone"));
}
