//! Replicas from their start to their results, also over a second launcher object.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use hearth_launchers::{Error, Files, Handle, Status};
use serde_json::json;

use super::{Fixture, statuses};

pub(crate) async fn ranks_are_told_and_results_come_in_their_order(fixture: &Fixture) {
    let script = r#"
        test "$REPLICA_RANK" = {rank} || exit 9
        sleep 0.$((3 - {rank}))
        printf '{"rank": %s, "here": "%s"}' "$REPLICA_RANK" "$HERE" > "$REPLICA_RESULT"
    "#;
    let mut spec = fixture.script(3, script);
    spec.env.insert("HERE".to_owned(), "rank-{rank}".to_owned());
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    let ranks: Vec<u32> = handles.iter().map(|handle| handle.rank).collect();
    assert_eq!(ranks, [0, 1, 2]);
    assert!(handles.iter().all(|handle| handle.launcher == fixture.launcher().name()));
    let text = handles[1].to_string();
    assert_eq!(text.parse::<Handle>().unwrap(), handles[1]);
    let outcomes = fixture.collect(&handles).await;
    assert_eq!(statuses(&outcomes), [Status::Succeeded; 3], "{outcomes:?}");
    for (rank, outcome) in outcomes.iter().enumerate() {
        let result = json!({"rank": rank, "here": format!("rank-{rank}")});
        assert_eq!(outcome.result.as_ref(), Some(&result));
        assert_eq!((outcome.exit_code, outcome.error.as_deref()), (Some(0), None));
    }
    // The handles' order is the order of what comes back.
    let back: Vec<Handle> = handles.iter().rev().cloned().collect();
    let ranks = fixture.launcher().poll(&back).await.unwrap();
    assert_eq!(ranks.iter().map(|replica| replica.rank).collect::<Vec<_>>(), [2, 1, 0]);
    fixture.nothing_left(&spec).await;
}

pub(crate) async fn the_rank_variable_has_another_name(fixture: &Fixture) {
    let mut spec = fixture.script(2, r#"echo "$MY_RANK" > "$REPLICA_RESULT""#);
    spec.rank_variable = "MY_RANK".to_owned();
    let outcomes = fixture.run(&spec).await;
    assert_eq!(outcomes[1].result, Some(json!(1)), "{outcomes:?}");
}

pub(crate) async fn files_reach_their_rank_for_this_user_alone(fixture: &Fixture) {
    let script = r#"
        touch {folder}/own || exit 9
        printf '"%s %s"' "$(cat {files}/secret)" "$(stat -Lc %a {files}/secret)" > "$REPLICA_RESULT"
    "#;
    let mut spec = fixture.script(2, script);
    let files = |text: &str| Files::from([("secret".to_owned(), text.as_bytes().to_vec())]);
    spec.files = vec![files("a"), files("b")];
    let outcomes = fixture.run(&spec).await;
    assert_eq!(outcomes[0].result, Some(json!("a 600")), "{outcomes:?}");
    assert_eq!(outcomes[1].result, Some(json!("b 600")), "{outcomes:?}");
    let mode = std::fs::metadata(fixture.state.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the state is nobody else's to read");
}

pub(crate) async fn a_second_launcher_goes_on_with_the_state(fixture: &Fixture) {
    let script = r"trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let spec = fixture.script(2, script);
    let handles = (fixture.make)().launch(&spec).await.unwrap();
    for handle in &handles {
        fixture.says(handle, "ready").await;
    }
    let second = (fixture.make)();
    let replicas = second.poll(&handles).await.unwrap();
    assert!(replicas.iter().all(|replica| replica.status == Status::Running), "{replicas:?}");
    second.cancel(&handles[..1]).await.unwrap();
    assert_eq!(fixture.poll_one(&handles[0]).await.status, Status::Cancelled);
    assert_eq!(fixture.poll_one(&handles[1]).await.status, Status::Running);
    fixture.launcher().cancel(&handles).await.unwrap();
    let outcomes = second.collect(&handles, Some(fixture.patience)).await.unwrap();
    assert_eq!(statuses(&outcomes), [Status::Cancelled; 2], "{outcomes:?}");
    fixture.nothing_left(&spec).await;
}

pub(crate) async fn a_collect_that_times_out_leaves_them_running(fixture: &Fixture) {
    let spec = fixture.script(2, r#"test {rank} = 0 && exit 0; echo ready; exec sleep 600"#);
    let handles = fixture.launcher().launch(&spec).await.unwrap();
    fixture.says(&handles[1], "ready").await;
    fixture.collect(&handles[..1]).await;
    let limit = Some(Duration::from_millis(300));
    let error = fixture.launcher().collect(&handles, limit).await.unwrap_err();
    let Error::CollectTimeout { running, .. } = &error else { panic!("{error}") };
    assert_eq!(running, &handles[1..]);
    assert_eq!(fixture.poll_one(&handles[1]).await.status, Status::Running);
    fixture.launcher().cancel(&handles).await.unwrap();
    let outcomes = fixture.collect(&handles).await;
    assert_eq!(statuses(&outcomes), [Status::Succeeded, Status::Cancelled]);
    fixture.nothing_left(&spec).await;
}
