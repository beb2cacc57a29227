//! The shipped systemd units: what systemd says of them, and a real worker under one, with a real
//! user manager. The unit is taken as it is, but for its paths, its user and shorter times.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hearth_tests::{
    Fleet, FleetOptions, Run, UserManager, program, source, under_user_manager, until,
};

const UNIT: &str = "hearth-worker@0.service";
/// Until a worker has loaded its model, was noticed to be frozen, or has drained.
const LIMIT: Duration = Duration::from_secs(60);

/// A shipped file.
fn shipped(name: &str) -> String {
    std::fs::read_to_string(source().join("configs/systemd").join(name)).unwrap()
}

/// A shipped unit whose programs are those built here.
fn with_programs(name: &str) -> String {
    let programs = program("hearth-worker").parent().unwrap().display().to_string();
    shipped(name).replace("/usr/bin/hearth", &format!("{programs}/hearth"))
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = ["hearth-worker@.service", "hearth-coordinator.service"];
    for unit in units {
        std::fs::write(dir.path().join(unit), with_programs(unit)).unwrap();
    }
    let verify = || {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).args([UNIT, units[1]]).current_dir(dir.path());
        let run = Run::from(command.output().unwrap()).ok();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    };
    let drop_in = |unit: &str, name: &str| {
        let folder = dir.path().join(format!("{unit}.d"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), shipped(name)).unwrap();
    };
    let safe = |unit: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager", "--threshold=20", unit]);
        let run = Run::from(command.current_dir(dir.path()).output().unwrap());
        assert_eq!(run.status, 0, "{unit} is more exposed than 2.0:\n{}", run.stdout);
    };
    verify();
    units.into_iter().for_each(safe);
    drop_in(units[1], "owning.conf");
    verify();
    safe(units[1]);
    for unit in units {
        drop_in(unit, "gpu.conf");
    }
    verify();
}

/// The worker's unit, and all that it needs, in a folder of the test's own.
struct Installed<'a> {
    manager: &'a UserManager,
    fleet: Fleet,
    etc: PathBuf,
}

impl<'a> Installed<'a> {
    fn new(manager: &'a UserManager, options: FleetOptions) -> Self {
        let fleet = Fleet::start(FleetOptions { workers: 0, fixed_ports: true, ..options });
        let etc = fleet.dir().join("etc");
        std::fs::create_dir(&etc).unwrap();
        let _ = fleet.worker_command(0);
        std::fs::copy(fleet.dir().join("w0.toml"), etc.join("worker.toml")).unwrap();
        let installed = Self { manager, fleet, etc };
        installed.set_variables(&[]);
        manager.add_unit("hearth-worker@.service", &installed.unit("hearth-worker@.service"));
        installed
    }

    /// The shipped unit, for this user and these folders.
    fn unit(&self, name: &str) -> String {
        let text = with_programs(name)
            .replace("/etc/hearth", &self.etc.display().to_string())
            .replace("/var/lib/hearth", &self.fleet.dir().display().to_string());
        let mut left_out = vec!["User=", "Group="];
        if !self.manager.has_user_namespaces() {
            hearth_tests::skip(&format!("PrivateUsers= of {name}"), "user namespaces are refused");
            left_out.push("PrivateUsers=");
        }
        let mut unit = String::new();
        for line in
            text.lines().filter(|line| !left_out.iter().any(|setting| line.starts_with(setting)))
        {
            writeln!(unit, "{line}").unwrap();
            if line == "[Service]" {
                let (source, own) = (source().canonicalize().unwrap(), self.fleet.dir().display());
                writeln!(unit, "BindReadOnlyPaths={}", source.display()).unwrap();
                writeln!(unit, "BindPaths={own}\nReadWritePaths={own}").unwrap();
            }
        }
        unit
    }

    /// What is this worker's own.
    fn set_variables(&self, variables: &[(&str, &str)]) {
        let listen = self.fleet.address(0).to_string();
        let own = [("HEARTH_WORKER__LISTEN", listen.as_str()), ("HEARTH_WORKER__DEVICE", "cpu")];
        let lines = own.iter().chain(variables).map(|(key, value)| format!("{key}={value}\n"));
        std::fs::write(self.etc.join("worker-0.env"), lines.collect::<String>()).unwrap();
    }

    /// Settings over those of the unit.
    fn set(&self, settings: &str) {
        let name = format!("{UNIT}.d/test.conf");
        self.manager.add_unit(&name, &format!("[Service]\n{settings}\n"));
    }

    fn start(&self) {
        let run = self.manager.systemctl(&["start", UNIT]);
        let status = self.manager.systemctl(&["status", "--full", UNIT]).stdout;
        assert_eq!(run.status, 0, "{status}\n{}", self.manager.journal("hearth-worker"));
    }

