//! What a replica says: its lines and its result.

use futures_util::StreamExt as _;
use hearth_launchers::{LogOptions, Status};

use super::{Fixture, statuses};

pub(crate) async fn a_tail_gives_the_last_lines_and_all_are_kept(fixture: &Fixture) {
    let spec = fixture.script(2, "for i in 1 2 3 4 5; do echo {rank}-$i; done; echo err >&2");
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    fixture.collect(&handles).await;
    assert_eq!(fixture.lines(&handles[1], Some(2)).await, ["1-5", "err"]);
    assert_eq!(fixture.lines(&handles[0], Some(0)).await, [""; 0]);
    assert_eq!(fixture.lines(&handles[0], Some(99)).await.len(), 6);
    let all = fixture.lines(&handles[0], None).await;
    assert_eq!(all, ["0-1", "0-2", "0-3", "0-4", "0-5", "err"]);
}

pub(crate) async fn a_follower_sees_lines_while_it_runs(fixture: &Fixture) {
    let script = "echo old; echo first; until test -e {folder}/go; do sleep 0.05; done; echo last";
    let spec = fixture.script(1, script);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    let handle = &handles[0];
    fixture.says(handle, "first").await;
    let options = LogOptions { tail: Some(1), follow: true };
    let mut lines = fixture.launcher().logs(handle, options).await.unwrap();
    let mut next = async || {
        let line = tokio::time::timeout(fixture.patience, lines.next()).await;
        line.expect("a line in time").map(Result::unwrap)
    };
    assert_eq!(next().await.as_deref(), Some("first"));
    assert_eq!(fixture.poll_one(handle).await.status, Status::Running);
    let folder = fixture.state.replica_folder(&handle.launch, handle.rank);
    std::fs::write(folder.join("go"), "").unwrap();
    assert_eq!(next().await.as_deref(), Some("last"));
    assert_eq!(next().await, None, "the lines end with the replica");
    fixture.collect(&handles).await;
}

pub(crate) async fn a_result_that_is_no_json_is_told(fixture: &Fixture) {
    let script = r#"test {rank} = 0 || echo 'no json' > "$REPLICA_RESULT""#;
    let outcomes = fixture.run(&fixture.script(2, script)).await;
    assert_eq!(statuses(&outcomes), [Status::Succeeded; 2], "{outcomes:?}");
    assert_eq!((&outcomes[0].result, &outcomes[0].error), (&None, &None));
    assert!(outcomes[1].error.as_ref().unwrap().contains("not JSON"), "{outcomes:?}");
}
