//! Workers and programs that `hearth launch` started: followed, asked and ended from other
//! invocations.

#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hearth_tests::{Fleet, FleetOptions, Process, Run, Sshd, program, source, until};
use serde_json::Value;

/// Until launched workers have loaded the demo model, on a loaded machine.
const START: Duration = Duration::from_secs(60);

/// An authority, its certificates and a registry without workers.
fn nobody_yet() -> Fleet {
    Fleet::start(FleetOptions { workers: 0, ..FleetOptions::default() })
}

struct Launches<'a> {
    fleet: &'a Fleet,
}

impl Launches<'_> {
    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.fleet.command(args);
        command.env("HEARTH_STATE_DIR", self.fleet.dir().join("replicas"));
        command.current_dir(source());
        Run::from(command.output().expect("hearth"))
    }

    /// Launches, and gives the handles in rank order.
    fn launch(&self, args: &[&str]) -> Vec<String> {
        let authority = self.fleet.dir().join("authority");
        let mut all = vec!["launch", "--authority", authority.to_str().expect("a path")];
        all.extend(args);
        let run = self.run(&all).ok();
        run.stdout.lines().map(str::to_owned).collect()
    }

    fn statuses(&self, target: &str) -> Vec<String> {
        let rows = self.run(&["replicas", "poll", target, "--json"]).ok().json();
        let status = |row: &Value| row["status"].as_str().expect("a status").to_owned();
        rows.as_array().expect("rows").iter().map(status).collect()
    }
}

fn is_alive(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).exists()
}

#[test]
fn launched_workers_serve_and_end_when_cancelled() {
    let _turn = hearth_tests::Turn::take();
    let fleet = nobody_yet();
    let launches = Launches { fleet: &fleet };
    let handles = launches.launch(&["-n", "2", "--name", "emoji"]);
    assert_eq!(handles.len(), 2, "{handles:?}");
    let launch = handles[0].strip_suffix("/0").expect("rank 0");
    assert!(launch.starts_with("process/emoji-") && handles[1] == format!("{launch}/1"));
    fleet.wait_ready(2);
    let picture = ["generate", "red heart", "-n", "2", "--steps", "4", "-o", "heart.png"];
    let _ = fleet.hearth(&picture).ok();
    assert_eq!(launches.statuses(launch), ["running", "running"]);
    let logs = launches.run(&["replicas", "logs", &handles[1], "-n", "200"]).ok();
    assert!(logs.stdout.contains("ready"), "{}", logs.stdout);

    let rows = launches.run(&["replicas", "poll", launch, "--json"]).json();
    let pids: Vec<_> =
        rows.as_array().expect("rows").iter().map(|row| row["pid"].as_u64()).collect();
    let (first, second) = (pids[0].expect("a pid"), pids[1].expect("a pid"));
    assert!(is_alive(first) && is_alive(second));
    hearth_tests::signal(u32::try_from(second).expect("a pid"), "KILL");
    until("the killed worker's end is told", START, || {
        (launches.statuses(launch) == ["running", "failed"]).then_some(())
    });
    let _ = launches.run(&["replicas", "cancel", launch]).ok();
    assert!(!is_alive(first), "a cancel returns once it has ended");
    let collected = launches.run(&["replicas", "collect", launch, "--json"]);
    let outcomes = collected.json();
    assert_eq!(collected.status, 1, "not all succeeded");
    assert_eq!(outcomes[0]["status"], "cancelled", "{outcomes}");
    assert!(outcomes[1]["error"].as_str().expect("why").contains("signal 9"), "{outcomes}");
    assert!(launches.run(&["replicas", "list"]).ok().stdout.contains(launch));
    let _ = launches.run(&["replicas", "forget", launch]).ok();
    assert!(!launches.run(&["replicas", "list"]).ok().stdout.contains(launch));
}

