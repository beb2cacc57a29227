//! Commands that need no fleet, run as the real program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A machine of its own: no config, no fleet, nothing inherited.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn hearth(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
        let output = command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/bin:/bin")
            .env("HEARTH_RUNTIME_DIR", self.path().join("run"))
            .output()
            .unwrap();
        Ran(output)
    }
}

struct Ran(Output);

impl Ran {
    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// Checks the exit status, and gives standard error.
    #[track_caller]
    fn exits(&self, status: i32) -> String {
        assert_eq!(self.0.status.code(), Some(status), "{}\n{}", self.out(), self.err());
        self.err()
    }
}

#[test]
fn version_names_program_and_protocol() {
    let ran = Machine::new().hearth(&["--version"]);
    ran.exits(0);
    assert!(ran.out().starts_with("hearth 0.") && ran.out().contains("hearth/1"), "{}", ran.out());
}

#[test]
fn help_is_there_for_every_command() {
    let machine = Machine::new();
    let ran = machine.hearth(&["--help"]);
    ran.exits(0);
    for command in ["up", "generate", "workers", "models", "health", "rpc", "requests", "cancel"] {
        assert!(ran.out().contains(command));
        machine.hearth(&[command, "--help"]).exits(0);
    }
    assert!(ran.out().contains("Exit status"));
}

