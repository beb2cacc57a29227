//! Rows of what came to pass and what follows: items, orders, models.

use super::script::Script;
use super::*;

#[test]
fn an_item_is_started_stepped_finished_and_encoded() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("started 0", "step 0"),
        ("stepped 0 1/3", "step 0"),
        ("stepped 0 2/3", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0"),
        ("encoded 0", "0 is done"),
    ]);
}

#[test]
fn a_request_that_came_before_its_model_is_prepared_apart_from_compute() {
    Script::serving(1, 1).check(&[
        ("ask 0 o unprepared", "load o"),
        ("loaded o", "prepare 0"),
        ("infer m", "infer #0"),
        ("prepared 0", ""),
        ("inferred", "start 0"),
    ]);
    Script::serving(1, 1).check(&[
        ("ask 0 stale", "prepare 0"),
        ("not-prepared 0", "0 ends model_failed"),
        ("ask 0 unprepared", "prepare 1"),
    ]);
}

#[test]
fn two_slots_take_turns_and_a_third_item_waits() {
    let mut script = Script::serving(2, 1);
    script.check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("started 0", "start 1"),
        ("started 1", "step 0"),
        ("stepped 0 1/3", "step 1"),
        ("stepped 1 1/3", "step 0"),
        ("stepped 0 3/3", "finish 0"),
    ]);
    let waiting = script.plan.items().view(script.id("2")).unwrap().queue_position;
    assert_eq!(waiting, 1);
    script.check(&[("finished 0", "encode 0, step 1"), ("stepped 1 2/3", "start 2")]);
}

#[test]
fn runs_with_one_key_share_a_step_as_far_as_the_bound_says() {
    Script::practised(4, 2).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("ask 3 n", ""),
        ("started 0", "start 1"),
        ("started 1 b", "start 2"),
        ("started 2", "start 3"),
        ("started 3", "step 0 2"),
        ("stepped 0,2 1/3", "step 1"),
        ("stepped 1 1/3 b", "step 3"),
        ("stepped 3 1/3", "step 0 2"),
        ("stepped 0,2 failed", "0 ends model_failed, 2 ends model_failed, step 1"),
    ]);
}

#[test]
fn a_failure_costs_its_item_alone() {
    Script::serving(2, 1).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("not-started 0 failed", "0 ends model_failed, start 1"),
        ("started 1", "step 1"),
        ("stepped 1 3/3", "finish 1"),
        ("not-finished 1 failed", "1 ends model_failed"),
    ]);
}

#[test]
fn a_hang_gives_its_items_to_others_and_takes_nothing_more() {
    let mut script = Script::serving(2, 1);
    script.check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("started 0", "start 1"),
        ("started 1", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0, step 1"),
        ("stepped 1 1/3", "start 2"),
        ("ask 3", ""),
        ("infer m", ""),
        (
            "hang",
            "answer #0 draining, 1 ends worker_lost, 2 ends worker_lost, 3 ends draining, \
             announce unhealthy",
        ),
        ("encoded 0", "0 is done"),
        ("ask 4", "refused: draining"),
        ("infer m", "refused: draining"),
        ("resume", "refused: draining"),
        ("sleep", "refused: draining"),
    ]);
    assert_eq!(script.state(), WorkerState::Unhealthy);
}

#[test]
fn cancelling_ends_what_waits_and_interrupts_what_computes() {
    let mut script = Script::serving(2, 1);
    script.check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("started 0", "start 1"),
        ("started 1", "step 0"),
        ("cancel", "interrupt 0, 1 ends cancelled, 2 ends cancelled"),
        ("stepped 0 interrupted", "0 ends cancelled, discard 1"),
        ("discarded", ""),
    ]);
    assert_eq!(script.plan.items().counts().cancelled, 3);
    script.check(&[("ask 0", "start 3")]);
}

#[test]
fn what_was_cancelled_stays_so_whatever_its_hands_say() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("cancel", "interrupt 0"),
        ("started 0", "0 ends cancelled, discard 0"),
        ("discarded", ""),
        ("ask 0", "start 1"),
        ("started 0", ""),
    ]);
    let mut script = Script::serving(1, 1);
    script.check(&[
        ("ask 0", "start 0"),
        ("started 0", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("cancel", "interrupt 0"),
        ("finished 0", "0 ends cancelled"),
    ]);
    let mut script = Script::serving(1, 1);
    script.check(&[
        ("ask 0", "start 0"),
        ("started 0", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0"),
        ("cancel", "0 ends cancelled"),
        ("encoded 0", ""),
    ]);
}

#[test]
fn a_deadline_and_a_lost_caller_end_an_item_in_time() {
    Script::serving(1, 1).check(&[
        ("ask 0 5s", "start 0"),
        ("ask 1 5s", ""),
        ("ask 2", ""),
        ("started 0", "step 0"),
        ("leave 2", ""),
        ("wait 5", "interrupt 0, 1 ends deadline_exceeded"),
        ("stepped 0 interrupted", "0 ends deadline_exceeded"),
        ("wait 25", "2 ends abandoned"),
    ]);
}

#[test]
fn a_deadline_ends_an_item_that_waits_for_its_model() {
    Script::serving(1, 1).check(&[
        ("ask 0 o 5s", "load o"),
        ("wait 5", "0 ends deadline_exceeded"),
        ("ask 1", "start 1"),
        ("loaded o", ""),
    ]);
}

#[test]
fn a_caller_that_gives_up_ends_its_item_unless_another_waits_too() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("ask 0", ""),
        ("give-up 0", ""),
        ("leave 0", ""),
        ("give-up 0", "interrupt 0"),
    ]);
}