#[test]
fn a_running_fleet_grows_by_launched_workers() {
    let _turn = hearth_tests::Turn::take();
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = folder.path().join("run");
    let mut up = Command::new(program("hearth"));
    up.args(["up", "--http", "off"]).env("HEARTH_RUNTIME_DIR", &runtime).current_dir(source());
    let fleet = Process::start(&mut up, &folder.path().join("up.log"));
    let hearth = |args: &[&str]| {
        let mut command = Command::new(program("hearth"));
        command.args(args).env("HEARTH_RUNTIME_DIR", &runtime).current_dir(source());
        command.env("HEARTH_STATE_DIR", folder.path().join("replicas"));
        Run::from(command.output().expect("hearth"))
    };
    let ready = |count: usize| {
        until("the workers are ready", START, || {
            let run = hearth(&["workers", "--json"]);
            (run.status == 0 && run.stdout.matches("\"ready\"").count() >= count).then_some(())
        });
    };
    ready(1);
    let handle = hearth(&["launch"]).ok().stdout.trim().to_owned();
    ready(2);
    let _ = hearth(&["replicas", "cancel", &handle]).ok();
    let outcomes = hearth(&["replicas", "collect", &handle, "--json"]).json();
    assert_eq!(outcomes[0]["status"], "cancelled", "{outcomes}");
    fleet.signal("TERM");
}

#[test]
fn any_program_is_launched_and_its_results_come_in_rank_order() {
    let _turn = hearth_tests::Turn::take();
    let fleet = nobody_yet();
    let launches = Launches { fleet: &fleet };
    let script = r#"echo "I am $REPLICA_RANK of $JOB"; echo "[$REPLICA_RANK]" > "$REPLICA_RESULT""#;
    let args = ["-n", "3", "--env", "JOB=x-{rank}", "--entrypoint", "sh", "--", "-c", script];
    let handles = launches.launch(&args);
    let launch = handles[0].strip_suffix("/0").expect("rank 0");
    let run = launches.run(&["replicas", "collect", launch, "--timeout", "30s", "--json"]).ok();
    let outcomes = run.json();
    for rank in 0..3_usize {
        assert_eq!(outcomes[rank]["rank"], rank);
        assert_eq!(outcomes[rank]["result"], serde_json::json!([rank]));
        assert_eq!(outcomes[rank]["handle"], handles[rank]);
    }
    let logs = launches.run(&["replicas", "logs", launch, "--follow"]).ok();
    assert!(logs.stdout.contains("2: I am 2 of x-2"), "{}", logs.stdout);

    let sleeping = launches.launch(&["--entrypoint", "sleep", "--timeout", "1h", "--", "600"]);
    let late = launches.run(&["replicas", "collect", &sleeping[0], "--timeout", "200ms"]);
    assert_eq!(late.status, 4, "{late:?}");
    assert!(late.stderr.contains(&sleeping[0]), "{late:?}");
    assert_eq!(launches.statuses(&sleeping[0]), ["running"]);
    let refused = launches.run(&["replicas", "forget", sleeping[0].trim_end_matches("/0")]);
    assert!(refused.status == 2 && refused.stderr.contains("cancel"), "{refused:?}");
    let _ = launches.run(&["replicas", "cancel", &sleeping[0]]).ok();
    let forgotten = launches.run(&["replicas", "forget", "--ended"]).ok();
    assert_eq!(forgotten.stdout.lines().count(), 2, "{forgotten:?}");
}

