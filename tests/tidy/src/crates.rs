//! The rules about manifests: which crate may know which.

use toml::Value;

use crate::manifests::{Dependency, dependencies, members, parse};
use crate::tree::Rule;

/// Each crate of the workspace, by its folder, with the crates of the workspace that it may know.
/// Depend downward only; a worker and a coordinator meet on the wire and nowhere else.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("api", &[]),
    ("protocol", &["api"]),
    ("telemetry", &["base"]),
    ("media", &["api"]),
    ("daemon", &["base", "telemetry"]),
    ("fabric", &["base", "api", "protocol"]),
    ("inference", &["api", "media"]),
    ("launchers", &["base"]),
    ("tests/tidy", &[]),
    ("worker", &["base", "api", "protocol", "fabric", "telemetry", "daemon", "media", "inference"]),
    ("engine", &["base", "api", "protocol", "fabric", "telemetry", "media", "launchers"]),
    ("coordinator", &["base", "api", "protocol", "fabric", "telemetry", "daemon", "engine"]),
    (
        "cli",
        &[
            "base",
            "api",
            "protocol",
            "fabric",
            "telemetry",
            "daemon",
            "media",
            "inference",
            "launchers",
            "engine",
        ],
    ),
];

/// The crates that may know all others.
const ABOVE_ALL: [&str; 2] = ["tests", "bench"];

/// What any crate's tests may use: its library knows no crate of the workspace.
const SUPPORT: &str = "tests";

/// Crates that would tie the protocol to a runtime or a transport.
const RUNTIMES: &[&str] = &[
    "async-trait",
    "axum",
    "etcd-client",
    "futures-util",
    "hyper",
    "ort",
    "quinn",
    "rustls",
    "socket2",
    "tokio",
    "tokio-util",
];

#[test]
fn crates_depend_downward() {
    let mut rule = Rule::new(
        "Crates depend downward only, so that each can be understood and built without those \
         above it.",
        "Move the shared part down, pass the value in, or (for a new crate) give it a line in \
         tests/tidy/src/crates.rs.",
    );
    for (folder, manifest) in members() {
        let Some((_, allowed)) = MAY_KNOW.iter().find(|(name, _)| *name == folder) else {
            if !ABOVE_ALL.contains(&folder.as_str()) {
                rule.broken_manifest(
                    &folder,
                    "this crate has no line in the table of dependencies",
                );
            }
            continue;
        };
        for Dependency { name, .. } in dependencies(&manifest) {
            if let Some(known) = name.strip_prefix("hearth-")
                && !allowed.contains(&known)
                && !(known == SUPPORT && manifest["dependencies"].get(&name).is_none())
            {
                rule.broken_manifest(&folder, &format!("must not know {name}"));
            }
        }
    }
    rule.check();
}

#[test]
fn api_and_protocol_know_no_runtime() {
    let mut rule = Rule::new(
        "The protocol is what two processes agree on; without a runtime, a clock or a socket it \
         can be tested to the byte and used by any program.",
        "Put code that needs one into fabric.",
    );
    for folder in ["api", "protocol"] {
        for Dependency { name, .. } in dependencies(&parse(&format!("{folder}/Cargo.toml"))) {
            if RUNTIMES.contains(&name.as_str()) {
                rule.broken_manifest(folder, &format!("depends on {name}"));
            }
        }
    }
    rule.check();
}

#[test]
fn versions_and_lints_are_the_workspaces() {
    let mut rule = Rule::new(
        "One version of each dependency and one set of lints for the whole tree.",
        "Name the version in the root Cargo.toml and write `name.workspace = true`; each crate \
         has `[lints] workspace = true`.",
    );
    for (folder, manifest) in members() {
        for Dependency { name, value, .. } in dependencies(&manifest) {
            if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                rule.broken_manifest(&folder, &format!("{name} has a version of its own"));
            }
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            rule.broken_manifest(&folder, "its lints are not the workspace's");
        }
    }
    rule.check();
}
