//! `hearth logs`: what real workers log is read over QUIC, and followed over a restart.

#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use hearth_tests::{Fleet, FleetOptions, Run, signal, until};
use serde_json::{Value, json};

/// Time for what a loaded machine does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has worker 0 log that a coordinator may not call this method; said once in ten seconds.
fn provoke(fleet: &Fleet, method: &str) {
    let run = fleet.hearth_as("coordinator-c0", &["rpc", method]);
    assert_eq!(run.status, 5, "{run:?}");
}

fn rows(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn a_workers_last_lines_are_read_from_afar() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions { workers: 2, ..FleetOptions::default() });
    provoke(&fleet, "drain");

    let text = fleet.hearth(&["logs", "w0"]).ok().stdout;
    for part in ["INFO  hearth_worker", "worker starts id=w0", "ready", "call refused"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let refused = text.lines().find(|line| line.contains("call refused")).expect("the line");
    assert!(refused.contains(" WARN  ") && refused.contains("method=drain"), "{refused}");
    let seen = fleet.hearth_as("coordinator-c0", &["logs", "w0"]).ok().stdout;
    assert!(seen.starts_with(&text), "and what the commands themselves had logged: {seen}");

    // Commands come and go between these, which is logged too.
    let all = rows(&fleet.hearth(&["logs", "w0", "--json"]).ok());
    assert!(all.len() >= text.lines().count());
    for (number, row) in (1..).zip(&all) {
        assert_eq!((&row["worker"], &row["number"]), (&json!("w0"), &json!(number)), "{row}");
        assert_eq!(row["incarnation"], all[0]["incarnation"]);
        assert!(row["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{row}");
    }
    let last = rows(&fleet.hearth(&["logs", "w0", "-n1", "--json"]).ok());
    assert!(last.len() == 1 && last[0]["number"].as_u64() >= Some(all.len() as u64), "{last:?}");
    assert_eq!(fleet.hearth(&["logs", "w0", "-n", "0"]).ok().stdout, "");

    let both = fleet.hearth(&["logs", "w1", "w0", "w1"]).ok().stdout;
    let of = |name: &str| both.lines().filter(|line| line.starts_with(name)).count();
    assert!(of("w0 | ") >= all.len() && of("w1 | ") > 1, "{both}");
    assert_eq!(of("w0 | ") + of("w1 | "), both.lines().count(), "{both}");

    // A page, and the one behind it.
    let page = |args: Value| {
        let run =
            fleet.hearth(&["rpc", "logs", "--rank", "0", "--args", &args.to_string(), "--json"]);
        run.ok().json()[0]["value"].clone()
    };
    let first = page(json!({"after": 0, "lines": 2}));
    let second = page(json!({"after": 2, "lines": 2, "incarnation": first["incarnation"]}));
    assert_eq!(
        (&first["lines"][1]["number"], &second["lines"][0]["number"]),
        (&json!(2), &json!(3))
    );
    assert!(second["newest"].as_u64() >= Some(all.len() as u64) && second["lost"] == 0, "{second}");
    let run = fleet.hearth(&["rpc", "logs", "--args", r#"{"wait_ms": 99000}"#, "--json"]);
    let error = &run.json()[0]["error"];
    assert_eq!((run.status, &error["param"]), (2, &json!("wait_ms")), "{error}");

    let unknown = fleet.hearth(&["logs", "w0", "w00"]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (2, ""), "{unknown:?}");
    assert!(
        unknown.stderr.contains("w00 is unknown (nearest: w0): there are w0, w1"),
        "{unknown:?}"
    );
    let denied = fleet.hearth_as("worker-w1", &["logs", "w0"]);
    assert_eq!((denied.status, denied.stdout.as_str()), (5, ""), "{denied:?}");
    assert_eq!(fleet.hearth(&["logs"]).status, 2);
}

/// A command whose lines are read as they come.
struct Follower {
    child: Child,
    lines: Receiver<String>,
    said: Receiver<String>,
}

fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
    });
    receive
}

impl Follower {
    fn start(fleet: &Fleet, args: &[&str]) -> Self {
        let mut command = fleet.command(args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hearth");
        let lines = lines_of(child.stdout.take().expect("piped"));
        let said = lines_of(child.stderr.take().expect("piped"));
        Self { child, lines, said }
    }

    /// The next line of standard output that says this.
    fn line(&self, part: &str) -> String {
        next(&self.lines, part)
    }

    /// The next one of standard error.
    fn note(&self, part: &str) -> String {
        next(&self.said, part)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next(lines: &Receiver<String>, part: &str) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("no line with {part:?}: {error}"));
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn new_lines_are_followed_over_a_restart_and_a_follower_keeps_nobody() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = Fleet::start(FleetOptions::default());
    let mut follower = Follower::start(&fleet, &["logs", "w0", "-n", "1", "--follow"]);
    follower.line("INFO");
    provoke(&fleet, "drain");
    let line = follower.line("call refused");
    assert!(line.contains("method=drain") && line.contains(" WARN  "), "{line}");
    // It is asked again, and waits, while others are answered.
    let rows = fleet.hearth(&["rpc", "check_health", "--json"]).ok().json();
    assert_eq!(rows[0]["value"]["healthy"], true, "{rows}");

    let worker = &mut fleet.workers[0];
    worker.signal("TERM");
    assert!(worker.wait(PATIENCE).success());
    let log = worker.log();
    assert!(!log.contains("did not take their replies"), "who waits for news is answered: {log}");
    follower.note("waiting until it answers");
    fleet.workers[0] = fleet.start_worker(0);
    follower.note("w0 was started anew");
    follower.line("worker starts");
    fleet.wait_ready(1);
    provoke(&fleet, "sleep");
    follower.line("method=sleep");

    signal(follower.child.id(), "INT");
    let status = until("the follower ends", PATIENCE, || follower.child.try_wait().expect("child"));
    assert_eq!(status.code(), Some(130));
}