/// The programs in `configs/launchers/ssh`, named once by flag and once by the config.
#[test]
fn any_program_is_launched_on_hosts_of_ssh_and_followed_from_other_invocations() {
    let _turn = hearth_tests::Turn::take();
    let sshd = match Sshd::start() {
        Ok(sshd) => sshd,
        Err(reason) => {
            let test =
                "any_program_is_launched_on_hosts_of_ssh_and_followed_from_other_invocations";
            return hearth_tests::skip(test, &reason);
        }
    };
    let fleet = nobody_yet();
    let programs = source().join("configs/launchers/ssh").canonicalize().expect("the programs");
    let mut env = sshd.env();
    env.insert("HEARTH_SSH_CONFIG".to_owned(), sshd.client_config().display().to_string());
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    let far = fleet.dir().join("far");
    let settings = format!(
        "replica_folder = \"{}/{{launch}}/{{rank}}\"\nenv = {{ {} }}\n",
        far.display(),
        env.join(", ")
    );
    let home = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let mut command = fleet.command(args);
        command.env("HEARTH_STATE_DIR", fleet.dir().join("replicas")).current_dir(home.path());
        Run::from(command.output().expect("hearth"))
    };
    let config = |text: &str| {
        let text = format!("[launcher.command]\n{text}{settings}");
        std::fs::write(home.path().join("hearth.toml"), text).expect("hearth.toml");
    };
    let launch = |named: &[&str]| {
        let script = r#"echo "I am $REPLICA_RANK"; echo "[$REPLICA_RANK]" > "$REPLICA_RESULT""#;
        let on = ["--host", "n1", "--host", "n2", "-n", "2", "--entrypoint", "sh"];
        let program = ["--", "-c", script];
        run(&[&["launch", "--launcher", "command"], named, &on, &program].concat())
    };
    config("");
    let refused = launch(&[]);
    assert!(refused.status == 2 && refused.stderr.contains("--programs"), "{refused:?}");
    let by_flag = launch(&["--programs", programs.to_str().expect("a path")]).ok();
    config(&format!("programs = {programs:?}\n"));
    let by_config = launch(&[]).ok();
    std::fs::remove_file(home.path().join("hearth.toml")).expect("it was there");
    for launched in [by_flag, by_config] {
        let handles: Vec<&str> = launched.stdout.lines().collect();
        let all = handles[0].strip_suffix("/0").expect("rank 0");
        assert!(all.starts_with("command/sh-") && handles[1] == format!("{all}/1"));
        let outcomes = run(&["replicas", "collect", all, "--json"]).ok().json();
        for rank in 0..2_usize {
            assert_eq!(outcomes[rank]["result"], serde_json::json!([rank]), "{outcomes}");
        }
        let logs = run(&["replicas", "logs", handles[1], "--follow"]).ok();
        assert!(logs.stdout.contains("I am 1"), "{logs:?}");
        let _ = run(&["replicas", "cancel", all]).ok();
        let _ = run(&["replicas", "forget", all]).ok();
    }
}

#[test]
fn mistakes_are_refused_with_a_remedy_and_start_nothing() {
    let _turn = hearth_tests::Turn::take();
    let fleet = nobody_yet();
    let launches = Launches { fleet: &fleet };
    let refused = |args: &[&str], part: &str| {
        let run = launches.run(args);
        assert_eq!(run.status, 2, "{args:?}: {run:?}");
        assert!(run.stderr.contains(part), "{args:?}: {run:?}");
    };
    refused(&["launch", "--launcher", "ray"], "process");
    refused(&["launch", "--launcher", "command"], "registry");
    let programs = ["launch", "--programs", "x", "--entrypoint", "true"];
    refused(&programs, "--launcher command");
    refused(&["launch"], "--authority");
    refused(&["launch", "--name", "A b"], "lower-case");
    refused(&["launch", "--entrypoint", "no-such-program"], "PATH");
    refused(&["launch", "--entrypoint", "true", "--timeout", "0s"], "zero");
    refused(&["launch", "--entrypoint", "true", "-n", "0"], "4096");
    refused(&["launch", "--entrypoint", "true", "--memory", "1GiB"], "systemd");
    refused(&["launch", "--entrypoint", "true", "--gpu", "all"], "device=");
    refused(&["launch", "--entrypoint", "true", "--gpu", "A100:"], "device=");
    let typed = "gpus is A100:2: the launcher process can't choose graphics cards by type";
    refused(&["launch", "--entrypoint", "true", "--gpu", "A100:2"], typed);
    refused(&["launch", "--entrypoint", "true", "--name", "A b"], "lower-case");
    refused(&["replicas", "poll", "process/x-1f/0"], "replicas list");
    refused(&["replicas", "poll", "x-1f"], "replicas list");
    refused(&["replicas", "cancel", "elsewhere/x-1f/0"], "process");
    refused(&["replicas", "collect", "process"], "replicas list");
    assert_eq!(launches.run(&["replicas", "list", "--json"]).ok().json(), serde_json::json!([]));

    // A worker that can't start is told by its replica, with the reason in its log.
    let authority = fleet.dir().join("authority");
    let authority = authority.to_str().expect("a path");
    let args = ["launch", "--authority", authority, "--", "--model", "m=/no/such/model"];
    let handle = launches.run(&args).ok().stdout.trim().to_owned();
    let run = launches.run(&["replicas", "collect", &handle, "--json"]);
    assert_eq!((run.status, &run.json()[0]["exit_code"]), (1, &2.into()), "{run:?}");
    let logs = launches.run(&["replicas", "logs", &handle]).ok();
    assert!(logs.stdout.contains("/no/such/model"), "{logs:?}");
}
