//! Keeps the rules of the tree that a machine can check.
//!
//! Each test is one rule of `ARCHITECTURE.md` or `CONTRIBUTING.md`. When one fails, it lists the
//! places, says why the rule exists and what to do instead. It reads files as text, so it needs no
//! other crate to compile and takes a second; what needs a compiler's eye is clippy's.

#![cfg(test)]

mod circles;
mod crates;
mod dependencies;
mod manifests;
mod names;
mod token;
mod tree;

use tree::{File, Rule, tree};

/// This crate spells out what it forbids.
fn is_own(file: &File) -> bool {
    file.path.starts_with("tests/tidy/")
}

/// Where a vendor's crate may be named. Everywhere else its types are wrapped, so that replacing or
/// upgrading it touches one place.
const VENDORS: &[(&str, &[&str])] = &[
    ("ort::", &["inference/src/session/"]),
    ("quinn::", &["fabric/src/quic/", "bench/src/peers/bare_quic.rs"]),
    ("etcd_client::", &["fabric/src/registry/etcd/"]),
    ("figment::", &["base/src/config/"]),
    ("sd_notify::", &["daemon/src/systemd.rs"]),
    ("prometheus_client::", &["telemetry/src/", "worker/src/metrics/", "engine/src/metrics/"]),
    ("axum::", &["daemon/src/", "coordinator/src/routes/"]),
    ("hyper::", &["daemon/src/"]),
    ("hyper_util::", &["daemon/src/"]),
    (
        "reqwest::",
        &["telemetry/src/export/", "tasks/src/", "engine/src/remote/", "coordinator/src/webhooks/"],
    ),
    ("kube::", &["launchers/src/kubernetes/"]),
    ("zbus::", &["launchers/src/systemd/"]),
];

#[test]
fn each_vendor_has_one_home() {
    let mut rule = Rule::new(
        "A vendor's crate has one home, so that replacing or upgrading it touches one place.",
        "Move the code there, or use what that place offers in our own types.",
    );
    for file in tree().rust().filter(|file| !file.is_test()) {
        for (name, homes) in VENDORS {
            if !homes.iter().any(|home| file.path.starts_with(home)) {
                rule.forbid(file, name, &format!("belongs in {}", homes.join(" or ")));
            }
        }
    }
    rule.check();
}

/// Code that decides, by the start of its path: schedulers, the planner, the fleet's state, a
/// worker's plan with its items and models, and what either side knows of lost workers.
const PURE: &[&str] = &[
    "inference/src/schedulers",
    "engine/src/planner",
    "engine/src/fleet",
    "engine/src/request/losses",
    "worker/src/compute/plan",
    "worker/src/items",
    "worker/src/models",
    "worker/src/suspects/book",
];

#[test]
fn deciding_code_is_pure() {
    let mut rule = Rule::new(
        "What decides takes time and noise as arguments: the same input gives the same decision, \
         and a test needs no clock and no runtime.",
        "Take the value as an argument, and let the caller read the clock, the file or the noise.",
    );
    let mut absent = PURE.to_vec();
    for file in tree().rust().filter(|file| !file.is_test()) {
        if !PURE.iter().any(|pure| file.path.starts_with(pure)) {
            continue;
        }
        absent.retain(|pure| !file.path.starts_with(pure));
        for name in [
            "async fn",
            "async move",
            ".await",
            "tokio::",
            "Instant::now",
            "SystemTime::now",
            "rand::",
            "std::fs",
            "std::env",
            "TcpStream",
            "UdpSocket",
            "std::thread",
        ] {
            rule.forbid(file, name, "in pure code");
        }
    }
    for pure in absent {
        rule.note(&format!("{pure} names no file: correct the list of pure code"));
    }
    rule.check();
}

#[test]
fn every_task_has_an_owner() {
    let mut rule = Rule::new(
        "A task nobody owns outlives what it works for, and its panic is seen by nobody.",
        "Spawn it through base/src/task.rs or a JoinSet that its owner joins.",
    );
    for file in tree().rust().filter(|file| file.path != "base/src/task.rs" && !is_own(file)) {
        for name in ["tokio::spawn(", "task::spawn(", "task::spawn_local("] {
            rule.forbid(file, name, "starts a task without an owner");
        }
    }
    rule.check();
}

