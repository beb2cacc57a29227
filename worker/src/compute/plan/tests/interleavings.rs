//! Sleep, waking, drain and resume, in orders that used to go wrong and in all orders.

use super::script::Script;
use super::*;

#[test]
fn sleep_finishes_what_was_accepted() {
    let mut script = Script::serving(1, 1);
    script.check(&[
        ("ask 0", "start 0"),
        ("ask 1", ""),
        ("sleep", "announce sleeping"),
        ("ask 2", "refused: not_ready"),
        ("load o", "refused: not_ready"),
        ("started 0", "step 0"),
        ("stepped 0 3/3", "finish 0"),
        ("finished 0", "encode 0, start 1"),
        ("encoded 0", "0 is done"),
        ("not-started 1 failed", "1 ends model_failed, release m n"),
        ("released", "answer #0 freed"),
        ("sleep-deep", "release  and their files"),
        ("released", "answer #1 freed"),
        ("ask 0", ""),
    ]);
    assert_eq!(script.state(), WorkerState::Sleeping, "what was kept is given in sleep");
}

#[test]
fn a_sleep_is_taken_back_before_it_begins() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("sleep", "announce sleeping"),
        ("wake", "answer #0 cancelled, answer #1 awake [], announce ready"),
        ("ask 1", ""),
        ("started 0", "step 0"),
    ]);
}

#[test]
fn a_waking_waits_until_the_memory_is_back_and_all_models_are_there() {
    Script::serving(1, 1).check(&[
        ("sleep", "release m n, announce sleeping"),
        ("sleep", ""),
        ("wake", "answer #1 cancelled, announce loading"),
        ("wake", ""),
        ("sleep", "refused: not_ready"),
        ("released", "answer #0 freed, load m"),
        ("loaded m", "load n"),
        ("not-loaded n", "answer #2 model_failed, answer #3 model_failed, announce ready"),
        ("wake", "answer #5 awake []"),
        ("sleep", "release m, announce sleeping"),
        ("released", "answer #6 freed"),
        ("wake", "load m, announce loading"),
        ("loaded m", "answer #7 awake [m], announce ready"),
    ]);
}

#[test]
fn a_model_that_comes_while_the_worker_sleeps_is_dropped_and_comes_back() {
    Script::serving(1, 1).check(&[
        ("load o", "load o"),
        ("sleep", "release m n, announce sleeping"),
        ("loaded o", "answer #0 not_ready"),
        ("wake", "announce loading"),
        ("released", "answer #1 freed, release o"),
        ("released", "load m"),
        ("loaded m", "load n"),
        ("loaded n", "load o"),
        ("loaded o", "answer #2 awake [m n o], announce ready"),
    ]);
}

#[test]
fn a_drain_outlasts_a_sleep() {
    let mut script = Script::serving(1, 1);
    script.check(&[
        ("sleep", "release m n, announce sleeping"),
        ("drain", ""),
        ("released", "answer #0 freed"),
        ("wake", "load m, announce draining"),
        ("resume", "announce loading"),
        ("drain", "announce draining"),
        ("loaded m", "load n"),
        ("loaded n", "answer #1 awake [m n]"),
        ("ask 0", "refused: draining"),
        ("infer m", "refused: draining"),
        ("resume", "announce ready"),
        ("ask 0", "start 0"),
    ]);
}

#[test]
fn the_end_of_a_run_answers_who_sleeps_and_who_wakes() {
    Script::serving(1, 1).check(&[
        ("ask 0", "start 0"),
        ("sleep", "announce sleeping"),
        ("end", "answer #0 draining, announce draining"),
        ("sleep", "refused: draining"),
        ("wake", "answer #2 awake []"),
        ("started 0", "step 0"),
    ]);
    Script::serving(1, 1).check(&[
        ("sleep", "release m n, announce sleeping"),
        ("released", "answer #0 freed"),
        ("wake", "load m, announce loading"),
        ("end", "answer #1 draining, announce draining"),
        ("close", "stop"),
        ("loaded m", ""),
    ]);
}

/// The same four things in each of their orders, with an item under way: each ends as its own
/// last words say, and the item is finished.
#[test]
fn sleep_drain_wake_and_resume_in_any_order() {
    let words = ["sleep", "drain", "wake", "resume"];
    let mut orders = 0;
    for a in 0..4 {
        for b in (0..4).filter(|b| *b != a) {
            for c in (0..4).filter(|c| ![a, b].contains(c)) {
                let d = 6 - a - b - c;
                let order = [a, b, c, d].map(|at| words[at]);
                let at = |word| order.iter().position(|other| *other == word);
                let (asleep, drained) = (at("sleep") > at("wake"), at("drain") > at("resume"));
                let expected = match (asleep, drained) {
                    (true, _) => WorkerState::Sleeping,
                    (false, true) => WorkerState::Draining,
                    (false, false) => WorkerState::Ready,
                };
                let mut script = Script::serving(1, 1);
                script.check(&[("ask 0", "start 0")]);
                for word in order {
                    let _ = script.play(word);
                }
                assert_eq!(script.state(), expected, "{order:?}");
                script.check(&[("started 0", "step 0"), ("stepped 0 3/3", "finish 0")]);
                script.check(&[("finished 0", "encode 0")]);
                let last = script.play("encoded 0");
                assert!(last.contains("0 is done"), "{order:?}: {last}");
                assert_eq!(last.contains("release m n"), asleep, "{order:?}: {last}");
                assert_eq!(script.state(), expected, "{order:?}");
                orders += 1;
            }
        }
    }
    assert_eq!(orders, 24);
}
