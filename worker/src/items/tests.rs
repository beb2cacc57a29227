//! The table's rules, with a clock in hand.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_api::{CallError, ErrorKind, FinishReason};
use hearth_protocol::methods::{GenerateValue, ItemIndex, RequestState};

use super::bounds::Counts;
use super::table::{KEPT_BYTES, KEPT_FOR};
use super::*;

const GRACE: Duration = Duration::from_secs(30);

fn table(queue: u32) -> Items {
    Items::new(Bounds { slots: 1, queue, orphan_grace: GRACE })
}

fn key(index: u32) -> ItemKey {
    ItemKey { request: "r".parse().unwrap(), index }
}

fn spec(index: u32, prompt: &str) -> ItemSpec {
    ItemSpec {
        key: key(index),
        item: ItemIndex { index, of: 4 },
        digest: prompt.to_owned(),
        seed: 7,
        model: "m".to_owned(),
        deadline: None,
        preview_every: None,
        max_position: None,
        is_suspect: false,
        preparation: Duration::ZERO,
    }
}

fn admit(table: &mut Items, index: u32, now: Instant) -> ItemId {
    table.admit(spec(index, "x"), Ok(()), now).unwrap()
}

fn output(bytes: usize) -> ItemOutput {
    let value = GenerateValue {
        item: ItemIndex { index: 0, of: 1 },
        seed: 0,
        media_type: "image/png".to_owned(),
        sha256: String::new(),
        width: 1,
        height: 1,
        media: None,
        steps: 1,
        timings: std::collections::BTreeMap::new(),
        warnings: Vec::new(),
        finish_reason: FinishReason::Done,
    };
    ItemOutput { value, bytes: Bytes::from(vec![0; bytes]) }
}

fn position(table: &Items, id: ItemId) -> u32 {
    table.view(id).unwrap().queue_position
}

fn state(table: &Items, id: ItemId) -> RequestState {
    table.view(id).unwrap().state
}

fn error(table: &Items, id: ItemId) -> Option<ErrorKind> {
    let outcome = table.view(id)?.outcome.as_ref()?;
    outcome.as_ref().as_ref().err().map(|error| error.kind)
}

/// Gives a slot to the item whose turn it is.
fn take(table: &mut Items, now: Instant) -> Option<ItemId> {
    let id = table.first_waiting()?;
    table.begin(id, 0, now);
    Some(id)
}

#[test]
fn the_queue_has_a_bound_and_a_free_slot_does_not_count() {
    let now = Instant::now();
    let mut table = table(1);
    let (first, second) = (admit(&mut table, 0, now), admit(&mut table, 1, now));
    assert_eq!((position(&table, first), position(&table, second)), (0, 1));
    let error = table.admit(spec(2, "x"), Ok(()), now).unwrap_err();
    assert!(error.kind == ErrorKind::QueueFull && error.retryable);
    assert_eq!(error.retry_after_ms, Some(500));
    assert_eq!(take(&mut table, now), Some(first));
    assert_eq!(table.counts(), Counts { running: 1, queued: 1, refused: 1, ..Counts::default() });
}

#[test]
fn the_same_content_attaches_and_another_conflicts() {
    let now = Instant::now();
    let mut table = table(4);
    let (first, again) = (admit(&mut table, 0, now), admit(&mut table, 0, now));
    assert_eq!((first, table.counts().queued), (again, 1));
    let error = table.admit(spec(0, "y"), Ok(()), now).unwrap_err();
    assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::IdConflict, Some("id")));
    take(&mut table, now).unwrap();
    table.end(first, Ok(output(3)), now);
    let kept = admit(&mut table, 0, now);
    assert_eq!(state(&table, kept), RequestState::Done);
    assert_eq!(table.counts().done, 1);
}

