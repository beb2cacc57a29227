//! Rows of fleets, and where an item goes.

use super::*;

struct Worker {
    id: WorkerId,
    rank: u32,
    ready: bool,
    models: Vec<ModelRecord>,
    slots: u32,
    batch: u32,
    in_flight: u32,
    backlog: u32,
}

fn worker(rank: u32, in_flight: u32) -> Worker {
    let id = WorkerId::new(format!("w{rank}")).unwrap();
    let model = ModelRecord {
        name: "emoji".to_owned(),
        aliases: vec!["demo".to_owned()],
        digest: "sha256:0".to_owned(),
    };
    Worker { id, rank, ready: true, models: vec![model], slots: 1, batch: 1, in_flight, backlog: 0 }
}

impl Worker {
    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            worker: &self.id,
            ready: self.ready,
            models: &self.models,
            capacity: Capacity { slots: self.slots, queue: 16, batch: self.batch },
            in_flight: self.in_flight,
            backlog: self.backlog,
        }
    }
}

fn candidates(workers: &[Worker]) -> Vec<Candidate<'_>> {
    workers.iter().map(Worker::candidate).collect()
}

fn rank_by(workers: &[Worker], constraints: &Constraints<'_>, draw: u64) -> Option<u32> {
    let constraints = Constraints { model: "emoji", ..*constraints };
    match place(&candidates(workers), &constraints, draw).unwrap() {
        Placement::On(index) => Some(workers[index].rank),
        Placement::Wait => None,
    }
}

/// The ranks that come into question: those that some draw gives.
fn ranks(workers: &[Worker], constraints: &Constraints<'_>) -> BTreeSet<Option<u32>> {
    (0..64).map(|draw| rank_by(workers, constraints, draw)).collect()
}

fn set(ranks: &[u32]) -> BTreeSet<Option<u32>> {
    ranks.iter().copied().map(Some).collect()
}

#[test]
fn six_images_spread_evenly_over_three_workers_whatever_is_drawn() {
    for draw in 0..100 {
        let mut workers = [worker(2, 0), worker(0, 0), worker(1, 0)];
        for item in 0..6 {
            let rank = rank_by(&workers, &Constraints::default(), draw * 31 + item).unwrap();
            workers.iter_mut().find(|w| w.rank == rank).unwrap().in_flight += 1;
            let counts = workers.each_ref().map(|worker| worker.in_flight);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
        }
        let next = rank_by(&workers, &Constraints::default(), draw);
        assert_eq!(next, None, "the rest waits for who is free first");
    }
}

#[test]
fn chance_decides_between_equals() {
    let workers = [worker(0, 0), worker(1, 0), worker(2, 0)];
    let mut counts = [0_u32; 3];
    for draw in 0..900 {
        let rank = rank_by(&workers, &Constraints::default(), draw).unwrap();
        counts[rank as usize] += 1;
    }
    assert_eq!(counts, [300; 3], "each as often as any other");
}

#[test]
fn of_two_the_one_with_less_to_do_gets_it() {
    let mut workers = [worker(0, 0), worker(1, 0), worker(2, 0)];
    (workers[0].backlog, workers[1].backlog) = (5, 1);
    assert_eq!(ranks(&workers, &Constraints::default()), set(&[1, 2]), "never the busiest");
    // What others have given counts beside its own items.
    let mut workers = [worker(0, 0), worker(1, 1)];
    assert_eq!(ranks(&workers, &Constraints::default()), set(&[0]));
    workers[0].backlog = 2;
    assert_eq!(ranks(&workers, &Constraints::default()), set(&[1]));
    workers[0].slots = 4;
    assert_eq!(ranks(&workers, &Constraints::default()), set(&[0]), "it has more slots");
}

#[test]
fn a_worker_with_more_slots_gets_more() {
    let mut workers = [worker(0, 1), worker(1, 1)];
    workers[1].slots = 4;
    assert_eq!(ranks(&workers, &Constraints::default()), set(&[1]));
}

#[test]
fn only_ready_workers_with_the_model_count() {
    let mut workers = [worker(0, 0), worker(1, 1), worker(2, 0)];
    workers[0].ready = false;
    workers[2].models[0].name = "sd15".to_owned();
    workers[2].models[0].aliases.clear();
    assert_eq!(ranks(&workers, &Constraints::default()), set(&[1]));
}

#[test]
fn a_worker_that_failed_is_the_last_resort_and_one_without_a_place_is_none() {
    let workers = [worker(0, 0), worker(1, 1)];
    let avoided = [workers[0].id.clone()];
    let avoid = Constraints { avoided: &avoided, ..Constraints::default() };
    assert_eq!(ranks(&workers, &avoid), set(&[1]));
    assert_eq!(ranks(&workers[..1], &avoid), set(&[0]));
    let full = [worker(0, 0), worker(1, 2)];
    assert_eq!(ranks(&full, &avoid), [None].into());

    let exclude = Constraints { excluded: &avoided, ..Constraints::default() };
    assert_eq!(ranks(&workers, &exclude), set(&[1]));
    assert_eq!(ranks(&workers[..1], &exclude), [None].into());
}

#[test]
fn a_worker_is_sent_what_shares_its_slots_and_no_more_than_it_takes_at_the_worst() {
    for (slots, batch, most) in [(1, 1, 2), (1, 8, 9), (1, 16, 17), (1, 64, 17), (2, 4, 10)] {
        let own = |in_flight| Worker { slots, batch, ..worker(0, in_flight) };
        assert_eq!(ranks(&[own(most - 1)], &Constraints::default()), set(&[0]), "{slots}, {batch}");
        assert_eq!(ranks(&[own(most)], &Constraints::default()), [None].into(), "{slots}, {batch}");
    }
}

#[test]
fn two_different_workers_are_looked_at() {
    let workers = [worker(0, 0), worker(1, 2), worker(2, 0), worker(3, 1)];
    let excluded = [workers[0].id.clone()];
    let constraints = Constraints { model: "demo", excluded: &excluded, ..Constraints::default() };
    for draw in 0..64 {
        let mut choices = two_choices(&candidates(&workers), &constraints, draw);
        choices.sort_unstable();
        assert_eq!(choices, [2, 3], "neither the full one nor the excluded one");
    }
    let choices = two_choices(&candidates(&workers[..3]), &constraints, 7);
    assert_eq!(choices, [2], "there is no other");
}

#[test]
fn a_model_is_meant_by_name_alias_or_for_want_of_another() {
    let mut workers = [worker(0, 0), worker(1, 0)];
    assert_eq!(model(&candidates(&workers), None).as_deref(), Ok("emoji"));
    assert_eq!(model(&candidates(&workers), Some("demo")).as_deref(), Ok("demo"));
    workers[1].models[0].name = "sd15".to_owned();
    let known = vec!["emoji".to_owned(), "sd15".to_owned()];
    let refusal = model(&candidates(&workers), None).unwrap_err();
    assert_eq!(refusal, Refusal::WhichModel { known });
}

#[test]
fn refusals_say_what_there_is() {
    let mut workers = [worker(0, 0), worker(1, 0)];
    let refusal = model(&candidates(&workers), Some("emojy")).unwrap_err();
    assert_eq!(refusal.to_string(), "model \"emojy\" is unknown: use emoji");
    workers[0].ready = false;
    workers[1].ready = false;
    for asked in [Some("emoji"), Some("emojy"), None] {
        let refusal = model(&candidates(&workers), asked).unwrap_err();
        assert!(matches!(refusal, Refusal::NoneReady { .. }), "{refusal}");
    }
    assert!(matches!(model(&[], None), Err(Refusal::NoneReady { .. })));
}
