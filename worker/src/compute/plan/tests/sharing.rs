//! Rows of items that share a slot and its steps.

use super::script::Script;

#[test]
fn a_newcomer_joins_at_the_next_step_and_whoever_is_done_leaves() {
    Script::practised(1, 3).check(&[
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
    let mut script = Script::practised(1, 2);
    script.check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("started 0", "step 0"),
        ("stepped 0 1/9", "start 1"),
        ("started 1", "step 0 1"),
        ("stepped 0,1 2/9", "step 0 1"),
    ]);
    let waiting = script.plan.items().view(script.id("2")).unwrap();
    assert_eq!(waiting.queue_position, 2);
    let begun = script.plan.items().view(script.id("1")).unwrap();
    assert_eq!((begun.queue_position, begun.sharing), (0, 1));
}

#[test]
fn nobody_overtakes_one_that_shares_nothing() {
    Script::practised(1, 4).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2 alone", ""),
        ("ask 3", ""),
        ("started 0", "step 0"),
        ("stepped 0 1/9", "start 1"),
        ("started 1", "step 0 1"),
        ("stepped 0,1 9/9", "finish 0"),
        ("finished 0", "encode 0, finish 1"),
        ("finished 1", "encode 1, start 2"),
        ("encoded 0", "0 is done"),
        ("encoded 1", "1 is done"),
        ("started 2", "step 2"),
        ("stepped 2 9/9", "finish 2"),
        ("finished 2", "encode 2, start 3"),
    ]);
}

#[test]
fn who_gives_up_leaves_at_once_and_the_others_go_on() {
    Script::practised(1, 3).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2 5s", ""),
        ("started 0", "step 0"),
        ("stepped 0 1/9", "start 1"),
        ("started 1", "start 2"),
        ("started 2", "step 0 1 2"),
        ("give-up 1", "interrupt 1, 1 ends cancelled"),
        ("wait 6", "interrupt 2, 2 ends deadline_exceeded"),
        ("stepped 0,1,2 1/9", "1 leaves, 2 leaves, discard 1"),
        ("discarded", "discard 2"),
        ("discarded", "step 0"),
        // Alone, it is waited for: its session ends at once.
        ("give-up 0", "interrupt 0"),
        ("stepped 0 interrupted", "0 ends cancelled"),
    ]);
}

#[test]
fn a_batch_grows_with_what_is_known_of_its_steps() {
    Script::serving(1, 4).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("ask 3", ""),
        ("started 0", "step 0"),
        ("wait 1", ""),
        ("stepped 0 1/19", "step 0"),
        ("wait 1", ""),
        // Two steps alone are the measure.
        ("stepped 0 2/19", "step 0"),
        ("wait 1", ""),
        ("stepped 0 3/19", "start 1"),
        ("started 1", "step 0 1"),
        ("wait 1", ""),
        // Twice as many get twice as much done.
        ("stepped 0,1 4/19", "step 0 1"),
        ("wait 1", ""),
        ("stepped 0,1 5/19", "start 2"),
        ("started 2", "start 3"),
        ("started 3", "step 0 1 2 3"),
        ("wait 9", ""),
        ("stepped 0,1,2,3 6/19", "step 0 1 2 3"),
        ("wait 9", ""),
        ("stepped 0,1,2,3 7/19", "step 0 1 2 3"),
        ("wait 9", ""),
        // Four together are slow, seen three times: those that run go on in pairs, in turn.
        ("stepped 0,1,2,3 8/19", "step 0 1"),
        ("wait 1", ""),
        ("stepped 0,1 9/19", "step 2 3"),
    ]);
}

#[test]
fn items_that_must_be_in_step_begin_together_or_wait() {
    Script::practised(1, 4).check(&[
        ("ask 0 in-step", "start 0"),
        ("ask 1 in-step", ""),
        ("started 0 at-0", "start 1"),
        ("started 1 at-0", "step 0 1"),
        ("ask 2 in-step", ""),
        ("stepped 0,1 1/9 at-1", "start 2"),
        // The newcomer catches up.
        ("started 2 at-0", "step 2"),
        ("stepped 2 1/9 at-1", "step 0 1 2"),
        ("stepped 0,1,2 2/9 at-2", "step 0 1 2"),
        ("stepped 0,1,2 3/9 at-3", "step 0 1 2"),
        ("ask 3 in-step", ""),
        ("stepped 0,1,2 9/9", "finish 0"),
        ("finished 0", "encode 0, finish 1"),
        ("finished 1", "encode 1"),
        ("encoded 0", "0 is done, finish 2"),
        ("finished 2", "encode 2, start 3"),
    ]);
}

#[test]
fn what_waits_is_prepared_early_where_its_model_came_after_it() {
    Script::practised(1, 4).check(&[
        ("ask 0 o unprepared", "load o"),
        ("ask 1 o unprepared", ""),
        ("ask 2 o unprepared", ""),
        ("loaded o", "prepare 0, prepare 1"),
        ("prepared 0", "start 0"),
        ("prepared 1", ""),
        ("started 0", "prepare 2, step 0"),
        ("prepared 2", ""),
        ("stepped 0 1/9", "start 1"),
        ("started 1", "start 2"),
        ("started 2", "step 0 1 2"),
    ]);
}

#[test]
fn compute_has_left_an_item_when_it_is_back() {
    Script::practised(1, 2).check(&[
        ("ask 0", "start 0"),
        ("ask 1 5s", ""),
        ("started 0", "step 0"),
        ("stepped 0 1/9", "start 1"),
        ("started 1", "step 0 1"),
        ("wait 6", "interrupt 1, 1 ends deadline_exceeded"),
        ("stepped 0,1 2/9", "1 leaves, discard 1"),
        ("discarded", "step 0"),
    ]);
}