#[test]
fn a_running_item_outlives_its_caller_and_a_waiting_one_is_abandoned() {
    let now = Instant::now();
    let mut table = table(4);
    let (running, waiting) = (admit(&mut table, 0, now), admit(&mut table, 1, now));
    assert_eq!(take(&mut table, now), Some(running));
    table.unsubscribe(running, now);
    table.unsubscribe(waiting, now);
    assert!(take(&mut table, now).is_none(), "nobody waits for it");
    assert_eq!(table.sweep(now + GRACE), [(waiting, ErrorKind::Abandoned)]);
    assert_eq!(table.stop(waiting, ErrorKind::Abandoned, now + GRACE), StopOutcome::Ended);
    assert_eq!(error(&table, waiting), Some(ErrorKind::Abandoned));
    assert!(!table.is_stopping(running));
    table.end(running, Ok(output(3)), now);
    assert_eq!(state(&table, running), RequestState::Done);
}

#[test]
fn a_caller_that_comes_back_in_time_gets_its_turn() {
    let now = Instant::now();
    let mut table = table(4);
    let gone = admit(&mut table, 0, now);
    table.unsubscribe(gone, now);
    admit(&mut table, 0, now);
    assert!(table.sweep(now + GRACE).is_empty());
    assert_eq!(take(&mut table, now), Some(gone));
}

#[test]
fn stopping_ends_what_waits_and_marks_what_runs() {
    let now = Instant::now();
    let mut table = table(4);
    let (running, waiting) = (admit(&mut table, 0, now), admit(&mut table, 1, now));
    take(&mut table, now).unwrap();
    assert_eq!(table.stop(running, ErrorKind::Cancelled, now), StopOutcome::Running);
    assert_eq!(table.stop(running, ErrorKind::Draining, now), StopOutcome::Running);
    assert_eq!(table.stop(waiting, ErrorKind::Cancelled, now), StopOutcome::Ended);
    assert_eq!(error(&table, waiting), Some(ErrorKind::Cancelled));
    assert!(table.is_stopping(running) && error(&table, running).is_none());
    table.end_stopped(running, now);
    assert_eq!(error(&table, running), Some(ErrorKind::Cancelled), "the first reason counts");
    assert_eq!(table.stop(running, ErrorKind::Cancelled, now), StopOutcome::Nothing);
    assert_eq!(table.counts().cancelled, 2);
    let anew = admit(&mut table, 0, now);
    assert_eq!(state(&table, anew), RequestState::Queued, "asked for anew");
}

#[test]
fn a_late_caller_of_an_ended_item_does_not_touch_its_successor() {
    let now = Instant::now();
    let mut table = table(4);
    let first = admit(&mut table, 0, now);
    table.stop(first, ErrorKind::Cancelled, now);
    let second = admit(&mut table, 0, now);
    assert_eq!(table.stop(first, ErrorKind::Cancelled, now), StopOutcome::Nothing);
    assert!(!table.has_one_caller(first));
    table.unsubscribe(first, now);
    assert_eq!(state(&table, second), RequestState::Queued);
    assert_eq!(take(&mut table, now), Some(second), "its caller still waits for it");
}

#[test]
fn a_deadline_ends_an_item_wherever_it_is() {
    let now = Instant::now();
    let limit = Duration::from_secs(1);
    let mut table = table(4);
    let spec = |index| ItemSpec { deadline: Some(limit), ..spec(index, "x") };
    let [running, waiting] = [0, 1].map(|index| table.admit(spec(index), Ok(()), now).unwrap());
    take(&mut table, now).unwrap();
    table.take_changes();
    let late = ErrorKind::DeadlineExceeded;
    assert_eq!(table.sweep(now + limit), [(running, late), (waiting, late)]);
    table.stop(running, late, now + limit);
    table.stop(waiting, late, now + limit);
    assert!(table.is_stopping(running));
    table.end_stopped(running, now + limit);
    assert_eq!(table.counts().failed, 2);
    let ends = table.take_changes();
    let end = |item| Change::End { item, error: Some(late), after: limit };
    assert!(ends.contains(&end(running)));
    assert!(ends.contains(&end(waiting)), "the one that waited counts as well");
}

