//! The Slurm launcher on a real one-node cluster: the suite of all launchers, and what is its own.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../conformance/mod.rs"]
mod conformance;
mod own;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use conformance::Fixture;
use hearth_launchers::shim::Shim;
use hearth_launchers::slurm::{Config, Slurm};
use hearth_launchers::{LaunchSpec, Launcher as _, StateDir};

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

/// A job whose number nobody keeps could not be cancelled: it must find nothing to run.
#[tokio::test]
async fn a_launch_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sbatch = folder.path().join("sbatch");
    std::fs::write(&sbatch, "#!/bin/sh\nexec sleep 60\n").unwrap();
    std::fs::set_permissions(&sbatch, std::fs::Permissions::from_mode(0o755)).unwrap();
    let commands = Some(folder.path().to_owned());
    let state = StateDir::new(folder.path().join("state"));
    let config = Config { commands, ..Config::default() };
    let slurm = Slurm::new(state.clone(), Shim::find(None).unwrap(), config);
    let spec = LaunchSpec::new("job", 2, "true");
    let launch = slurm.launch(&spec);
    assert!(tokio::time::timeout(Duration::from_secs(1), launch).await.is_err());
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

/// One cluster serves all cases: it takes longer to start than they do to run.
#[tokio::test]
async fn a_real_cluster_does_what_every_launcher_does_and_what_is_its_own() {
    let cluster = SlurmCluster::start();

    let fixture = fixture(&cluster);
    conformance::check(&fixture).await;
    own::limits_reach_slurm_and_refusals_come_back(&fixture, &cluster).await;

    own::nothing_is_read_by_a_shell(&fixture, &cluster).await;

    own::one_question_for_all_and_none_for_ended(&fixture, &cluster).await;

    own::what_waits_can_be_cancelled_and_never_runs(&fixture, &cluster).await;

    own::a_job_that_vanishes_is_told_from_one_that_was_cancelled(&fixture, &cluster).await;

    own::without_slurm_the_remedy_is_named(&fixture, &cluster).await;

    own::a_lost_node_is_told(&fixture, &cluster).await;
}
