//! A run that is interrupted and restored from its snapshot in a new scheduler.

use hearth_inference::schedulers::{Error, Run, Scheduler, SchedulerConfig, Snapshot, build};
use serde_json::json;

use crate::cases::{Bank, Case, Noise, Vectors, folder};
use crate::steps::CLASSES;

/// What one case's run is fed, and what came of each call.
struct Recording {
    begin: usize,
    calls: Vec<Call>,
}

struct Call {
    output: Vec<f32>,
    noise: Option<Vec<f32>>,
    /// Sample and snapshot before the call, and the sample after it.
    before: Vec<f32>,
    snapshot: Snapshot,
    after: Vec<f32>,
}

impl Recording {
    /// Takes all calls of a case without a break.
    fn of(case: &Case, bank: &Bank, mut scheduler: Scheduler) -> Self {
        let begin = case.begin(scheduler.schedule());
        let mut noise = Noise::new(case, bank);
        let mut sample = noise.first_sample(scheduler.schedule().init_noise_sigma());
        let mut calls = Vec::new();
        for index in 0..case.samples.len() {
            let schedule = scheduler.schedule();
            let output = case.output(bank, schedule, index);
            let drawn = noise.draw(schedule.step_noise(begin + index), index).unwrap();
            let (before, snapshot) = (sample.clone(), scheduler.snapshot());
            scheduler.step(begin + index, &output, &mut sample, drawn.as_deref());
            calls.push(Call { output, noise: drawn, before, snapshot, after: sample.clone() });
        }
        Self { begin, calls }
    }

    /// Takes the calls from `first` on in `scheduler`, restored; the first that differs in any bit.
    fn differs_from(&self, first: usize, scheduler: &mut Scheduler) -> Option<usize> {
        let mut sample = self.calls[first].before.clone();
        (first..self.calls.len()).find(|&index| {
            let call = &self.calls[index];
            assert_eq!(scheduler.snapshot(), call.snapshot, "before call {index}");
            scheduler.step(self.begin + index, &call.output, &mut sample, call.noise.as_deref());
            sample.iter().zip(&call.after).any(|(a, b)| a.to_bits() != b.to_bits())
        })
    }
}

/// All committed cases, interrupted at every call, each time in a new scheduler to the run's end.
/// The snapshot goes through text on its way.
#[test]
fn a_run_goes_on_from_its_snapshot_bit_by_bit() {
    let bank = Bank::read();
    let (mut runs, mut interruptions) = (0, 0);
    for class in CLASSES {
        let json = std::fs::read_to_string(folder().join(format!("{class}.json"))).unwrap();
        let vectors: Vectors = serde_json::from_str(&json).unwrap();
        for case in &vectors.cases {
            let Ok((config, spec)) = vectors.choice(case) else { continue };
            let fresh = || build(&config, Some(&spec), &case.run());
            let Ok(scheduler) = fresh() else { continue };
            let recording = Recording::of(case, &bank, scheduler);
            runs += 1;
            for (index, call) in recording.calls.iter().enumerate() {
                let text = serde_json::to_string(&call.snapshot).unwrap();
                let snapshot = serde_json::from_str(&text).unwrap();
                let mut scheduler = fresh().unwrap();
                scheduler.restore(snapshot, call.before.len()).unwrap();
                let differs = recording.differs_from(index, &mut scheduler);
                assert_eq!(differs, None, "{class} {}, restored at {index}", case.name);
                interruptions += 1;
            }
        }
    }
    eprintln!("{runs} runs, interrupted {interruptions} times");
    assert!(runs >= 500 && interruptions > 5 * runs, "{runs} runs, {interruptions} times");
}

fn multistep() -> Scheduler {
    let json = r#"{"_class_name": "DPMSolverMultistepScheduler"}"#;
    let run = Run { steps: 5, ..Run::default() };
    build(&SchedulerConfig::parse(json).unwrap(), None, &run).unwrap()
}

/// Later programs read what this one wrote.
#[test]
fn a_snapshot_is_plain_data_of_a_stable_form() {
    let mut scheduler = multistep();
    let fresh = json!({"taken": 0, "history": [], "start": [], "slope": []});
    assert_eq!(serde_json::to_value(scheduler.snapshot()).unwrap(), fresh);
    scheduler.step(0, &[0.0, 0.0], &mut [0.0, 0.0], None);
    let taken = json!({"taken": 1, "history": [[0.0, 0.0]], "start": [], "slope": []});
    assert_eq!(serde_json::to_value(scheduler.snapshot()).unwrap(), taken);
}

#[test]
fn a_snapshot_of_another_run_is_refused() {
    for (changed, value, expected) in [
        ("taken", json!(6), "it has taken 6 calls, and this run has 5"),
        ("taken", json!(0), "it looks back on 1 of 0 calls"),
        ("history", json!([[0.0, 0.0], [0.0, 0.0]]), "it looks back on 2 of 1 calls"),
        (
            "history",
            json!([[0.0, 0.0, 0.0]]),
            "an entry of its history has 3 numbers, the sample 2",
        ),
        ("history", json!([[]]), "an entry of its history has 0 numbers, the sample 2"),
        ("slope", json!([1.0]), "one of its lists has 1 numbers, the sample 2"),
    ] {
        let mut form = json!({"taken": 1, "history": [[0.0, 0.0]], "start": [], "slope": []});
        form[changed] = value;
        let snapshot = serde_json::from_value(form).unwrap();
        let error = multistep().restore(snapshot, 2).unwrap_err();
        assert!(matches!(error, Error::Snapshot(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Whatever passes the check is stepped on with, however little sense it makes.
#[test]
fn no_snapshot_makes_a_step_panic() {
    let list = |full: bool| if full { vec![1.0_f32; 3] } else { Vec::new() };
    for class in CLASSES {
        let config = format!("{{\"_class_name\": \"{class}\"}}");
        let config = SchedulerConfig::parse(&config).unwrap();
        let run = Run { steps: 5, eta: 0.5, ..Run::default() };
        let mut scheduler = build(&config, None, &run).unwrap();
        let calls = scheduler.schedule().timesteps().len();
        let mut restored = 0;
        for taken in 0..=calls {
            for (known, start, slope) in (0..=4).flat_map(|known| {
                [(false, false), (true, false), (false, true), (true, true)]
                    .map(|(start, slope)| (known, start, slope))
            }) {
                let form = json!({
                    "taken": taken, "history": vec![list(true); known],
                    "start": list(start), "slope": list(slope),
                });
                let snapshot: Snapshot = serde_json::from_value(form).unwrap();
                for call in 0..calls {
                    if scheduler.restore(snapshot.clone(), 3).is_ok() {
                        scheduler.step(call, &[0.1; 6], &mut [0.2; 3], Some(&[0.3; 3]));
                        restored += 1;
                    }
                }
            }
        }
        assert!(restored > calls, "{class}");
    }
}
