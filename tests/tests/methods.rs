//! Methods of running workers: models that come and go, sleep, graphs by themselves, profiles,
//! requests taken up again.

#![expect(clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the figures are of interest, shown with --nocapture")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hearth_engine::blocking::Engine;
use hearth_engine::{Backends, Config, RpcOptions};
use hearth_tests::{Fleet, FleetOptions, source, until};
use serde_json::{Value, json};

/// Time for what computes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls of each method that a busy worker is to answer.
const CALLS: usize = 300;

fn rss(fleet: &Fleet) -> u64 {
    fleet.stats("rss_bytes")[0]
}

fn make(fleet: &Fleet, file: &str) -> Vec<u8> {
    let args =
        ["generate", "red heart", "--model", "emoji", "--seed", "3", "--steps", "8", "-o", file];
    let _ = fleet.hearth(&args).ok();
    std::fs::read(fleet.dir().join(file)).expect("the picture")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("folder") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("entry");
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).expect("copy")),
        }
    }
}

#[test]
fn a_sleeping_worker_gives_its_memory_back_and_makes_the_same_picture_after() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let models = fleet.hearth(&["models", "--json"]).ok().json();
    let weights = models[0]["weight_bytes"].as_u64().expect("bytes");
    let before = make(&fleet, "before.png");
    let folder = source().join("models/emoji");
    let seen = fleet.hearth(&["model", "inspect", &folder.to_string_lossy(), "--json"]).ok().json();
    let (estimate, held) = (seen["memory_estimate_bytes"].as_u64().expect("bytes"), rss(&fleet));
    assert!(held < estimate * 2 && estimate < held * 2, "estimated {estimate}, holds {held}");
    for level in ["1", "2"] {
        let awake = rss(&fleet);
        let rows = fleet.hearth(&["sleep", "w0", "--level", level, "--wait", "--json"]).ok().json();
        let asleep = rss(&fleet);
        let freed = awake.saturating_sub(asleep);
        assert!(freed * 10 >= weights * 8, "level {level}: {awake} → {asleep}, model {weights}");
        assert_eq!(rows[0]["value"]["state"], "sleeping");
        assert!(rows[0]["value"]["freed_bytes"].as_u64() > Some(weights / 2), "{rows}");

        let workers = fleet.hearth(&["workers", "--json"]).ok().json();
        assert_eq!(workers["workers"][0]["state"], "sleeping");
        let listed = fleet.hearth(&["models", "--json"]).ok().json();
        assert_eq!(listed[0]["state"], "sleeping");
        let args = ["generate", "x", "--model", "emoji", "--timeout", "2s", "-o", "no.png"];
        let refused = fleet.hearth(&args);
        assert!(matches!(refused.status, 3 | 4), "{refused:?}");
        let again = fleet.hearth(&["sleep", "--all", "--wait", "--json"]).ok().json();
        assert_eq!(again[0]["value"]["state"], "sleeping", "asking twice changes nothing");

        let waking = fleet.hearth(&["wake", "--all", "--json"]).ok().json();
        assert_ne!(waking[0]["value"]["state"], "sleeping", "it is about to be there");
        let woken = fleet.hearth(&["wake", "--host", "localhost", "--wait", "--json"]).ok().json();
        assert_eq!(woken[0]["value"]["models"], json!(["emoji"]));
        assert_eq!(make(&fleet, "after.png"), before, "level {level}");
        assert_eq!(
            fleet.hearth(&["wake", "w0", "--json"]).ok().json()[0]["value"]["state"],
            "ready"
        );
    }
}

