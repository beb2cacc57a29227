//! The ways in which a replica ends.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use hearth_launchers::{LaunchSpec, Status};

use super::{Fixture, statuses};

pub(crate) async fn exit_statuses_are_told(fixture: &Fixture) {
    let outcomes = fixture.run(&fixture.script(3, "exit {rank}")).await;
    let failed = Status::Failed;
    assert_eq!(statuses(&outcomes), [Status::Succeeded, failed, failed], "{outcomes:?}");
    let codes: Vec<_> = outcomes.iter().map(|outcome| outcome.exit_code).collect();
    assert_eq!(codes, [Some(0), Some(1), Some(2)]);
    assert!(outcomes[2].error.as_ref().unwrap().contains("status 2"), "{outcomes:?}");
}

pub(crate) async fn a_signal_is_told(fixture: &Fixture) {
    let outcomes = fixture.run(&fixture.script(1, "kill -KILL $$; sleep 9")).await;
    assert_eq!(statuses(&outcomes), [Status::Failed]);
    assert_eq!(outcomes[0].exit_code, None);
    assert!(outcomes[0].error.as_ref().unwrap().contains("signal 9"), "{outcomes:?}");
}

pub(crate) async fn a_timeout_ends_it(fixture: &Fixture) {
    let mut spec = fixture.script(2, "sleep 600; echo never");
    spec.timeout = Some(Duration::from_secs(1));
    spec.grace = Duration::from_secs(1);
    let began = Instant::now();
    let outcomes = fixture.run(&spec).await;
    assert_eq!(statuses(&outcomes), [Status::Failed; 2], "{outcomes:?}");
    assert!(outcomes[0].error.as_ref().unwrap().contains("longer than 1s"), "{outcomes:?}");
    assert!(began.elapsed() >= Duration::from_secs(1));
}

pub(crate) async fn a_cancel_asks_first_and_may_come_twice(fixture: &Fixture) {
    let script = r"trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut spec = fixture.script(2, script);
    spec.grace = Duration::from_secs(60);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    for handle in &handles {
        fixture.says(handle, "ready").await;
    }
    let (one, two) =
        tokio::join!(fixture.launcher().cancel(&handles), fixture.launcher().cancel(&handles[1..]));
    one.unwrap();
    two.unwrap();
    for handle in &handles {
        let replica = fixture.poll_one(handle).await;
        assert_eq!(replica.status, Status::Cancelled, "a cancel returns once it has ended");
        assert_eq!(fixture.lines(handle, Some(1)).await, ["bye"]);
    }
    fixture.launcher().cancel(&handles).await.unwrap();
    let outcomes = fixture.collect(&handles).await;
    assert_eq!(statuses(&outcomes), [Status::Cancelled; 2]);
    fixture.nothing_left(&spec).await;

    let done = fixture.script(1, "exit 0");
    let handles = fixture.launcher().launch(&done).await.unwrap();
    fixture.collect(&handles).await;
    fixture.launcher().cancel(&handles).await.unwrap();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Succeeded, "it stays so");
}

pub(crate) async fn a_program_that_does_not_listen_is_killed(fixture: &Fixture) {
    let script = "trap '' TERM; (trap '' TERM; sleep 600) & echo ready; while :; do sleep 1; done";
    let mut spec = fixture.script(1, script);
    spec.grace = Duration::from_secs(1);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    fixture.says(&handles[0], "ready").await;
    fixture.launcher().cancel(&handles).await.unwrap();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Cancelled);
    fixture.nothing_left(&spec).await;
}

pub(crate) async fn what_a_program_leaves_behind_ends_with_it(fixture: &Fixture) {
    let script = "sleep 600 & timeout 600 sleep 601 & setsid sleep 602 & sleep 0.2; exit 0";
    let outcomes = fixture.run(&fixture.script(1, script)).await;
    assert_eq!(statuses(&outcomes), [Status::Succeeded], "{outcomes:?}");
}

/// The file is there and may be run, but what should interpret it is not there.
pub(crate) async fn a_program_that_cannot_be_executed_fails_with_the_reason(fixture: &Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("broken");
    std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    let spec = LaunchSpec { program, ..fixture.script(1, "") };
    let outcomes = fixture.run(&spec).await;
    assert_eq!(statuses(&outcomes), [Status::Failed]);
    assert_eq!(outcomes[0].exit_code, None);
    assert!(outcomes[0].error.as_ref().unwrap().contains("can't be run"), "{outcomes:?}");
}
