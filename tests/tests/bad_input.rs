//! Mistakes: each has a message with the field, the value and a remedy, and its exit status; the
//! worker lives on.

#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use std::process::Command;
use std::time::Duration;

use hearth_tests::{Fleet, FleetOptions, Process, Run, program, source};

#[test]
fn a_request_that_can_not_be_is_refused_by_name() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = Fleet::start(FleetOptions::default());
    let long = "x".repeat(10_001);
    let cases: [(&[&str], i32, &[&str]); 11] = [
        (&[&long], 2, &["prompt", "10001", "10000"]),
        (&["x", "--size", "65x64"], 2, &["width", "65", "multiple", "64"]),
        (&["x", "--size", "99968x64"], 2, &["width", "99968"]),
        (&["x", "--size", "4294967295x64"], 2, &["width", "4294967295"]),
        (&["x", "--steps", "0"], 2, &["num_inference_steps", "0", "1"]),
        (&["x", "--steps", "1000000"], 2, &["num_inference_steps", "1000000"]),
        (&["x", "--scheduler", "eulr"], 2, &["scheduler", "eulr", "euler"]),
        (&["x", "--model", "sdxl"], 2, &["model", "sdxl", "emoji"]),
        (&["x", "--guidance", "nan"], 2, &["guidance", "NaN"]),
        (&["x", "-n", "0"], 2, &["num_images", "0"]),
        (&["x", "-n", "65"], 2, &["num_images", "65", "64"]),
    ];
    for (args, status, parts) in cases {
        let run = fleet.hearth(&[&["generate"], args].concat());
        assert_eq!(run.status, status, "{args:.40?}: {run:?}");
        for part in parts {
            let found = run.stderr.to_lowercase().contains(&part.to_lowercase());
            assert!(found, "{args:.40?}: {part:?} is not in {}", run.stderr);
        }
        assert!(run.stderr.len() < 1000, "{}", run.stderr);
    }
    assert!(fleet.workers[0].ended().is_none());
    assert_eq!(fleet.stats("failed"), [0]);
    let _ = fleet.hearth(&["generate", "red heart", "--steps", "2", "-o", "ok.png"]).ok();
}

#[test]
fn a_variable_that_looks_like_a_number_is_text_where_text_is_meant() {
    let _turn = hearth_tests::Turn::take();
    let check = |variables: &[(&str, &str)]| {
        let mut worker = Command::new(program("hearth-worker"));
        let model = format!("emoji={}", source().join("models/emoji").display());
        worker.args(["--check-config", "--model", &model]);
        Run::from(worker.envs(variables.iter().copied()).output().expect("hearth-worker"))
    };
    let texts = [("HEARTH_WORKER__ID", "7"), ("HEARTH_WORKER__GROUP", "1e3")];
    let run = check(&[texts[0], texts[1], ("HEARTH_WORKER__SLOTS", "0")]);
    assert!(run.stderr.contains("slots") && !run.stderr.contains("string"), "{run:?}");
    let run = check(&[texts[0], ("HEARTH_WORKER__SLOTS", "two")]);
    assert!(run.stderr.contains("HEARTH_WORKER__SLOTS") && run.stderr.contains("two"), "{run:?}");
}

#[test]
fn without_a_worker_or_with_a_wrong_certificate_it_says_so() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let dir = tempfile::tempdir().expect("a folder");
    let nobody = format!("dir:{}", dir.path().display());
    let pki = fleet.pki("admin-a0");
    let hearth = |args: &[&str]| {
        let mut command = Command::new(program("hearth"));
        Run::from(command.args(args).current_dir(dir.path()).output().expect("hearth"))
    };
    let pki = pki.to_str().expect("a path");
    let run = hearth(&["--registry", &nobody, "--pki", pki, "generate", "x"]);
    assert_eq!(run.status, 3, "{run:?}");
    assert!(run.stderr.contains(dir.path().to_str().expect("a path")), "{}", run.stderr);

    let run = hearth(&["--registry", "etcd://127.0.0.1:1/default", "--pki", pki, "workers"]);
    assert_ne!(run.status, 0, "{run:?}");
    assert!(run.stderr.contains("127.0.0.1:1"), "{}", run.stderr);

    let other = Fleet::start(FleetOptions { workers: 0, ..FleetOptions::default() });
    let stranger = other.pki("admin-a0");
    let stranger = stranger.to_str().expect("a path");
    let run = hearth(&["--registry", fleet.registry(), "--pki", stranger, "generate", "x"]);
    assert_eq!(run.status, 5, "{run:?}");
    assert!(run.stderr.contains("certificate"), "{}", run.stderr);

    let worker = fleet.pki("worker-w0");
    let worker = worker.to_str().expect("a path");
    let run = hearth(&["--registry", fleet.registry(), "--pki", worker, "health"]);
    assert_ne!(run.status, 0, "{run:?}");
    assert!(run.stderr.contains("role") || run.stderr.contains("certificate"), "{}", run.stderr);

    let coordinator = fleet.pki("coordinator-c0");
    let coordinator = coordinator.to_str().expect("a path");
    let run = hearth(&["--registry", fleet.registry(), "--pki", coordinator, "rpc", "shutdown"]);
    assert_eq!(run.status, 5, "{run:?}");
}

