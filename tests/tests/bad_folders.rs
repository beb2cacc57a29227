//! Model folders with a fault: `hearth model inspect`, a worker that is started on one and a worker
//! that is asked to load one say the same of it, and the worker that runs goes on with what it has.

#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hearth_tests::{Fleet, FleetOptions, Process, program, source};
use serde_json::json;

/// A name, the model to spoil, how, and what is said of it.
type Case = (&'static str, &'static str, fn(&Path), &'static str);

const CASES: [Case; 8] = [
    (
        "part",
        "tiny-sd",
        |at| fs::remove_file(at.join("vae_decoder/model.onnx")).expect("remove"),
        "lacks vae_decoder/model.onnx; copy or export the folder again",
    ),
    (
        "type",
        "tiny-sd",
        retyped,
        "unet: sample is int64; export the graph with float32 or float16 there",
    ),
    (
        "inputs",
        "tiny-sd",
        |at| {
            let copied = fs::copy(at.join("vae_decoder/model.onnx"), at.join("unet/model.onnx"));
            copied.map(drop).expect("copy");
        },
        "unet: the graph asks for input latent_sample, which is not supported; known: sample,",
    ),
    (
        "weights",
        "tiny-sd-f16",
        |at| {
            let weights = at.join("vae_decoder/model.onnx_data");
            let length = fs::metadata(&weights).expect("weights").len();
            let file = fs::File::options().write(true).open(&weights).expect("weights");
            file.set_len(length / 2).expect("cut");
        },
        "vae_decoder/model.onnx_data: truncated: the model needs bytes",
    ),
    (
        "link",
        "tiny-sd-f16",
        |at| {
            let weights = at.join("vae_decoder/model.onnx_data");
            let elsewhere = at.with_extension("elsewhere");
            fs::rename(&weights, &elsewhere)
                .and_then(|()| symlink(&elsewhere, &weights))
                .expect("link");
        },
        "vae_decoder/model.onnx_data: it leads out of the model's folder to",
    ),
    (
        "path",
        "tiny-sd-f16",
        |at| {
            let graph = at.join("vae_decoder/model.onnx");
            let bytes = fs::read(&graph).expect("graph");
            fs::write(&graph, replaced(&bytes, b"model.onnx_data", b"../../etc/hosts"))
                .expect("graph");
        },
        "keeps weights in \"../../etc/hosts\", which is not a path beneath the model's folder",
    ),
    (
        "parts",
        "tiny-sd",
        |at| {
            let part =
                |index: u32| format!("\"p{index}\": [\"diffusers\", \"UNet2DConditionModel\"]");
            let parts: Vec<_> = (0..20_000).map(part).collect();
            let class = "\"_class_name\": \"StableDiffusionPipeline\"";
            let index = format!("{{{class}, {}}}", parts.join(", "));
            fs::write(at.join("model_index.json"), index).expect("index");
        },
        "model_index.json: it names 20000 parts, a pipeline has at most 64; restore it",
    ),
    (
        "defaults",
        "tiny-sd",
        |at| fs::write(at.join("hearth.json"), "{\"width\": 4294967295}").expect("defaults"),
        "hearth.json: width 4294967295: give 1 to 16384",
    ),
];

#[test]
fn a_bad_folder_ends_a_start_and_not_a_worker_that_runs() {
    let _turn = hearth_tests::Turn::take();
    let dir = tempfile::tempdir().expect("a folder");
    let worker = format!("model_dirs = [{:?}]", dir.path());
    let fleet = Fleet::start(FleetOptions { worker, ..FleetOptions::default() });
    let before = picture(&fleet);
    for (name, model, spoil, said) in CASES {
        let folder = dir.path().join(name);
        let model = source().join("tests/models").join(model);
        let copied = Command::new("cp").arg("-r").args([&model, &folder]).status().expect("cp");
        assert!(copied.success());
        let _ = fs::remove_file(folder.join("manifest.json"));
        spoil(&folder);

        let run = fleet.hearth(&["model", "inspect", &folder.to_string_lossy()]);
        assert!(run.status == 1 && run.stdout.contains(said), "{name}: {run:?}");

        let (status, log) = start(&fleet, &folder);
        assert!(status == 2 && log.contains(said), "{name}: {status}: {log}");
        assert!(!log.contains("panicked"), "{log}");

        let run = fleet.hearth(&["load", name, "--path", name, "--json"]);
        let error = &run.json()[0]["error"];
        assert_eq!((run.status, &error["kind"]), (1, &json!("model_failed")), "{name}: {run:?}");
        assert!(error.to_string().replace("\\\"", "\"").contains(said), "{name}: {error}");
    }
    // Nor under the name of what is served.
    let run = fleet.hearth(&["load", "emoji", "--path", "part", "--json"]);
    assert_ne!(run.status, 0, "{run:?}");

    assert_eq!(fleet.hearth(&["health"]).status, 0);
    let models = fleet.hearth(&["models", "--json"]).ok().json();
    let names: Vec<_> = models.as_array().expect("models").iter().map(|m| &m["name"]).collect();
    assert_eq!(names, [&json!("emoji")]);
    assert_eq!(picture(&fleet), before);
    assert_eq!(fleet.stats("model_loads"), [1], "the model stayed in memory");
}

fn picture(fleet: &Fleet) -> Vec<u8> {
    let _ = fleet
        .hearth(&[
            "generate",
            "red heart",
            "--model",
            "emoji",
            "--seed",
            "3",
            "--steps",
            "2",
            "-o",
            "a.png",
        ])
        .ok();
    fs::read(fleet.dir().join("a.png")).expect("the picture")
}

/// Starts a worker on the folder; gives its exit status and what it said.
fn start(fleet: &Fleet, folder: &Path) -> (i32, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program("hearth-worker"));
    command.args(["--id", "w1", "--listen", "127.0.0.1:0", "--http", "off"]);
    command.args(["--registry", fleet.registry(), "--pki"]).arg(fleet.pki("worker-w1"));
    command.arg("--model").arg(format!("bad={}", folder.display()));
    command.arg("--state-dir").arg(dir.path().join("state")).current_dir(source());
    let mut worker = Process::start(&mut command, &dir.path().join("log"));
    let status = worker.wait(Duration::from_secs(60));
    (status.code().unwrap_or(-1), worker.log())
}

/// Says that the UNet takes 64-bit integers where it takes single precision.
fn retyped(at: &Path) {
    let graph = at.join("unet/model.onnx");
    let mut bytes = fs::read(&graph).expect("graph");
    // ValueInfoProto { name = 1, type = 2 { tensor_type = 1 { elem_type = 1 } } }
    let head = b"\x0a\x06sample\x12";
    let is_input = |at: &usize| {
        bytes[*at..].starts_with(head) && bytes[at + head.len() + 3..].starts_with(&[8, 1])
    };
    let input = (0..bytes.len()).find(is_input).expect("the input");
    bytes[input + head.len() + 4] = 7;
    fs::write(&graph, bytes).expect("graph");
}

/// The bytes with each `from` replaced by `to`, which is as long.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = bytes.to_vec();
    for place in 0..=bytes.len() - from.len() {
        if bytes[place..].starts_with(from) {
            replaced[place..place + to.len()].copy_from_slice(to);
        }
    }
    replaced
}
