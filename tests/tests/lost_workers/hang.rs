//! A device that hangs: a run of a graph never ends, and nothing but time says so.

use std::process::Stdio;

use hearth_engine::{RequestEvent, WorkerStatus};
use hearth_tests::{Fleet, FleetOptions, Process, until};

use super::{SOON, coordinator, endless, request};

/// Its items are made elsewhere, nothing more is sent to it, and it ends with a status of its own,
/// without any watchdog above it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_hangs_gives_its_items_away_and_ends() {
    let _turn = hearth_tests::Turn::take();
    let folder = tempfile::tempdir().expect("a folder");
    endless::write(&folder.path().join("endless"));
    let input = folder.path().join("x.npy");
    endless::write_input(&input);
    let config = format!("[models.endless]\npath = {:?}\n", folder.path().join("endless"));
    let worker = "step_timeout = \"2s\"".to_owned();
    let options = FleetOptions { workers: 2, config, worker, ..FleetOptions::default() };
    let mut fleet = Fleet::start(options);
    // The first has the request alone; the other, which takes it over, has all the time it may need.
    fleet.workers[1].signal("TERM");
    let _ = fleet.workers[1].wait(SOON);
    let engine = coordinator(&fleet, "coordinator-c0", 1).await;
    // Long enough that it computes when the graph begins, between two of its steps.
    let mut submission = engine.submit(request("carried", 600)).await.expect("accepted");
    let hangs = loop {
        match submission.next().await.expect("the request runs") {
            RequestEvent::Progress { worker, step: 1.., .. } => break worker,
            RequestEvent::Finished(output) => panic!("it is over: {output:?}"),
            _ => {}
        }
    };
    let mut patient = fleet.worker_command(1);
    patient.env("HEARTH_WORKER__STEP_TIMEOUT", "10m");
    fleet.workers[1] = Process::start(&mut patient, &fleet.dir().join("w1.log"));
    engine.wait_ready(2, SOON).await.expect("the other is back");

    let args = ["rpc", "infer", "--args", r#"{"model": "endless"}"#, "--timeout", "60s"];
    let mut infer = fleet.command(&args);
    infer.args(["--rank", "0"]);
    infer.arg("--tensor").arg(format!("x={}", input.display()));
    let mut infer = infer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hearth");
    // Nobody plans with it any more, while it still says why.
    let mut view = engine.fleet();
    let unhealthy = view.wait_for(|view| {
        view.worker(&hangs).is_some_and(|worker| worker.status == WorkerStatus::Unhealthy)
    });
    drop(tokio::time::timeout(SOON, unhealthy).await.expect("in time").expect("a view"));
    let status = fleet.workers[0].wait(SOON);
    let log = fleet.workers[0].log();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.contains("longer than worker.step_timeout (2s) allows"), "{log}");
    let listed = || fleet.hearth(&["workers", "--json"]).stdout;
    until("its record is gone", SOON, || {
        (!listed().contains(&format!("\"{hangs}\""))).then_some(())
    });

    let mut retried = None;
    let output = loop {
        match submission.next().await.expect("the request goes on") {
            RequestEvent::Retried { error, .. } => retried = Some(error),
            RequestEvent::Finished(output) => break output,
            _ => {}
        }
    };
    let reason = retried.expect("it was taken elsewhere").message;
    assert!(reason.contains("longer than worker.step_timeout"), "{reason}");
    assert_ne!(output.items[0].as_ref().expect("a picture").worker, hangs);
    engine.close().await;
    let _ = infer.kill();
    let _ = infer.wait();

    // The next run knows what the last one was lost to.
    fleet.workers[0] = fleet.start_worker(0);
    fleet.wait_ready(2);
    let health = fleet.hearth(&["rpc", "check_health", "--json"]).ok().json();
    assert_eq!(health[0]["value"]["suspects"][0]["request_id"], "carried", "{health}");
}
