//! The table's rules, with a clock in hand.

use bytes::Bytes;
use hearth_api::FinishReason;
use hearth_api::request::GenerationRequest;
use hearth_protocol::methods::{Generated, Part};

use super::*;

const GRACE: Duration = Duration::from_secs(30);

fn table(queue: u32) -> Table {
    Table::new(Bounds { slots: 1, queue, orphan_grace: GRACE })
}

fn key(index: u32) -> PartKey {
    PartKey { request: "r".parse().unwrap(), index }
}

fn wanted(index: u32, prompt: &str) -> Wanted {
    let request = GenerationRequest { prompt: prompt.to_owned(), ..Default::default() };
    let part = Part { index, of: 4 };
    let args = GenerateArgs { request, part };
    Wanted { args, prepared: None, key: key(index), model: "m".to_owned(), deadline: None }
}

fn finished(bytes: usize) -> Finished {
    let value = Generated {
        part: Part { index: 0, of: 1 },
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
    Finished { value, bytes: Bytes::from(vec![0; bytes]) }
}

fn view(admitted: Admitted) -> watch::Receiver<PartView> {
    admitted.view
}

fn kind(view: &watch::Receiver<PartView>) -> Option<ErrorKind> {
    let view = view.borrow();
    view.outcome.as_ref().and_then(|outcome| outcome.as_ref().as_ref().err().map(|e| e.kind))
}

#[test]
fn the_queue_has_a_bound_and_a_free_slot_does_not_count() {
    let now = Instant::now();
    let mut table = table(1);
    let first = view(table.admit(wanted(0, "x"), now).unwrap());
    let second = view(table.admit(wanted(1, "x"), now).unwrap());
    assert_eq!((first.borrow().queue_position, second.borrow().queue_position), (0, 1));
    let error = table.admit(wanted(2, "x"), now).map(drop).unwrap_err();
    assert!(error.kind == ErrorKind::QueueFull && error.retryable);
    assert_eq!(table.next().unwrap().key, key(0));
    assert_eq!(table.counts(), Counts { running: 1, queued: 1, refused: 1, ..Counts::default() });
}

#[test]
fn the_same_content_attaches_and_another_conflicts() {
    let now = Instant::now();
    let mut table = table(4);
    let first = table.admit(wanted(0, "x"), now).unwrap();
    let again = table.admit(wanted(0, "x"), now).unwrap();
    assert_eq!((first.ticket, table.counts().queued), (again.ticket, 1));
    let error = table.admit(wanted(0, "y"), now).map(drop).unwrap_err();
    assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::IdConflict, Some("id")));
    table.next().unwrap();
    table.finish(&key(0), Ok(finished(3)), now);
    let kept = view(table.admit(wanted(0, "x"), now).unwrap());
    assert_eq!(kept.borrow().state, RequestState::Done);
    assert_eq!(table.counts().done, 1);
}

#[test]
fn a_running_part_outlives_its_caller_and_a_waiting_one_is_abandoned() {
    let now = Instant::now();
    let mut table = table(4);
    let running = table.admit(wanted(0, "x"), now).unwrap();
    let waiting = table.admit(wanted(1, "x"), now).unwrap();
    let job = table.next().unwrap();
    table.unsubscribe(&key(0), running.ticket, now);
    table.unsubscribe(&key(1), waiting.ticket, now);
    assert!(table.next().is_none(), "nobody waits for it");
    table.sweep(now + GRACE);
    assert_eq!(kind(&waiting.view), Some(ErrorKind::Abandoned));
    assert!(!job.interrupt.is_interrupted());
    table.finish(&key(0), Ok(finished(3)), now);
    assert_eq!(running.view.borrow().state, RequestState::Done);
}

#[test]
fn a_caller_that_comes_back_in_time_gets_its_turn() {
    let now = Instant::now();
    let mut table = table(4);
    let gone = table.admit(wanted(0, "x"), now).unwrap();
    table.unsubscribe(&key(0), gone.ticket, now);
    view(table.admit(wanted(0, "x"), now).unwrap());
    table.sweep(now + GRACE);
    assert_eq!(table.next().unwrap().key, key(0));
}

#[test]
fn cancelling_ends_what_waits_and_interrupts_what_runs() {
    let now = Instant::now();
    let mut table = table(4);
    let running = view(table.admit(wanted(0, "x"), now).unwrap());
    let waiting = view(table.admit(wanted(1, "x"), now).unwrap());
    let job = table.next().unwrap();
    assert_eq!(table.cancel_request(&"r".parse().unwrap(), now), 2);
    assert_eq!(kind(&waiting), Some(ErrorKind::Cancelled));
    assert!(job.interrupt.is_interrupted() && kind(&running).is_none());
    table.finish(&key(0), Err(Ended::Interrupted), now);
    assert_eq!(kind(&running), Some(ErrorKind::Cancelled));
    assert_eq!(table.counts().cancelled, 2);
    let anew = table.admit(wanted(0, "x"), now).unwrap();
    assert_eq!(anew.view.borrow().state, RequestState::Queued, "asked for anew");
}

