//! The shipped batch script: workers on a real one-node Slurm, found and asked by `hearth`.

use std::process::Command;
use std::time::Duration;

use hearth_tests::{Run, SlurmCluster, program, source, until};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_example_starts_workers_that_serve_and_drain() {
    let _turn = hearth_tests::Turn::take();
    let script = source().join("configs/slurm/worker.sbatch");
    let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "");

    let cluster = SlurmCluster::start();
    let home = cluster.shared();
    let (registry, pki) = (format!("dir:{}", home.join("registry").display()), home.join("pki"));
    let hearth = |args: &[&str]| {
        let mut command = Command::new(program("hearth"));
        command.args(args).current_dir(&home).env("HEARTH_REGISTRY", &registry);
        Run::from(command.env("HEARTH_PKI", pki.join("tester")).output().unwrap())
    };
    let _ = hearth(&["pki", "init"]).ok();
    let issue = ["pki", "issue", "--out", "pki", "--role"];
    let workers = ["worker", "hearth-worker-0", "hearth-worker-1"];
    let _ = hearth(&[&issue[..], &workers].concat()).ok();
    let _ = hearth(&["pki", "issue", "--out", "pki/tester", "--role", "admin", "tester"]).ok();
    let model = source().join("models/emoji").canonicalize().unwrap();
    let config = format!(
        "[models.emoji]\npath = {model:?}\n[registry]\nurl = {registry:?}\n[runtime]\nthreads = 1\n"
    );
    std::fs::write(home.join("worker.toml"), config).unwrap();

    let programs = program("hearth-worker").parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let sbatch = cluster.commands().map_or("sbatch".into(), |folder| folder.join("sbatch"));
    let mut submit = Command::new(sbatch);
    submit.args(["--parsable", "--mem=1G"]).arg(&script).current_dir(&home);
    submit.envs(cluster.env()).env("PATH", path).env("HEARTH_HOME", &home);
    let job = Run::from(submit.output().unwrap()).ok().stdout.trim().to_owned();

    let log = || std::fs::read_to_string(home.join("hearth-worker-0.log")).unwrap_or_default();
    until("two workers are ready", LIMIT, || {
        let listed = hearth(&["workers", "--json"]);
        let ready = listed.stdout.matches("\"ready\"").count();
        let queue = cluster.said("squeue", &["--noheader"]).0;
        assert!(!queue.is_empty(), "the job is over: {}", log());
        (ready >= 2).then_some(())
    });
    let _ = hearth(&["generate", "red heart", "--steps", "2", "-o", "heart.png"]).ok();
    assert!(home.join("heart.png").is_file());
    let _ = cluster.said("scancel", &["--batch", "--signal=TERM", &job]);
    until("the workers have drained", LIMIT, || {
        cluster.said("squeue", &["--noheader"]).0.is_empty().then_some(())
    });
    let (states, _) = cluster.said("squeue", &["--noheader", "--states=all", "--format=%T"]);
    assert!(states.lines().all(|state| state == "COMPLETED"), "{states}: {}", log());
}