/// Starts a worker that can't start, and gives its status and last words.
fn failed_start(args: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program("hearth-worker"));
    command.args(args).current_dir(source());
    command.env("HEARTH_WORKER__STATE_DIR", dir.path().join("state"));
    command.env("HEARTH_HTTP__LISTEN", "off").envs(environment.iter().copied());
    let mut worker = Process::start(&mut command, &dir.path().join("log"));
    let status = worker.wait(Duration::from_secs(30));
    (status.code().unwrap_or(-1), worker.log())
}

#[test]
fn a_worker_that_can_not_start_names_the_file_or_key() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions { workers: 0, ..FleetOptions::default() });
    let pki = fleet.pki("worker-w0");
    let registry = fleet.registry().to_owned();
    let emoji = source().join("models/emoji");
    let base = |model: &str| -> Vec<String> {
        ["--id", "w0", "--listen", "127.0.0.1:0", "--registry", &registry, "--pki"]
            .into_iter()
            .chain([pki.to_str().expect("a path"), "--model", model])
            .map(str::to_owned)
            .collect()
    };
    let start = |model: &str, more: &[&str], environment: &[(&str, &str)]| {
        let mut args = base(model);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        failed_start(&args, environment)
    };
    let emoji_model = format!("emoji={}", emoji.display());

    let (status, log) = start("m=/no/such/model", &[], &[]);
    assert!(status == 2 && log.contains("/no/such/model"), "{status}: {log}");

    // A copy of the demo model whose UNet was cut in half.
    let cut = fleet.dir().join("cut");
    let copied = Command::new("cp").arg("-r").args([&emoji, &cut]).status().expect("cp");
    assert!(copied.success());
    let unet = cut.join("unet/model.onnx");
    let half = std::fs::metadata(&unet).expect("unet").len() / 2;
    std::fs::File::options().write(true).open(&unet).and_then(|f| f.set_len(half)).expect("cut");
    let (status, log) = start(&format!("m={}", cut.display()), &[], &[]);
    assert!(status == 2 && log.contains("unet/model.onnx"), "{status}: {log}");

    let broken = fleet.dir().join("libonnxruntime.so");
    std::fs::write(&broken, [0x7f, b'E', b'L', b'F', 2, 1, 1, 0]).expect("write");
    let library = broken.to_str().expect("a path");
    let (status, log) = start(&emoji_model, &[], &[("HEARTH_RUNTIME__LIBRARY", library)]);
    assert!(status == 2 && log.contains("libonnxruntime.so"), "{status}: {log}");

    let (status, log) = start(&emoji_model, &["--device", "cuda:0"], &[]);
    assert!(status == 2 && log.to_lowercase().contains("cuda"), "{status}: {log}");

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let listen = [("HEARTH_WORKER__SLOTS", "1")];
    let mut args = base(&emoji_model);
    args[3].clone_from(&addr);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (status, log) = failed_start(&args, &listen);
    assert!(status == 1 && log.contains(&addr), "{status}: {log}");

    let (status, log) = start(&emoji_model, &[], &[("HEARTH_WORKER__SLOTZ", "1")]);
    assert!(status == 2 && log.contains("HEARTH_WORKER__SLOTZ"), "{status}: {log}");

    let mut args = base(&emoji_model);
    args[7] = fleet.pki("nobody").display().to_string();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (status, log) = failed_start(&args, &[]);
    assert!(status == 2 && log.contains("tls.crt") || log.contains("ca.crt"), "{status}: {log}");
}