    fn state(&self, property: &str) -> String {
        self.manager.property(UNIT, property)
    }

    /// Waits until the unit runs again after a failure: a new process, that has said it is ready.
    fn until_restarted(&self, restarts: &str) {
        self.manager.wait_for(UNIT, "NRestarts", LIMIT, |count| count == restarts);
        self.manager.wait_for(UNIT, "ActiveState", LIMIT, |state| state == "active");
    }

    /// A picture is asked for.
    fn ask(&self, options: &[&str], log: &Path) -> Child {
        let file = std::fs::File::create(log).unwrap();
        let mut command = self.fleet.command(&["generate", "red heart", "-o", "heart.png"]);
        command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        command.spawn().unwrap()
    }

    /// A picture under way.
    fn generate(&self, options: &[&str], log: &Path) -> Child {
        let mut child = self.ask(options, log);
        until("a part runs", LIMIT, || {
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "it has ended: {}", said());
            let status = self.state("StatusText");
            status.contains("1 run").then_some(())
        });
        child
    }
}

/// Issues certificates anew, into the folders that the units name.
fn renew(fleet: &Fleet, role: &str, names: [&str; 2]) {
    let mut issue = Command::new(program("hearth"));
    issue.args(["pki", "issue", "--role", role]).args(names);
    issue.arg("--dir").arg(fleet.dir().join("authority")).arg("--out").arg(fleet.dir().join("pki"));
    let _ = Run::from(issue.output().unwrap()).ok();
}

fn until_reloaded(manager: &UserManager, program: &str) {
    until("the reload is logged", LIMIT, || {
        let log = manager.journal(program);
        log.contains("certificate and log level are reloaded").then_some(())
    });
}

/// Ready while etcd is away, with the reason in its status; new certificates and another log level
/// by a reload; SIGTERM finishes what was accepted, longer than TimeoutStopSec= if it must.
#[test]
fn a_worker_lives_under_its_unit() {
    under_user_manager("a_worker_lives_under_its_unit", |manager| {
        let unit = Installed::new(manager, FleetOptions::default());
        unit.set_variables(&[("HEARTH_REGISTRY__URL", "etcd://127.0.0.1:9")]);
        unit.start();
        let status = manager
            .wait_for(UNIT, "StatusText", LIMIT, |text| text.contains("registration pending: "));
        assert!(status.starts_with("ready, 0 run, 0 wait"), "{status}");
        let _ = manager.systemctl(&["stop", UNIT]).ok();
        assert_eq!(
            (unit.state("Result"), unit.state("ExecMainStatus")),
            ("success".into(), "0".into())
        );

        unit.set_variables(&[]);
        unit.start();
        unit.fleet.wait_ready(1);
        renew(&unit.fleet, "worker", ["w0", "w1"]);
        let pid = unit.state("MainPID");
        let config = unit.etc.join("worker.toml");
        let text = std::fs::read_to_string(&config).unwrap() + "[log]\nlevel = \"debug\"\n";
        std::fs::write(&config, text).unwrap();
        let _ = manager.systemctl(&["reload", UNIT]).ok();
        until_reloaded(manager, "hearth-worker");
        assert_eq!(unit.state("MainPID"), pid);
        // The record names the new certificate, which the worker shows: else nobody could connect.
        unit.fleet.wait_ready(1);

        let log = unit.fleet.dir().join("generate.log");
        unit.set("TimeoutStopSec=2s");
        let mut generating = unit.generate(&["--steps", "300"], &log);
        let _ = manager.systemctl(&["stop", UNIT]).ok();
        let ended = generating.wait().unwrap();
        assert!(ended.success(), "{}", std::fs::read_to_string(&log).unwrap());
        assert_eq!(
            (unit.state("Result"), unit.state("ExecMainStatus")),
            ("success".into(), "0".into())
        );
    });
}

