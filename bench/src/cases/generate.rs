//! Pictures of the demo model on a real `hearth-worker`; beside it, optimum's pipeline of the same
//! folder in Python.

use std::io::Cursor;
use std::time::Instant;

use anyhow::{Context as _, Result};
use hearth_engine::{GenerationRequest, Input};
use image::{ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::effort::Effort;
use crate::measure::Samples;
use crate::python::{Peer, Peers, Process};
use crate::report::{Report, say};

/// What every subject draws.
#[derive(Clone, Copy, Serialize)]
struct Picture {
    prompt: &'static str,
    steps: u32,
    guidance: f64,
    seed: u64,
}

/// How long a peer took for it, in milliseconds.
#[derive(Deserialize)]
struct PictureTime {
    ms: f64,
    sessions_ms: f64,
}

pub(crate) async fn run(report: &mut Report, effort: Effort, peers: &mut Peers) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut optimum = peers.start(Peer::Optimum, dir.path()).await?;
    let daemon = Daemon::start().await?;
    say("measuring generate");
    let (mut pictures, mut outside, mut beyond) = <(Samples, Samples, Samples)>::default();
    let photo = photo()?;
    let mut outside_from_photo = Samples::default();
    let (mut their_pictures, mut their_outside) = <(Samples, Samples)>::default();
    for seed in 0..=effort.pictures as u64 {
        let picture = Picture { prompt: "red heart", steps: 20, guidance: 2.0, seed };
        let (ours, coordinator_ms) = draw(&daemon, picture, None).await?;
        let (from_photo, _) = draw(&daemon, picture, Some(photo.clone())).await?;
        let theirs: Option<PictureTime> = match &mut optimum {
            Some(optimum) => Some(optimum.ask("draw", picture).await?),
            None => None,
        };
        // The first picture warms the caches.
        if seed == 0 {
            continue;
        }
        pictures.add(ours.ms);
        outside.add(ours.outside());
        beyond.add(coordinator_ms);
        outside_from_photo.add(from_photo.outside());
        if let Some(theirs) = theirs {
            their_pictures.add(theirs.ms);
            their_outside.add(theirs.outside());
        }
    }
    let beside = |samples| optimum.iter().map(Process::name).zip([samples]).collect();
    report.cases.push(outside.case("generate.overhead", "share", beside(their_outside)));
    let from_photo = outside_from_photo.case("generate.overhead.image", "share", Vec::new());
    report.cases.push(from_photo);
    report.cases.push(pictures.case("generate.demo20", "ms", beside(their_pictures)));
    report.cases.push(beyond.case("generate.coordinator", "ms", Vec::new()));
    if let Some(optimum) = optimum {
        optimum.stop().await?;
    }
    daemon.stop().await
}

impl PictureTime {
    /// The share of its time outside ONNX sessions.
    fn outside(&self) -> f64 {
        (self.ms - self.sessions_ms) / self.ms
    }
}

/// A picture to begin from, as large as photographs are sent: 1024 × 1024, with detail.
fn photo() -> Result<Input> {
    let pixel = |x: u32, y: u32| image::Rgb([(x ^ y) as u8, ((x * y) >> 6) as u8, (x + y) as u8]);
    let mut png = Cursor::new(Vec::new());
    RgbImage::from_fn(1024, 1024, pixel).write_to(&mut png, ImageFormat::Png)?;
    Ok(Input::new(png.into_inner()))
}

/// Draws on the worker; also gives the milliseconds beyond what the worker spent.
async fn draw(
    daemon: &Daemon,
    picture: Picture,
    image: Option<Input>,
) -> Result<(PictureTime, f64)> {
    // A picture to begin from would be drawn in its own size otherwise.
    let side = image.is_some().then_some(64);
    let request = GenerationRequest {
        prompt: picture.prompt.to_owned(),
        num_inference_steps: Some(picture.steps),
        guidance_scale: Some(picture.guidance),
        seed: Some(picture.seed),
        image,
        width: side,
        height: side,
        ..GenerationRequest::default()
    };
    let start = Instant::now();
    let mut output = daemon.hearth.engine.step(vec![request]).await;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let output = output.pop().context("one request, one output")??;
    let image = output.items.into_iter().next().context("one image")??;
    let spent = |phase: &str| image.timings.get(phase).copied().unwrap_or(f64::NAN);
    let worker_ms =
        spent("queue") + spent("model_load") + spent("generation") + spent("output_postprocessing");
    Ok((PictureTime { ms, sessions_ms: spent("sessions") }, ms - worker_ms))
}