#[test]
fn sleep_finishes_what_was_accepted_and_can_be_taken_back_before() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let args = ["generate", "red heart", "--steps", "900", "-o", "long.png"];
    let mut child = fleet.command(&args).stderr(Stdio::null()).spawn().expect("hearth");
    until("it runs", PATIENCE, || (fleet.stats("running")[0] == 1).then_some(()));
    let asked = fleet.hearth(&["sleep", "w0", "--json"]).ok().json();
    assert_eq!(
        (&asked[0]["value"]["level"], &asked[0]["value"]["running"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(fleet.stats("running"), [1], "what was accepted goes on");
    let _ = fleet.hearth(&["wake", "w0", "--wait"]).ok();
    assert_eq!(fleet.stats("model_loads"), [1], "nothing was dropped");
    let rows = fleet.hearth(&["requests", "--json"]).ok().json();
    let id = rows[0]["request_id"].as_str().expect("id");
    let _ = fleet.hearth(&["cancel", id]).ok();
    let _ = child.wait();
}

#[test]
fn models_come_and_go_on_running_workers() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("folder");
    copy(&source().join("tests/models/tiny-sd"), &dir.path().join("tiny"));
    let worker = format!("model_dirs = [{:?}]", dir.path());
    let fleet = Fleet::start(FleetOptions { workers: 2, worker, ..FleetOptions::default() });
    let tiny = ["generate", "x", "--model", "tiny", "--steps", "2", "-o", "tiny.png"];
    assert_eq!(fleet.hearth(&tiny).status, 2, "nobody has it yet");

    for (path, part) in
        [("../tiny", ".."), ("/etc", "no folder beneath"), ("gone", "no folder beneath")]
    {
        let run = fleet.hearth(&["load", "bad", "--path", path]);
        assert_eq!(run.status, 2, "{path}: {run:?}");
        assert!(run.stdout.contains(part), "{path}: {run:?}");
    }
    std::fs::create_dir(dir.path().join("broken")).expect("folder");
    std::fs::write(dir.path().join("broken/model.onnx"), "no graph").expect("file");
    let run = fleet.hearth(&["load", "broken", "--path", "broken", "--worker", "w0", "--json"]);
    assert_eq!((run.status, &run.json()[0]["error"]["kind"]), (1, &json!("model_failed")));
    let names = |fleet: &Fleet| -> Vec<String> {
        let models = fleet.hearth(&["models", "--json"]).ok().json();
        let all = models.as_array().expect("models").iter();
        all.map(|model| model["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&fleet), ["emoji"], "a failed load leaves the worker as it was");

    let rows =
        fleet.hearth(&["load", "tiny", "--path", "tiny", "--alias", "t", "--json"]).ok().json();
    assert_eq!(
        (&rows[0]["value"]["loaded"], &rows[1]["value"]["loaded"]),
        (&json!(true), &json!(true))
    );
    let again = fleet.hearth(&["load", "tiny", "--json"]).ok().json();
    assert_eq!(again[0]["value"]["loaded"], false);
    until("the registry says so", PATIENCE, || (fleet.hearth(&tiny).status == 0).then_some(()));
    let _ = fleet.hearth(&["generate", "x", "--model", "t", "--steps", "2", "-o", "t.png"]).ok();

    // An engine's certificate serves requests and changes no models.
    let unload = ["rpc", "unload_model", "--args", r#"{"name": "tiny"}"#];
    assert_eq!(fleet.hearth_as("coordinator-c0", &unload).status, 5);

    let rows = fleet.hearth(&["unload", "tiny", "--json"]).ok().json();
    assert_eq!(rows[1]["value"]["unloaded"], true);
    assert_eq!(names(&fleet), ["emoji"]);
    let rows = fleet.hearth(&["unload", "emoji", "--worker", "w1", "--json"]).ok().json();
    assert_eq!(rows[0]["value"]["unloaded"], true);
    let _ = make(&fleet, "w0-has-it.png");
    let _ = fleet.hearth(&["unload", "emoji", "--worker", "w1"]).ok();
    let _ = fleet.hearth(&["load", "emoji", "--worker", "w1"]).ok();
    assert_eq!(fleet.stats("running"), [0, 0]);
}

#[test]
fn a_model_that_failed_is_listed_with_its_reason() {
    let _turn = hearth_tests::Turn::take();
    let config = "[models.gone]\npath = \"/nowhere/at/all\"\npreload = false\n".to_owned();
    let fleet = Fleet::start(FleetOptions { config, ..FleetOptions::default() });
    let gone = |fleet: &Fleet| {
        let models = fleet.hearth(&["rpc", "list_models", "--json"]).ok().json();
        let models = models[0]["value"]["models"].as_array().cloned().expect("models");
        models.into_iter().find(|model| model["name"] == "gone").expect("gone")
    };
    assert_eq!(gone(&fleet)["state"], "on_demand");
    let args = ["generate", "x", "--model", "gone", "--timeout", "5s", "-o", "no.png"];
    let run = fleet.hearth(&args);
    assert_ne!(run.status, 0, "{run:?}");
    let listed = gone(&fleet);
    assert_eq!(listed["state"], "failed");
    assert!(listed["reason"].as_str().is_some_and(|r| r.contains("/nowhere/at/all")), "{listed}");
    let _ = make(&fleet, "others-go-on.png");
}

/// A file of `NumPy`'s, version 1.0.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = u16::try_from(dict.len()).expect("short").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], dict.as_bytes(), data].concat()
}

#[test]
fn tensors_go_through_a_graph() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("folder");
    copy(&source().join("tests/models/gate"), &dir.path().join("gate"));
    let worker = format!("model_dirs = [{:?}]", dir.path());
    let fleet = Fleet::start(FleetOptions { worker, ..FleetOptions::default() });
    let _ = fleet.hearth(&["load", "gate", "--path", "gate"]).ok();
    let (a, b, mask) = ([1.5_f32, -2.0, 3.0, 4.0, 5.0, 6.5], [2_i64, 3, -4], [1_u8, 0, 1, 0, 1, 1]);
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(fleet.dir().join(name), bytes);
    let a_bytes: Vec<u8> = a.iter().flat_map(|x| x.to_le_bytes()).collect();
    let b_bytes: Vec<u8> = b.iter().flat_map(|x| x.to_le_bytes()).collect();
    write("a.npy", npy("<f4", "2, 3", &a_bytes)).expect("file");
    write("b.npy", npy("<i8", "3,", &b_bytes)).expect("file");
    write("mask.npy", npy("|b1", "2, 3", &mask)).expect("file");

    let infer = |more: &[&str]| {
        let args = ["rpc", "infer", "--args", r#"{"model": "gate"}"#, "--output", "out", "--json"];
        fleet.hearth(&[&args, more].concat())
    };
    let all = ["--tensor", "a=a.npy", "--tensor", "b=b.npy", "--tensor", "mask=mask.npy"];
    let rows = infer(&all).ok().json();
    assert_eq!(rows[0]["value"]["outputs"], json!(["y", "count"]));
    // The graph: y = where(mask, a * b, a), count = the number of true elements.
    let expected: Vec<u8> = (0..6)
        .map(|i| if mask[i] == 1 { a[i] * [2.0, 3.0, -4.0][i % 3] } else { a[i] })
        .flat_map(f32::to_le_bytes)
        .collect();
    let read = |name: &str| std::fs::read(fleet.dir().join("out").join(name)).expect("output");
    assert!(read("w0-y.npy").ends_with(&expected));
    assert!(read("w0-count.npy").ends_with(&4_i64.to_le_bytes()));

    let wrong = ["--tensor", "a=b.npy", "--tensor", "b=b.npy", "--tensor", "mask=mask.npy"];
    for (tensors, part) in [
        (&all[..4], "input mask: it is missing"),
        (&wrong[..], "it is int64 [3]; the graph takes a float32 [?, 3]"),
        (&[&all[..], &["--tensor", "c=a.npy"]].concat(), "the graph has none of it"),
    ] {
        let run = infer(tensors);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.json()[0]["error"]["message"].to_string().contains(part), "{part}: {run:?}");
    }
    let run = fleet.hearth(&["generate", "x", "--model", "gate", "-o", "no.png"]);
    assert_eq!(run.status, 2, "{run:?}");
    let args = r#"{"model": "emoji", "graph": "vae"}"#;
    let run = fleet.hearth(&["rpc", "infer", "--args", args, "--json"]);
    assert!(run.stdout.contains("text_encoder, unet, vae_decoder"), "{run:?}");
}

#[test]
fn a_profile_has_the_events_of_each_graphs_nodes() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let before = make(&fleet, "before.png");
    let args = r#"{"num_inference_steps": 2}"#;
    let rows =
        fleet.hearth(&["rpc", "profile", "--args", args, "--output", "out", "--json"]).ok().json();
    // A picture from words alone needs no encoder of pictures; it is reloaded like the others.
    let graphs = ["text_encoder", "unet", "vae_decoder"];
    let profiles = json!(["text_encoder", "unet", "vae_decoder", "vae_encoder"]);
    assert_eq!(rows[0]["value"]["profiles"], profiles);
    let mut nodes = BTreeMap::new();
    for graph in graphs {
        let file = fleet.dir().join(format!("out/w0-{graph}.json"));
        let events: Value =
            serde_json::from_slice(&std::fs::read(file).expect("profile")).expect("JSON");
        let of_nodes = events.as_array().expect("events").iter().filter(|e| e["cat"] == "Node");
        nodes.insert(graph, of_nodes.count());
    }
    assert!(nodes.values().all(|count| *count > 10), "{nodes:?}");
    assert_eq!(make(&fleet, "after.png"), before);
    let run =
        fleet.hearth(&["rpc", "profile", "--args", r#"{"num_inference_steps": 0}"#, "--json"]);
    assert_eq!((run.status, &run.json()[0]["error"]["param"]), (2, &json!("num_inference_steps")));
}

#[test]
fn a_lost_request_is_taken_up_again() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions { workers: 2, ..FleetOptions::default() });
    let args =
        ["generate", "red heart", "-n", "2", "--seed", "7", "--steps", "150", "-o", "lost.png"];
    let mut child = fleet.command(&args).stderr(Stdio::null()).spawn().expect("hearth");
    until("both run", PATIENCE, || (fleet.stats("running") == [1, 1]).then_some(()));
    child.kill().expect("kill -9");
    let _ = child.wait();
    let rows = fleet.hearth(&["requests", "--json"]).ok().json();
    let id = rows[0]["request_id"].as_str().expect("id");
    let run = fleet.hearth(&["attach", id, "-o", "back.png", "--json"]).ok().json();
    assert_eq!((&run["seed"], &run["finish_reason"]), (&json!(7), &json!("done")));
    assert_eq!(fleet.stats("steps"), [150, 150], "nothing was made twice");
    let again = fleet.hearth(&["attach", id, "-o", "again.png"]);
    assert_eq!(again.status, 0, "a kept result comes again: {again:?}");
    for image in 0..2 {
        let file = |name: &str| std::fs::read(fleet.dir().join(format!("{name}-{image}.png")));
        assert_eq!(file("back").expect("picture"), file("again").expect("picture"));
    }
    assert_eq!(fleet.hearth(&["attach", "nobody-knows-it"]).status, 1);
}

#[test]
fn a_busy_worker_answers_what_only_looks() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let args = ["generate", "red heart", "--steps", "900", "--size", "128x128", "-o", "long.png"];
    let mut child = fleet.command(&args).stderr(Stdio::null()).spawn().expect("hearth");
    until("it runs", PATIENCE, || (fleet.stats("running")[0] == 1).then_some(()));
    let text = format!(
        "[executor]\nmin_workers = 1\n[registry]\nurl = {:?}\n[tls]\ndir = {:?}\n",
        fleet.registry(),
        fleet.pki("coordinator-c0"),
    );
    let backends = Backends::builtin();
    let config = Config::parse(&text, &backends).expect("a config");
    let engine = Engine::start(&config, &backends, "test/0").expect("an engine");
    for method in ["check_health", "stats", "list_models"] {
        let call = || {
            let answer = engine.collective_rpc(method, json!({}), RpcOptions::default());
            let envelope = answer.expect("a call").remove(0);
            assert!(envelope.outcome.is_ok(), "{envelope:?}");
            envelope.elapsed.as_secs_f64() * 1e3
        };
        let mut times: Vec<f64> = (0..CALLS).map(|_| call()).collect();
        times.sort_by(f64::total_cmp);
        let (median, p99) = (times[CALLS / 2], times[CALLS - CALLS / 100 - 1]);
        println!(
            "{method}: median {median:.2} ms, p99 {p99:.2} ms, longest {:.2} ms",
            times[CALLS - 1]
        );
        // Tests share the machine's cores with each other, so the tail has room; a call that waited
        // for the engine would take a step's time at the least, and mostly the generation's.
        assert!(median < 20.0 && p99 < 250.0, "{method}: median {median} ms, p99 {p99} ms");
    }
    assert_eq!(fleet.stats("running"), [1], "it was busy all the while");
    child.kill().expect("kill");
    let _ = child.wait();
}

#[test]
fn a_scrape_shows_what_a_worker_has_done_and_holds() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions { fixed_ports: true, ..FleetOptions::default() });
    let _ = make(&fleet, "one.png");
    let scrape = || fleet.probe(0, "/metrics");
    let models = fleet.hearth(&["models", "--json"]).ok().json();
    let weights = models[0]["weight_bytes"].as_u64().expect("bytes");
    let expected = [
        r#"hearth_requests_total{outcome="done"} 1"#.to_owned(),
        "hearth_steps_total 8".to_owned(),
        "hearth_step_duration_seconds_count 8".to_owned(),
        "hearth_model_load_duration_seconds_count 1".to_owned(),
        r#"hearth_models{state="ready"} 1"#.to_owned(),
        format!("hearth_model_weight_bytes {weights}"),
    ];
    let value = |text: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    };
    // Gauges follow within half a second.
    until("the figures", PATIENCE, || {
        let text = scrape();
        let has = |line: &String| text.lines().any(|found| found == line);
        let all = expected.iter().all(has) && value(&text, "hearth_kept_results_bytes") > 1000.0;
        all.then_some(())
    });
    let text = scrape();
    assert!(value(&text, "process_resident_memory_bytes") > 1e7);
    assert!(value(&text, "process_open_fds") > 5.0);
    let _ = fleet.hearth(&["sleep", "w0", "--wait"]).ok();
    until("it sleeps", PATIENCE, || {
        let text = scrape();
        (text.contains(r#"hearth_models{state="sleeping"} 1"#)
            && text.contains("hearth_model_weight_bytes 0"))
        .then_some(())
    });
}

