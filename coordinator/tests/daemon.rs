//! The daemon as a process: its config, its probes, its signals.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hearth_protocol::role::Role;
use rustix::process::{Pid, Signal, kill_process};
use support::{Cluster, SOON};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hearth-coordinator");

/// Killed when the test fails.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(config: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("--config").arg(config).args(arguments).output().unwrap()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The status line of an answer; none while nobody listens.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    answer(address, path)?.lines().next().map(str::to_owned)
}

fn answer(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Waits until all these lines are scraped.
fn until_counted(address: SocketAddr, lines: &[&str]) {
    let started = Instant::now();
    loop {
        let seen = answer(address, "/metrics").unwrap_or_default();
        let missing = lines.iter().find(|line| !seen.lines().any(|found| found == **line));
        let Some(missing) = missing else { return };
        assert!(started.elapsed() < SOON, "no {missing} in\n{seen}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until(address: SocketAddr, path: &str, status: &str) {
    let started = Instant::now();
    loop {
        let seen = get(address, path);
        if seen.as_ref().is_some_and(|line| line.contains(status)) {
            return;
        }
        assert!(started.elapsed() < SOON, "{path} is {seen:?}, not {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ready_with_a_worker_and_ends_in_good_order() {
    let cluster = Cluster::new();
    let pki = cluster.dir.path().join("pki");
    cluster.issue(Role::Coordinator, "c", &pki);
    let http = free_port();
    let config = cluster.dir.path().join("coordinator.toml");
    let text = format!(
        "[registry]\nurl = \"{}\"\n[tls]\ndir = \"{}\"\n[executor]\nmin_workers = 1\n",
        cluster.url(),
        pki.display()
    );
    std::fs::write(&config, text).unwrap();
    assert!(run(&config, &["--check-config"]).status.success());

    let child = Command::new(PROGRAM)
        .arg("--config")
        .arg(&config)
        .env("HEARTH_HTTP__LISTEN", http.to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Daemon(child);
    until(http, "/live", "200");
    until(http, "/ready", "503");
    let worker = cluster.worker(0).await;
    until(http, "/ready", "200");
    until(http, "/health", "200");
    until_counted(
        http,
        &[
            r#"hearth_workers{state="ready"} 1"#,
            r#"hearth_workers{state="lost"} 0"#,
            "hearth_connections 1",
            "hearth_registry_stale 0",
            r#"hearth_requests_total{outcome="done"} 0"#,
            "# TYPE hearth_request_duration_seconds histogram",
        ],
    );
    let _crashed = worker.crash();
    until(http, "/ready", "503");
    until_counted(http, &[r#"hearth_workers{state="ready"} 0"#, "hearth_connections 0"]);

    kill_process(Pid::from_child(&daemon.0), Signal::TERM).unwrap();
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = daemon.0.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < SOON, "it did not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn mistakes_in_the_config_end_it_with_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("coordinator.toml");
    for (text, part) in [
        ("[executor]\nbakend = \"external\"\n", "bakend"),
        ("[executor]\nbackend = \"ray\"\n", "use external"),
        ("[tls]\ndir = \"/nowhere/pki\"\n[http]\nlisten = \"off\"\n", "/nowhere/pki"),
    ] {
        std::fs::write(&config, text).unwrap();
        let output = run(&config, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {stderr}");
        assert!(stderr.contains(part), "{text}: {stderr}");
    }
    let output = run(&dir.path().join("absent.toml"), &["--check-config"]);
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(PROGRAM).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("protocol hearth/1."));
}