#[test]
fn a_closed_table_refuses_the_new_and_keeps_the_old() {
    let now = Instant::now();
    let mut table = table(4);
    let first = admit(&mut table, 0, now);
    let closed = || Err(CallError::new(ErrorKind::Draining, "closed"));
    let error = table.admit(spec(1, "x"), closed(), now).unwrap_err();
    assert_eq!((error.kind, table.counts().refused), (ErrorKind::Draining, 1));
    assert_eq!(table.admit(spec(0, "x"), closed(), now), Ok(first));
    assert!(take(&mut table, now).is_some());
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_time() {
    let now = Instant::now();
    let mut table = table(4);
    for index in 0..4 {
        let id = admit(&mut table, index, now);
        take(&mut table, now).unwrap();
        table.end(id, Ok(output(KEPT_BYTES / 3)), now);
    }
    assert!(table.counts().kept_bytes <= KEPT_BYTES);
    assert_eq!(table.list(now).len(), 3);
    table.sweep(now + KEPT_FOR);
    assert_eq!((table.list(now).len(), table.counts().kept_bytes), (0, 0));
}

#[test]
fn a_request_is_taken_up_again_with_all_its_items() {
    let now = Instant::now();
    let mut table = table(4);
    let (first, second) = (admit(&mut table, 1, now), admit(&mut table, 0, now));
    assert_eq!(take(&mut table, now), Some(first));
    for id in [first, second] {
        table.unsubscribe(id, now);
    }
    let request = "r".parse().unwrap();
    let attached = table.attach(&request, None).unwrap();
    let indices: Vec<_> = attached.iter().map(|&id| table.spec(id).unwrap().item.index).collect();
    assert_eq!(indices, [0, 1]);
    assert!(table.sweep(now + GRACE).is_empty());
    assert_eq!(table.counts().queued, 1, "it has a caller again");
    assert_eq!(table.attach(&request, Some(7)).unwrap_err().kind, ErrorKind::UnknownRequest);
    let other = "other".parse().unwrap();
    assert_eq!(table.attach(&other, None).unwrap_err().kind, ErrorKind::UnknownRequest);

    table.stop(first, ErrorKind::Cancelled, now);
    let error = table.attach(&request, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(error.message.contains("image 1 is being stopped"), "{error}");
    assert!(table.attach(&request, Some(0)).is_ok(), "the other one is not");
}

#[test]
fn a_preview_is_wanted_at_its_step_while_somebody_sees_it() {
    let now = Instant::now();
    let mut table = table(4);
    let spec = ItemSpec { preview_every: Some(3), ..spec(0, "x") };
    let id = table.admit(spec, Ok(()), now).unwrap();
    let steps: Vec<usize> = (1..8).filter(|&step| table.wants_preview(id, step)).collect();
    assert_eq!(steps, [3, 6]);
    table.unsubscribe(id, now);
    assert!(!table.wants_preview(id, 3), "nobody sees it");
}

#[test]
fn whoever_has_asked_for_an_item_may_cancel_it() {
    let now = Instant::now();
    let mut table = table(8);
    let (mine, other) = (admit(&mut table, 0, now), admit(&mut table, 1, now));
    table.note_caller(mine, "c0");
    table.note_caller(other, "c1");
    let request = "r".parse().unwrap();
    assert_eq!(table.cancellable(&request, Some("c0")).unwrap(), [mine]);
    assert_eq!(table.cancellable(&request, None).unwrap(), [mine, other], "an administrator");
    let error = table.cancellable(&request, Some("c2")).unwrap_err();
    assert!(error.kind == ErrorKind::PermissionDenied && error.message.contains("r is another's"));
    // Attached, it is theirs as well.
    table.note_caller(other, "c0");
    assert_eq!(table.cancellable(&request, Some("c0")).unwrap(), [mine, other]);
    assert_eq!(table.cancellable(&"absent".parse().unwrap(), Some("c2")).unwrap(), []);
    for id in [mine, other] {
        take(&mut table, now).unwrap();
        table.end(id, Ok(output(1)), now);
    }
    assert_eq!(table.cancellable(&request, Some("c2")).unwrap(), [], "nothing goes on");
    for caller in 0..100 {
        table.note_caller(mine, &caller.to_string());
    }
    assert!(table.cancellable(&request, Some("99")).unwrap().is_empty(), "the memory has a bound");
}