#[test]
fn nothing_is_left_half_done() {
    let mut rule = Rule::new(
        "A marker in the code is a wish that nobody owns, and a skipped test shows nothing.",
        "Do it now, or write an issue and leave the code complete for what it does today.",
    );
    let source = |file: &&File| {
        file.path == "Makefile"
            || [".rs", ".py", ".sh", ".toml"].iter().any(|end| file.path.ends_with(end))
    };
    for file in tree().files().filter(source).filter(|file| !is_own(file)) {
        for (number, line) in file.lines() {
            let marked = ["TODO", "FIXME", "XXX"].iter().any(|word| tree::names(line, word));
            let skipped =
                ["todo!(", "unimplemented!(", "#[ignore"].iter().any(|m| line.contains(m));
            if marked || skipped {
                rule.broken(file, number, line.trim());
            }
        }
    }
    rule.check();
}

/// Lines of a file that still hold one concept.
const MAX_LINES: usize = 400;

/// Files that are still longer. An entry goes with its file.
const LONG_FILES: &[&str] = &[];

#[test]
fn files_fit_in_a_head() {
    let mut rule = Rule::new(
        "A file holds one concept; a long one has become several.",
        "Split it by what its parts do; a large test module moves to a sibling file.",
    );
    let mut excepted = LONG_FILES.to_vec();
    for file in tree().rust().filter(|file| !file.is_test()) {
        let count = file.text.lines().count();
        let is_excepted = excepted.iter().position(|path| *path == file.path);
        if count > MAX_LINES && is_excepted.map(|at| excepted.remove(at)).is_none() {
            rule.broken(file, count, &format!("{count} lines, more than {MAX_LINES}"));
        }
    }
    for path in excepted {
        rule.note(&format!("{path} is not too long: drop the exception"));
    }
    rule.check();
}

#[test]
fn every_file_says_why_it_exists() {
    let mut rule = Rule::new(
        "A reader decides by the first lines whether this is the file to read.",
        "Start it with a `//!` header: why the file exists, and what it leaves out.",
    );
    for file in tree().rust() {
        if !file.text.starts_with("//!") {
            rule.broken(file, 1, "no `//!` header");
        }
    }
    rule.check();
}

#[test]
fn no_path_of_one_machine_is_committed() {
    let mut rule = Rule::new(
        "A path of the writer's machine is wrong on every other.",
        "Take it from the config, an argument, or relative to the repository.",
    );
    for file in tree().files().filter(|file| !is_own(file)) {
        for (number, line) in file.lines() {
            if ["/work/", "/root/", "/home/"].iter().any(|folder| starts_path(line, folder)) {
                rule.broken(file, number, line.trim());
            }
        }
    }
    rule.check();
}

/// Whether `folder` stands in the line as the start of a path.
fn starts_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-}/".contains(before))
    })
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut rule = Rule::new(
        "A dead link tells the reader that the document is not kept.",
        "Correct the path (it is relative to the document), or drop the link.",
    );
    for file in tree().files().filter(|file| file.path.ends_with(".md")) {
        for (number, line) in file.lines() {
            for target in link_targets(line) {
                if !tree().has(&file.sibling(target)) {
                    rule.broken(file, number, target);
                }
            }
        }
    }
    rule.check();
}

#[test]
fn the_tests_that_the_page_of_reliability_names_are_there() {
    let mut rule = Rule::new(
        "docs/reliability.md promises that a test shows each row.",
        "Name the test that shows it now, or write one.",
    );
    let page = tree().files().find(|file| file.path == "docs/reliability.md").unwrap();
    let rows = page.lines().filter(|(_, line)| line.starts_with("| ") && line.contains('`'));
    for (number, line) in rows {
        let shown_by = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        // A name in code marks stands at every second place.
        for name in shown_by.split('`').skip(1).step_by(2) {
            let definition = format!("fn {name}(");
            if !tree().rust().any(|file| file.text.contains(&definition)) {
                rule.broken(page, number, name);
            }
        }
    }
    rule.check();
}

/// The targets of a line's Markdown links that are paths, without their fragment.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split_once('#').map_or(target, |(path, _)| path))
        .filter(|target| !target.is_empty() && !target.contains(':'))
}

#[test]
fn the_readers_of_this_test_work() {
    assert!(tree::names("let a = ort::init();", "ort::"));
    assert!(!tree::names("use crate::port::Port;", "ort::"));
    assert!(starts_path("cd \"/home/me\"", "/home/"));
    assert!(!starts_path("https://example.org/home/", "/home/"));
    let line = "see [a](docs/a.md#b), [c](https://example.org) and [d](#d)";
    assert_eq!(link_targets(line).collect::<Vec<_>>(), ["docs/a.md"]);
}