#[test]
fn a_coordinator_lives_under_its_unit() {
    under_user_manager("a_coordinator_lives_under_its_unit", |manager| {
        let unit = "hearth-coordinator.service";
        let installed = Installed::new(manager, FleetOptions::default());
        let fleet = &installed.fleet;
        manager.add_unit(unit, &installed.unit(unit));
        let config = installed.etc.join("coordinator.toml");
        let (registry, pki) = (fleet.registry(), fleet.pki("coordinator-c0"));
        let text = format!(
            "[registry]\nurl = {registry:?}\n[tls]\ndir = {pki:?}\n[http]\nlisten = \"off\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let _ = manager.systemctl(&["start", unit]).ok();
        manager
            .wait_for(unit, "StatusText", LIMIT, |text| text.starts_with("0 of 1 workers ready"));
        renew(fleet, "coordinator", ["c0", "c1"]);
        let pid = manager.property(unit, "MainPID");
        let _ = manager.systemctl(&["reload", unit]).ok();
        until_reloaded(manager, "hearth-coordinator");
        assert_eq!(manager.property(unit, "MainPID"), pid);
        let _ = manager.systemctl(&["stop", unit]).ok();
        assert_eq!(manager.property(unit, "Result"), "success");
    });
}

/// Workers that load, or that wait in a cluster's queue, take longer than a unit's start may. A
/// stop meanwhile is no failure.
#[test]
fn a_coordinator_may_start_for_as_long_as_its_config_says() {
    under_user_manager("a_coordinator_may_start_for_as_long_as_its_config_says", |manager| {
        let unit = "hearth-coordinator.service";
        let installed = Installed::new(manager, FleetOptions::default());
        manager.add_unit(unit, &installed.unit(unit));
        manager.add_unit(&format!("{unit}.d/owning.conf"), &shipped("owning.conf"));
        // A worker that waits for its registry.
        let model = format!("emoji={}", source().join("models/emoji").display());
        let config = |start_timeout: &str| {
            let text = format!(
                "[executor]\nbackend = \"mp\"\nworkers = 1\nstart_timeout = {start_timeout:?}\n\
                 args = [\"--model\", {model:?}]\n\
                 [registry]\nurl = \"etcd://127.0.0.1:9\"\n[http]\nlisten = \"off\"\n"
            );
            std::fs::write(installed.etc.join("coordinator.toml"), text).unwrap();
        };
        let limit = "[Service]\nTimeoutStartSec=2s\nRestart=no\n";
        manager.add_unit(&format!("{unit}.d/test.conf"), limit);
        config("5s");
        let started = manager.systemctl(&["start", unit]);
        assert_ne!(started.status, 0, "{started:?}");
        let journal = manager.journal("hearth-coordinator");
        assert!(journal.contains("not all workers were registered within 5s"), "{journal}");
        assert_eq!(manager.property(unit, "Result"), "exit-code", "{journal}");

        config("5m");
        let _ = manager.systemctl(&["start", "--no-block", unit]).ok();
        until("the worker runs", LIMIT, || {
            manager.journal("hearth-coordinator").matches("\"started\"").nth(1).map(drop)
        });
        let _ = manager.systemctl(&["stop", unit]).ok();
        let (result, status) =
            (manager.property(unit, "Result"), manager.property(unit, "ExecMainStatus"));
        assert_eq!((result.as_str(), status.as_str()), ("success", "0"));
    });
}

/// A process that is frozen is restarted by the watchdog, one whose step hangs ends by itself and is
/// restarted. A wrong config is not tried again.
#[test]
fn the_manager_restarts_what_a_restart_can_mend() {
    under_user_manager("the_manager_restarts_what_a_restart_can_mend", |manager| {
        let unit = Installed::new(manager, FleetOptions::default());
        unit.set("WatchdogSec=2s\nRestartSec=100ms");
        unit.start();
        // Nothing but the watchdog ends a process that is stopped.
        let _ = manager.systemctl(&["kill", "--signal=STOP", UNIT]).ok();
        unit.until_restarted("1");

        unit.set_variables(&[("HEARTH_WORKER__STEP_TIMEOUT", "1ms")]);
        let _ = manager.systemctl(&["restart", UNIT]).ok();
        assert_eq!(unit.state("NRestarts"), "0");
        unit.fleet.wait_ready(1);
        let long = ["--steps", "1000", "--size", "128x128"];
        let mut generating = unit.ask(&long, &unit.fleet.dir().join("generate.log"));
        until("the hang is seen", LIMIT, || {
            let journal = manager.journal("hearth-worker");
            journal.contains("longer than worker.step_timeout (1ms) allows").then_some(())
        });
        // The next process would hang by it as well.
        generating.kill().unwrap();
        generating.wait().unwrap();
        unit.until_restarted("1");

        let _ = manager.systemctl(&["stop", UNIT]).ok();
        unit.set_variables(&[("HEARTH_WORKER__SLOTS", "0")]);
        let refused = manager.systemctl(&["start", UNIT]);
        assert_ne!(refused.status, 0, "{refused:?}");
        manager.wait_for(UNIT, "ActiveState", LIMIT, |state| state == "failed");
        let restarts = unit.state("NRestarts");
        assert_eq!((unit.state("ExecMainStatus").as_str(), restarts.as_str()), ("2", "0"));
    });
}