#[test]
fn a_late_caller_of_an_ended_part_does_not_touch_its_successor() {
    let now = Instant::now();
    let mut table = table(4);
    let first = table.admit(wanted(0, "x"), now).unwrap();
    table.cancel_request(&"r".parse().unwrap(), now);
    let second = table.admit(wanted(0, "x"), now).unwrap();
    table.give_up(&key(0), first.ticket, ErrorKind::Cancelled, now);
    table.unsubscribe(&key(0), first.ticket, now);
    assert_eq!(second.view.borrow().state, RequestState::Queued);
    assert_eq!(table.next().unwrap().key, key(0), "its caller still waits for it");
}

#[test]
fn a_deadline_ends_a_part_wherever_it_is() {
    let now = Instant::now();
    let limit = Duration::from_secs(1);
    let mut table = table(4);
    for index in 0..2 {
        let wanted = Wanted { deadline: Some(limit), ..wanted(index, "x") };
        view(table.admit(wanted, now).unwrap());
    }
    let job = table.next().unwrap();
    table.sweep(now + limit);
    assert!(job.interrupt.is_interrupted());
    table.finish(&key(0), Err(Ended::Interrupted), now + limit);
    assert_eq!(table.counts().failed, 2);
    let late = (Some(ErrorKind::DeadlineExceeded), limit);
    assert_eq!(table.take_ended(), [late, late], "the one that waited counts as well");
}

#[test]
fn draining_refuses_the_new_and_finishes_the_old() {
    let now = Instant::now();
    let mut table = table(4);
    view(table.admit(wanted(0, "x"), now).unwrap());
    table.set_draining(true);
    let error = table.admit(wanted(1, "x"), now).map(drop).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Draining);
    assert!(table.next().is_some());
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_time() {
    let now = Instant::now();
    let mut table = table(4);
    for index in 0..4 {
        view(table.admit(wanted(index, "x"), now).unwrap());
        table.next().unwrap();
        table.finish(&key(index), Ok(finished(KEPT_BYTES / 3)), now);
    }
    assert!(table.kept_bytes <= KEPT_BYTES);
    assert_eq!(table.list(now).len(), 3);
    table.sweep(now + KEPT_FOR);
    assert_eq!((table.list(now).len(), table.kept_bytes), (0, 0));
}

#[test]
fn a_request_is_taken_up_again_with_all_its_parts() {
    let now = Instant::now();
    let mut table = table(4);
    let first = table.admit(wanted(1, "x"), now).unwrap();
    let second = table.admit(wanted(0, "x"), now).unwrap();
    let job = table.next().unwrap();
    assert_eq!(job.key, key(1));
    for (index, ticket) in [(1, first.ticket), (0, second.ticket)] {
        table.unsubscribe(&key(index), ticket, now);
    }
    let request = "r".parse().unwrap();
    let attached = table.attach(&request, None).unwrap();
    let indices: Vec<_> = attached.iter().map(|(_, part, _)| part.index).collect();
    assert_eq!(indices, [0, 1]);
    table.sweep(now + GRACE);
    assert_eq!(table.counts().queued, 1, "it has a caller again");
    assert_eq!(table.attach(&request, Some(7)).unwrap_err().kind, ErrorKind::UnknownRequest);
    let other = "other".parse().unwrap();
    assert_eq!(table.attach(&other, None).unwrap_err().kind, ErrorKind::UnknownRequest);

    table.cancel(&key(1), ErrorKind::Cancelled, now);
    let error = table.attach(&request, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(error.message.contains("image 1 is being stopped"), "{error}");
    assert!(table.attach(&request, Some(0)).is_ok(), "the other one is not");
}

#[test]
fn a_sleeping_worker_gives_what_it_kept_and_takes_nothing_new() {
    let now = Instant::now();
    let mut table = table(4);
    view(table.admit(wanted(0, "x"), now).unwrap());
    table.set_asleep(true);
    assert!(table.is_busy() && table.uses("m") && !table.uses("other"));
    table.next().unwrap();
    table.finish(&key(0), Ok(finished(3)), now);
    assert!(!table.is_busy() && !table.uses("m"));
    assert!(table.holds(&key(0)) && table.admit(wanted(0, "x"), now).is_ok());
    assert_eq!(table.admit(wanted(1, "x"), now).err().unwrap().kind, ErrorKind::NotReady);
    table.set_asleep(false);
    assert!(table.admit(wanted(1, "x"), now).is_ok());
}