#[test]
fn a_preview_is_made_at_its_step_while_somebody_sees_it() {
    Script::serving(1, 1).check(&[
        ("ask 0 previews", "start 0"),
        ("started 0", "step 0"),
        ("stepped 0 1/9", "step 0"),
        ("stepped 0 2/9", "preview 0"),
        ("previewed 0", "step 0"),
        ("stepped 0 3/9", "step 0"),
        ("leave 0", ""),
        ("stepped 0 4/9", "step 0"),
    ]);
}

#[test]
fn compute_goes_on_until_the_encoder_is_far_behind() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("ask 2", ""),
        ("started 0", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0, start 1"),
        ("started 1", "step 1"),
        ("stepped 1 3/3", "finish 1"),
        ("finished 1", "encode 1, start 2"),
        ("started 2", "step 2"),
        ("stepped 2 3/3", ""),
        ("encoded 0", "0 is done, finish 2"),
    ]);
}

#[test]
fn orders_and_items_take_turns() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("infer m", ""),
        ("infer n", ""),
        ("started 0", "infer #0"),
        ("inferred", "step 0"),
        ("stepped 0 1/3", "infer #1"),
        ("inferred", "step 0"),
    ]);
}

#[test]
fn orders_that_wait_have_a_bound() {
    let mut script = Script::serving(1, 1);
    script.check(&[("ask 0", "start 0")]);
    for _ in 0..16 {
        script.check(&[("infer m", "")]);
    }
    script.check(&[
        ("infer m", "refused: queue_full"),
        ("sleep", "refused: queue_full"),
        ("withdraw 3", ""),
        ("infer m", ""),
    ]);
    assert_eq!(script.state(), WorkerState::Ready, "the sleep was refused as a whole");
}

#[test]
fn a_graph_waits_for_its_model() {
    Script::serving(1, 1).check(&[
        ("infer o", "load o"),
        ("infer o", ""),
        ("loaded o", "infer #0"),
        ("inferred", "infer #1"),
        ("inferred", ""),
        ("unload o", "release o"),
        ("released", "answer #2 freed"),
        ("infer o", "refused: unknown_model"),
    ]);
    Script::serving(1, 1).check(&[
        ("infer o", "load o"),
        ("not-loaded o", "answer #0 model_failed"),
        ("infer o", "refused: model_failed"),
        ("wait 1", ""),
        ("infer o", "load o"),
        ("withdraw 1", ""),
        ("loaded o", ""),
    ]);
}

#[test]
fn unloading_waits_for_the_models_items_and_for_no_others() {
    Script::serving(2, 1).check(&[
        ("ask 0", "start 0"),
        ("ask 1 n", ""),
        ("unload n", ""),
        ("unload m", ""),
        ("started 0", "start 1"),
        ("started 1", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0, step 1"),
        ("encoded 0", "0 is done"),
        ("stepped 1 1/3", "release m"),
        ("released", "answer #1 freed, step 1"),
        ("load m", "load m"),
        ("loaded m", "answer #2 loaded true"),
        ("load m", "answer #3 loaded false"),
    ]);
}

#[test]
fn a_model_is_read_once_the_memory_of_another_is_back() {
    Script::serving(1, 1).check(&[
        ("unload m", "release m"),
        ("load o", ""),
        ("released", "answer #0 freed, load o"),
        ("add p", ""),
        ("loaded o", "answer #1 loaded true, load p"),
        ("not-loaded p", "answer #2 model_failed"),
        ("load p", "refused: unknown_model"),
        ("load m", "load m"),
        ("not-loaded m", "answer #4 model_failed"),
    ]);
}

#[test]
fn a_failed_load_ends_what_waits_for_it_elsewhere() {
    let mut script = Script::serving(1, 1);
    script.check(&[("ask 0 o", "load o"), ("not-loaded o", "0 ends model_failed")]);
    let view = script.plan.items().view(script.id("0")).unwrap().clone();
    let outcome = view.outcome.unwrap();
    assert!(outcome.as_ref().as_ref().unwrap_err().retryable, "another worker's copy may be whole");
}

#[test]
fn a_profile_drops_the_model_and_brings_it_back() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("profile m", ""),
        ("profile m", "refused: not_ready"),
        ("started 0", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0"),
        ("encoded 0", "0 is done, release m"),
        ("ask 1", ""),
        ("released", "profile m #0"),
        ("loaded m", "start 1"),
        ("profile o", "refused: not_ready"),
    ]);
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("profile m", ""),
        ("withdraw 0", ""),
        ("started 0", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0"),
        ("encoded 0", "0 is done"),
        ("ask 1", "start 1"),
    ]);
}

#[test]
fn a_start_that_fails_ends_the_worker() {
    let mut script = Script::starting(1, 1);
    script.check(&[
        ("start", "load m"),
        ("infer m", "refused: not_ready"),
        ("sleep", "refused: not_ready"),
        ("wake", ""),
        ("not-loaded m", "abort"),
        ("end", "answer #1 draining, announce draining"),
        ("close", "stop"),
    ]);
}

#[test]
fn closing_ends_everything_once() {
    Script::serving(2, 1).check(&[
        ("ask 0", "start 0"),
        ("ask 1 o", "load o"),
        ("infer o", ""),
        ("infer m", ""),
        ("unload m", ""),
        ("end", "announce draining"),
        ("ask 2", "refused: draining"),
        ("resume", "refused: draining"),
        (
            "close",
            "answer #1 draining, answer #2 draining, answer #0 draining, interrupt 0, \
             1 ends draining",
        ),
        ("not-started 0 interrupted", "0 ends draining, stop"),
        ("loaded o", ""),
        ("unload m", "refused: draining"),
        ("wake", "refused: draining"),
    ]);
}
