//! Pictures through the whole house: the command, QUIC, a worker, ONNX Runtime.

use std::time::{Duration, Instant};

use hearth_tests::{Fleet, FleetOptions, Picture, Process, reference, source, until};
use serde_json::json;

const SCHEDULERS: [&str; 6] = ["ddim", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_karras", "pndm"];

fn make(fleet: &Fleet, model: &str, scheduler: &str) -> Picture {
    let (request, _) = reference(model, scheduler);
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| request[field].to_string();
    let file = format!("{model}-{scheduler}.png");
    let (prompt, negative) = (text("prompt"), text("negative_prompt"));
    let (seed, steps) = (number("seed"), number("num_inference_steps"));
    let guidance = number("guidance_scale");
    let mut args = vec!["generate", &prompt, "--scheduler", scheduler, "-o", &file];
    args.extend(["--seed", &seed, "--steps", &steps, "--guidance", &guidance]);
    if !negative.is_empty() {
        args.extend(["--negative-prompt", &negative]);
    }
    let _ = fleet.hearth(&args).ok();
    Picture::open(&fleet.dir().join(file))
}

#[test]
fn pictures_equal_diffusers_own_for_each_scheduler() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    for scheduler in SCHEDULERS {
        let ours = make(&fleet, "emoji", scheduler);
        let distance = |other: &&str| ours.psnr(&reference("emoji", other).1);
        let psnr = distance(&scheduler);
        assert!(psnr >= 60.0, "{scheduler}: {psnr:.1} dB");
        for other in SCHEDULERS.iter().filter(|other| **other != scheduler) {
            let there = distance(other);
            assert!(there < psnr, "{scheduler} is as near to {other}: {there:.1} and {psnr:.1} dB");
        }
    }
    let text = std::fs::read(fleet.dir().join("emoji-ddim.png")).expect("the file");
    let holds = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
    assert!(holds(b"parameters") && holds(b"Steps: 20") && holds(b"model_digest"));
}

#[test]
fn an_export_never_seen_loads_and_generates_by_config_alone() {
    let _turn = hearth_tests::Turn::take();
    let folder = source().join("tests/models/tiny-sd");
    let model = format!("tiny={}", folder.display());
    let fleet = Fleet::start(FleetOptions { model, ..FleetOptions::default() });
    let (request, expected) = reference("tiny-sd", "euler");
    let ours = make(&fleet, "tiny-sd", "euler");
    assert_eq!(ours.size, expected.size, "{request}");
    let psnr = ours.psnr(&expected);
    assert!(psnr >= 60.0, "{psnr:.1} dB");
}

#[test]
fn a_cancel_stops_the_computing_within_one_step() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = Fleet::start(FleetOptions::default());
    let args = ["generate", "red heart", "--steps", "900", "-o", "long.png"];
    let child = fleet.command(&args).stderr(std::process::Stdio::null()).spawn();
    let mut child = child.expect("hearth");
    let some = |fleet: &Fleet| fleet.stats("steps")[0] > 10;
    until("steps are taken", Duration::from_secs(20), || some(&fleet).then_some(()));
    let rows = fleet.hearth(&["requests", "--json"]).ok();
    let id = rows.json()[0]["request_id"].as_str().map(str::to_owned);
    let id = id.unwrap_or_else(|| panic!("{rows:?}"));

    let before = fleet.stats("steps")[0];
    let start = Instant::now();
    let _ = fleet.hearth(&["cancel", &id]).ok();
    let answered = start.elapsed();
    until("the worker is idle", Duration::from_secs(5), || {
        (fleet.stats("running")[0] == 0).then_some(())
    });
    let after = fleet.stats("steps")[0];
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(fleet.stats("steps")[0], after, "it computes no more");
    // Steps go on until the cancel has arrived: a process start and a connection away.
    let step = Duration::from_millis(5);
    let on_the_way = u64::try_from(answered.as_millis() / step.as_millis()).expect("short") + 1;
    assert!(after - before <= on_the_way, "{before} → {after} steps in {answered:?}");
    assert_eq!(child.wait().expect("wait").code(), Some(1));
    assert_eq!(fleet.stats("cancelled"), [1]);
    assert!(fleet.workers[0].ended().is_none());
}

