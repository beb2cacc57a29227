//! Many pictures at once on one real worker, which shares their steps; beside it optimum's pipeline in
//! Python, one by one and in a static batch.

use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, stream};
use hearth_engine::{GenerationRequest, RequestEvent, Submission};
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::effort::Effort;
use crate::measure::Samples;
use crate::python::{Peer, Peers};
use crate::report::{Report, say};

pub(super) const NAMES: [&str; 2] = ["generate.batch8", "generate.join"];

/// Pictures in flight.
const IN_FLIGHT: usize = 8;
/// Steps of a picture that another one joins, so many that none is done meanwhile.
const LONG: u32 = 120;

const PROMPTS: [&str; IN_FLIGHT] = [
    "red heart",
    "tiger face",
    "green apple",
    "fox",
    "sun",
    "blue heart",
    "dog face",
    "birthday cake",
];

/// What every subject draws.
#[derive(Serialize)]
struct Pictures {
    prompts: [&'static str; IN_FLIGHT],
    steps: u32,
    guidance: f64,
    seed: u64,
    /// All in one call, or one after another.
    batch: bool,
}

/// How long a peer took for all, in milliseconds.
#[derive(Deserialize)]
struct PicturesTime {
    ms: f64,
}

pub(crate) async fn run(report: &mut Report, effort: Effort, peers: &mut Peers) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut optimum = peers.start(Peer::Optimum, dir.path()).await?;
    let daemon = Daemon::start().await?;
    say("measuring generate.batch8");
    let (mut ours, mut one_by_one, mut batch) = <(Samples, Samples, Samples)>::default();
    for round in 0..=effort.rounds {
        let seed = round as u64;
        let took = draw(&daemon, effort.rounds.max(2) * IN_FLIGHT / 2, seed).await?;
        let mut theirs = [None, None];
        if let Some(optimum) = &mut optimum {
            for (time, batch) in theirs.iter_mut().zip([false, true]) {
                let wanted = Pictures { prompts: PROMPTS, steps: 20, guidance: 2.0, seed, batch };
                let PicturesTime { ms } = optimum.ask("draw_all", wanted).await?;
                *time = Some(ms / IN_FLIGHT as f64);
            }
        }
        // The first round warms the caches.
        if round == 0 {
            continue;
        }
        ours.add(took);
        for (samples, time) in [&mut one_by_one, &mut batch].into_iter().zip(theirs) {
            time.into_iter().for_each(|time| samples.add(time));
        }
    }
    let theirs = [("optimum", one_by_one), ("optimum_batch", batch)];
    let beside = theirs.into_iter().filter(|_| optimum.is_some()).collect();
    report.cases.push(ours.case(NAMES[0], "ms", beside));
    if let Some(optimum) = optimum {
        optimum.stop().await?;
    }
    say("measuring generate.join");
    let mut joins = Samples::default();
    for round in 0..=effort.rounds {
        let steps = join(&daemon, round as u64).await?;
        if round > 0 {
            joins.add(steps);
        }
    }
    report.cases.push(joins.case(NAMES[1], "steps", Vec::new()));
    daemon.stop().await
}

fn request(place: usize, steps: u32, seed: u64) -> GenerationRequest {
    GenerationRequest::new(PROMPTS[place % IN_FLIGHT])
        .num_inference_steps(steps)
        .guidance_scale(2.0)
        .seed(seed * 1000 + place as u64)
}

/// Draws so many pictures with eight in flight; milliseconds a picture.
async fn draw(daemon: &Daemon, count: usize, seed: u64) -> Result<f64> {
    let start = Instant::now();
    let drawn = stream::iter(0..count)
        .map(|place| daemon.hearth.engine.step(vec![request(place, 20, seed)]))
        .buffer_unordered(IN_FLIGHT);
    let outputs: Vec<_> = drawn.collect().await;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    for output in outputs.into_iter().flatten() {
        output?;
    }
    Ok(ms / count as f64)
}

/// Has a ninth picture join eight that are under way; how many of their steps pass until its first
/// one begins.
async fn join(daemon: &Daemon, seed: u64) -> Result<f64> {
    let engine = &daemon.hearth.engine;
    let mut others = Vec::with_capacity(IN_FLIGHT);
    for place in 0..IN_FLIGHT {
        others.push(engine.submit(request(place, LONG, seed)).await?);
    }
    let last = others.last_mut().context("there are eight")?;
    let began = reach(last, 2).await?;
    let step = (reach(last, 10).await? - began) / 8;
    // Anywhere in a step.
    tokio::time::sleep(step.mul_f64(0.1 + 0.2 * (seed % 5) as f64)).await;
    let asked = Instant::now();
    let mut ninth = engine.submit(request(IN_FLIGHT, LONG, seed)).await?;
    let first = reach(&mut ninth, 1).await? - asked;
    for submission in others.iter().chain([&ninth]) {
        submission.cancel().await;
    }
    Ok((first.as_secs_f64() / step.as_secs_f64() - 1.0).max(0.0))
}

/// Waits until a picture has taken so many steps; when that was.
async fn reach(submission: &mut Submission, wanted: u32) -> Result<Instant> {
    while let Some(event) = submission.next().await {
        if let RequestEvent::Progress { step, .. } = event
            && step >= wanted
        {
            return Ok(Instant::now());
        }
    }
    anyhow::bail!("the picture ended before step {wanted}")
}