#[test]
fn a_deadline_leaves_the_worker_idle_within_a_step() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let start = Instant::now();
    // 900 steps at this size take far longer than half a minute.
    let args = ["generate", "red heart", "--steps", "900", "--size", "128x128", "--timeout", "1s"];
    let run = fleet.hearth(&args);
    let took = start.elapsed();
    assert_eq!(run.status, 4, "{run:?}");
    assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(2500), "{took:?}");
    until("the worker is idle", Duration::from_secs(2), || {
        (fleet.stats("running")[0] == 0).then_some(())
    });
    let steps = fleet.stats("steps");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(fleet.stats("steps"), steps, "it computes no more");
}

#[test]
fn a_wrong_call_names_its_field() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    for (method, args, field) in [
        ("sleep", r#"{"level": "deep"}"#, "level"),
        ("sleep", r#"{"level": 9}"#, "level"),
        ("load_model", "{}", "name"),
        ("cancel", r#"{"request_id": 7}"#, "request_id"),
        ("infer", r#"{"outputs": "y"}"#, "outputs"),
    ] {
        let run = fleet.hearth(&["rpc", method, "--args", args, "--json"]);
        assert_eq!(run.status, 2, "{run:?}");
        let error = &run.json()[0]["error"];
        assert_eq!(error["kind"], "invalid_argument");
        assert!(error["message"].as_str().is_some_and(|m| m.contains(field)), "{args}: {error}");
    }
    let run = fleet.hearth(&["rpc", "levitate"]);
    assert!(run.status == 2 && run.stdout.contains("unload_model, wake_up"), "{run:?}");
    let run = fleet.hearth(&["rpc", "stats", "--rank", "9"]);
    assert!(run.status == 2 && run.stderr.contains("rank is 9"), "{run:?}");
}
