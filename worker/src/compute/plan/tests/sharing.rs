//! Rows of items that share a slot and its steps.

use super::script::Script;

#[test]
fn a_newcomer_joins_at_the_next_step_and_whoever_is_done_leaves() {
    Script::serving(1, 3).check(&[
        ("ask 0", "start 0"),
        ("started 0", "step 0"),
        ("ask 1", ""),
        ("stepped 0 1/9", "start 1"),
        ("started 1", "step 0 1"),
        ("ask 2", ""),
        ("stepped 0,1 9/9", "finish 0"),
        ("finished 0", "encode 0, finish 1"),
        ("finished 1", "encode 1, start 2"),
    ]);
}

#[test]
fn no_more_share_a_slot_than_the_bound_says() {
    let mut script = Script::serving(1, 2);
    script.check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("started 0", "start 1"),
        ("started 1", "step 0 1"),
        ("stepped 0,1 1/9", "step 0 1"),
    ]);
    let waiting = script.plan.items().view(script.id("2")).unwrap();
    assert_eq!(waiting.queue_position, 2);
    let begun = script.plan.items().view(script.id("1")).unwrap();
    assert_eq!((begun.queue_position, begun.sharing), (0, 1));
}

#[test]
fn nobody_overtakes_one_that_shares_nothing() {
    Script::serving(1, 4).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2 alone", ""),
        ("ask 3", ""),
        ("started 0", "start 1"),
        ("started 1", "step 0 1"),
        ("stepped 0,1 9/9", "finish 0"),
        ("finished 0", "encode 0, finish 1"),
        ("finished 1", "encode 1, start 2"),
        ("started 2", "step 2"),
        ("stepped 2 9/9", "finish 2"),
        ("finished 2", "encode 2, start 3"),
    ]);
}

#[test]
fn who_gives_up_leaves_at_once_and_the_others_go_on() {
    Script::serving(1, 3).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2 5s", ""),
        ("started 0", "start 1"),
        ("started 1", "start 2"),
        ("started 2", "step 0 1 2"),
        ("give-up 1", "interrupt 1, 1 ends cancelled"),
        ("wait 6", "interrupt 2, 2 ends deadline_exceeded"),
        ("stepped 0,1,2 1/9", "discard 1"),
        ("discarded", "discard 2"),
        ("discarded", "step 0"),
        // Alone, it is waited for: its session ends at once.
        ("give-up 0", "interrupt 0"),
        ("stepped 0 interrupted", "0 ends cancelled"),
    ]);
}

#[test]
fn what_is_learnt_of_a_step_decides_how_many_share_the_next_ones() {
    Script::serving(1, 4).check(&[
        ("ask 0", "start 0"),
        ("started 0", "step 0"),
        ("wait 1", ""),
        ("stepped 0 1/9", "step 0"),
        ("ask 1", ""),
        ("wait 1", ""),
        ("stepped 0 2/9", "start 1"),
        ("started 1", "step 0 1"),
        // Two together get less done than one after the other.
        ("wait 3", ""),
        ("stepped 0,1 9/9", "finish 0"),
        ("finished 0", "encode 0, finish 1"),
        ("finished 1", "encode 1"),
        ("ask 2", "start 2"),
        ("ask 3", ""),
        ("started 2", "step 2"),
        ("stepped 2 9/9", "finish 2"),
    ]);
}