#[test]
fn an_authority_issues_for_several_names() {
    let machine = Machine::new();
    machine.hearth(&["pki", "init", "--dir", "ca", "--cluster", "lab"]).exits(0);
    let again = machine.hearth(&["pki", "init", "--dir", "ca"]);
    assert!(again.exits(2).contains("never overwritten"));

    let issue = ["pki", "issue", "--dir", "ca", "--role"];
    let ran =
        machine.hearth(&[&issue[..], &["worker", "gpu-1", "gpu-2", "--out", "certs"]].concat());
    ran.exits(0);
    assert!(ran.out().contains("spiffe://lab/hearth/worker/gpu-2"), "{}", ran.out());
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        assert!(machine.path().join("certs/worker-gpu-1").join(name).is_file(), "{name}");
    }
    let key = fs::metadata(machine.path().join("certs/worker-gpu-2/tls.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);

    machine.hearth(&[&issue[..], &["admin", "me", "--out", "mine"]].concat()).exits(0);
    assert!(machine.path().join("mine/tls.key").is_file(), "one name goes right into --out");

    let ran = machine.hearth(&["pki", "show", "mine", "--json"]);
    ran.exits(0);
    let shown: serde_json::Value = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(shown[0]["kind"], "authority");
    assert_eq!(shown[1]["id"], "spiffe://lab/hearth/admin/me");
    assert_eq!(shown[1]["expired"], false);
}

#[test]
fn what_the_authority_refuses_names_the_value() {
    let machine = Machine::new();
    let ran = machine.hearth(&["pki", "issue", "--role", "worker", "w"]);
    assert!(ran.exits(2).contains("hearth pki init"), "{}", ran.err());
    machine.hearth(&["pki", "init"]).exits(0);
    for (args, part) in [
        (&["--role", "root", "w"][..], "root"),
        (&["--role", "worker", "a/b"], "a/b"),
        (&["--role", "worker", "w", "w"], "twice"),
        (&["--role", "worker", "w", "--days", "0"], "days"),
        (&["--role", "worker", "w", "--out", "pki"], "authority's own"),
    ] {
        let ran = machine.hearth(&[&["pki", "issue"], args].concat());
        assert!(ran.exits(2).contains(part), "{args:?}: {}", ran.err());
    }
    assert!(!machine.path().join("worker-w").exists(), "nothing is left of what was refused");
    let ran = machine.hearth(&["pki", "show", "nowhere"]);
    assert!(ran.exits(2).contains("nowhere"));
}

#[test]
fn completions_and_manual() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = machine.hearth(&["completions", shell]);
        ran.exits(0);
        assert!(ran.out().contains("generate"), "{shell}");
    }
    let ran = machine.hearth(&["man"]);
    ran.exits(0);
    assert!(ran.out().contains(".TH hearth 1"), "{}", ran.out());
    machine.hearth(&["man", "--dir", "man1"]).exits(0);
    for page in ["hearth.1", "hearth-generate.1", "hearth-pki-issue.1"] {
        assert!(machine.path().join("man1").join(page).is_file(), "{page}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_would_be_right() {
    let machine = Machine::new();
    let registry = ["--registry", "static:127.0.0.1:9", "--pki", "none"];
    for (args, part) in [
        (&["generate"][..], "PROMPT"),
        (&["generate", "x", "--size", "big"], "512x512"),
        (&["generate", "x", "--timeout", "0s"], "zero"),
        (&["generate", "x", "--guidance", "NaN"], "finite"),
        (&["generate", "x", "-n", "0"], "num_images is 0"),
        (&["generate", "x", "-n", "2", "-o", "-"], "one picture"),
        (&["generate", "x", "-o", "no/where.png"], "no folder"),
        (&["generate", "x", "-o", "/proc/x.png"], "can't be written"),
        (&["generate", "x", "-o", "x.tiff"], "names no format"),
        (&["generate", "x", "--task", "paint"], "text-to-image"),
        (&["generate", "x", "--device", "cuda:0"], "--local"),
        (&["generate", "x", "--local", "--set", "model=sd15"], "model \"sd15\""),
        (&["generate", "x", "--negative-crop", "8"], "TOP,LEFT"),
        (&["generate", "x", "--seed", "-1"], "left out, one is drawn"),
        (&["generate", "x", "--steps", "2.5"], "whole number"),
        (&["rpc", "stats", "--args", "[1]"], "no object"),
        (&["rpc", "stats", "--args", "{"], "no JSON"),
        (&["drain"], "WORKER"),
        (&["cancel", "a/b"], "a/b"),
        (&["up", "--model", "./nothing"], "no such folder"),
        (&["up", "--pki", "x"], "leave it out"),
        (&["up", "--http", "8000"], "127.0.0.1:8000"),
        (&["--context", "lab", "workers"], "lab"),
        (&["--registry", "carrier:pigeon", "--pki", "x", "workers"], "etcd://"),
        (&["--registry", "static:127.0.0.1:9", "workers"], "--pki"),
        (&[&registry[..], &["workers"]].concat(), "none/ca.crt is missing"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let ran = machine.hearth(args);
        let text = ran.exits(2);
        assert!(text.contains(part), "{args:?}: {text}");
        assert!(text.starts_with("error: "), "{args:?}: {text}");
        assert!(ran.out().is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_fleet_the_status_is_3_and_the_remedy_named() {
    let machine = Machine::new();
    for args in [&["workers"][..], &["generate", "red heart"], &["health"], &["drain", "--all"]] {
        let text = machine.hearth(args).exits(3);
        assert!(text.contains("hearth up"), "{text}");
    }
}

#[test]
fn a_workers_certificate_calls_nobody() {
    let machine = Machine::new();
    machine.hearth(&["pki", "init"]).exits(0);
    machine.hearth(&["pki", "issue", "--role", "worker", "w", "--out", "w"]).exits(0);
    let ran = machine.hearth(&["--registry", "static:127.0.0.1:9", "--pki", "w", "workers"]);
    assert!(ran.exits(5).contains("admin"), "{}", ran.err());
}

#[test]
fn a_silent_address_is_no_worker() {
    let machine = Machine::new();
    machine.hearth(&["pki", "init"]).exits(0);
    machine.hearth(&["pki", "issue", "--role", "admin", "me", "--out", "me"]).exits(0);
    let ran = machine.hearth(&["--registry", "static:127.0.0.1:9", "--pki", "me", "generate", "x"]);
    assert!(ran.exits(3).contains("127.0.0.1:9"), "{}", ran.err());
}

#[test]
fn the_doctor_looks_at_the_machine() {
    let machine = Machine::new();
    let ran = machine.hearth(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_str(&ran.out()).unwrap();
    let names: Vec<_> = findings.as_array().unwrap().iter().map(|f| &f["check"]).collect();
    for check in ["programs", "library", "device", "udp buffers", "clock", "fleet"] {
        assert!(names.iter().any(|name| *name == check), "{check}: {names:?}");
    }
    let ran = machine.hearth(&["--registry", "dir:reg", "--pki", "none", "doctor"]);
    ran.exits(1);
    assert!(ran.out().contains("none/ca.crt is missing"), "{}", ran.out());
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let machine = Machine::new();
    let program = env!("CARGO_BIN_EXE_hearth");
    let script = format!("{program} completions bash | head -1; exit ${{PIPESTATUS[0]}}");
    let ran = Command::new("bash").args(["-c", &script]).current_dir(machine.path()).output();
    let ran = Ran(ran.unwrap());
    assert_eq!(ran.exits(0), "");
}