#[test]
fn a_deadline_ends_a_request_on_time_and_the_worker_goes_on() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let start = Instant::now();
    let args = ["generate", "red heart", "--steps", "900", "--timeout", "1s", "-o", "late.png"];
    let run = fleet.hearth(&args);
    assert_eq!(run.status, 4, "{run:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    until("the worker is idle", Duration::from_secs(2), || {
        (fleet.stats("running")[0] == 0).then_some(())
    });
    assert!(!fleet.dir().join("late.png").exists());
    let _ = fleet.hearth(&["generate", "red heart", "--steps", "2", "-o", "next.png"]).ok();
}

#[test]
fn ctrl_c_cancels_the_request_on_its_worker() {
    let _turn = hearth_tests::Turn::take();
    let mut fleet = Fleet::start(FleetOptions::default());
    let args = ["generate", "red heart", "--steps", "900", "-n", "2", "-o", "c.png"];
    let log = fleet.dir().join("generate.log");
    let mut generate = Process::start(&mut fleet.command(&args), &log);
    until("steps are taken", Duration::from_secs(20), || {
        (fleet.stats("steps")[0] > 2).then_some(())
    });
    generate.signal("INT");
    assert_eq!(generate.wait(Duration::from_secs(10)).code(), Some(130));
    assert!(generate.log().contains("cancelled; 0 of 2 kept"), "{}", generate.log());
    assert_eq!((fleet.stats("running"), fleet.stats("cancelled")), (vec![0], vec![2]));
    assert!(fleet.workers[0].ended().is_none());
}

#[test]
fn ctrl_c_cancels_any_call_on_its_worker() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions::default());
    let call = json!({
        "request": {"prompt": "red heart", "seed": 1, "model": "emoji", "num_inference_steps": 900},
        "part": {"index": 0, "of": 1},
    });
    let log = fleet.dir().join("rpc.log");
    let args = ["rpc", "generate", "--args", &call.to_string()];
    let mut rpc = Process::start(&mut fleet.command(&args), &log);
    until("steps are taken", Duration::from_secs(20), || {
        (fleet.stats("steps")[0] > 2).then_some(())
    });
    rpc.signal("INT");
    assert_eq!(rpc.wait(Duration::from_secs(10)).code(), Some(130), "{}", rpc.log());
    until("the worker is idle", Duration::from_secs(2), || {
        (fleet.stats("running")[0] == 0).then_some(())
    });
    assert!(fleet.stats("steps")[0] < 900);
}

#[test]
fn a_picture_that_cannot_be_written_is_still_with_its_worker() {
    let _turn = hearth_tests::Turn::take();
    // The pictures are made one after the other.
    let worker = "max_batch = 1".to_owned();
    let fleet = Fleet::start(FleetOptions { worker, ..FleetOptions::default() });
    let folder = fleet.dir().join("gone");
    std::fs::create_dir(&folder).expect("the folder");
    let args = ["generate", "red heart", "--steps", "120", "-n", "2", "-o", "gone/x.png"];
    let log = fleet.dir().join("generate.log");
    let mut generate = Process::start(&mut fleet.command(&args), &log);
    until("steps are taken", Duration::from_secs(20), || {
        (fleet.stats("steps")[0] > 2).then_some(())
    });
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(generate.wait(Duration::from_secs(120)).code(), Some(1));
    let said = generate.log();
    assert!(said.contains("error: gone/x-0.png can't be written"), "{said}");
    let id = said.split_once("hearth attach ").and_then(|(_, rest)| rest.split(' ').next());
    let id = id.unwrap_or_else(|| panic!("no way to the picture: {said}"));

    until("the worker is idle", Duration::from_secs(10), || {
        (fleet.stats("running")[0] == 0).then_some(())
    });
    assert_eq!(fleet.stats("cancelled"), [1], "nobody waits for the second one");
    let run = fleet.hearth(&["attach", id, "-o", "kept.png"]);
    assert_eq!((run.status, run.stdout.trim()), (1, "kept-0.png"), "{run:?}");
}
