//! The Slurm launcher on a real one-node cluster: the suite of all launchers, and what is its own.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../conformance/mod.rs"]
mod conformance;
mod own;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use conformance::Fixture;
use hearth_launchers::shim::{ProcessId, Report, Shim};
use hearth_launchers::slurm::{Config, Slurm};
use hearth_launchers::{LaunchSpec, Launcher as _, StateDir, Status};

use hearth_tests::SlurmCluster;

fn config(cluster: &SlurmCluster) -> Config {
    Config { commands: cluster.commands(), env: cluster.env() }
}

fn fixture(cluster: &SlurmCluster) -> Fixture {
    let (state, config) = (StateDir::new(cluster.shared().join("state")), config(cluster));
    let shim = Shim::find(None).unwrap();
    Fixture::new(state.clone(), move || {
        Box::new(Slurm::new(state.clone(), shim.clone(), config.clone()))
    })
}

/// A launcher whose commands are shell scripts, and its state.
fn scripted(folder: &Path, commands: &[(&str, &str)]) -> (Slurm, StateDir) {
    for (name, script) in commands {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let state = StateDir::new(folder.join("state"));
    let config = Config { commands: Some(folder.to_owned()), ..Config::default() };
    (Slurm::new(state.clone(), Shim::find(None).unwrap(), config), state)
}

/// A shim reports the end, and Slurm hears of it later: a cancel returns once both say so. Meanwhile
/// `scancel` ends with Slurm's code for what has ended, 2021 modulo 256, and without a word.
#[tokio::test]
async fn a_cancel_is_over_when_slurm_has_let_the_job_go() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let squeue = format!(
        "echo >> {here}/questions; test $(wc -l < {here}/questions) -gt 3 && state=COMPLETING\n\
         echo \"7|0|${{state-RUNNING}}|n1|None\""
    );
    let scancel = format!("cp {here}/status.json {here}/state/*/0/; exit 229");
    let commands = [("sbatch", "echo 7"), ("squeue", &squeue), ("scancel", &scancel)];
    let (slurm, state) = scripted(folder.path(), &commands);
    let handles = slurm.launch(&LaunchSpec::new("job", 1, "true")).await.unwrap();
    let running = Report { status: Status::Running, ..Report::begin(ProcessId::own().unwrap()) };
    running.write(&state.replica_folder(&handles[0].launch, 0)).unwrap();
    running.end(Status::Cancelled, None).write(folder.path()).unwrap();
    slurm.cancel(&handles).await.unwrap();
    let questions = std::fs::read_to_string(folder.path().join("questions")).unwrap();
    assert_eq!(questions.lines().count(), 4, "one before, and until it no longer runs");
    assert_eq!(slurm.poll(&handles).await.unwrap()[0].status, Status::Cancelled);
}

/// Slurm may have taken a job whose number nobody has: it is cancelled by its name, and until then
/// it must find nothing to run.
#[tokio::test]
async fn a_launch_that_is_given_up_runs_nothing_and_is_cancelled_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let scancel = format!("echo $1 >> {}", asked.display());
    let (slurm, state) =
        scripted(folder.path(), &[("sbatch", "exec sleep 60"), ("scancel", &scancel)]);
    let spec = LaunchSpec::new("job", 2, "true");
    let launch = slurm.launch(&spec);
    assert!(tokio::time::timeout(Duration::from_secs(1), launch).await.is_err());
    let record = state.list().unwrap().remove(0);
    let handles: Vec<_> = record.handles().collect();
    let replicas = slurm.poll(&handles).await.unwrap();
    assert!(replicas.iter().all(|r| r.status == Status::Cancelled), "{replicas:?}");
    let shim = Shim::args(&state.replica_folder(&record.id, 1));
    let mut shim =
        std::process::Command::new(Shim::find(None).unwrap().program()).args(shim).spawn();
    assert_eq!(shim.as_mut().unwrap().wait().unwrap().code(), Some(143));
    slurm.cancel(&handles).await.unwrap();
    let asked = std::fs::read_to_string(&asked).unwrap();
    assert_eq!(asked.trim(), format!("--name={}", record.id));
}

/// One cluster serves all cases: it takes longer to start than they do to run.
#[tokio::test]
async fn a_real_cluster_does_what_every_launcher_does_and_what_is_its_own() {
    let _turn = hearth_tests::Turn::take();
    let cluster = SlurmCluster::start();

    let fixture = fixture(&cluster);
    conformance::check(&fixture).await;
    own::limits_reach_slurm_and_refusals_come_back(&fixture, &cluster).await;

    own::nothing_is_read_by_a_shell(&fixture, &cluster).await;

    own::one_question_for_all_and_none_for_ended(&fixture, &cluster).await;

    own::what_waits_can_be_cancelled_and_never_runs(&fixture, &cluster).await;

    own::a_job_that_vanishes_is_told_from_one_that_was_cancelled(&fixture, &cluster).await;

    own::a_launch_that_was_broken_off_is_found_by_its_name(&fixture, &cluster).await;

    own::without_slurm_the_remedy_is_named(&fixture, &cluster).await;

    own::a_lost_node_is_told(&fixture, &cluster).await;
}
