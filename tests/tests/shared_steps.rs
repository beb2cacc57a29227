//! Requests that share the steps of one worker: random histories of requests that come, end and are
//! cancelled at any time, of which each picture is the one that is computed alone.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::time::Duration;

use hearth_api::CallError;
use hearth_api::request::{GenerationRequest, Input, Lora};
use hearth_engine::Engine;
use hearth_fabric::identity::Identity;
use hearth_tests::{Fleet, FleetOptions, Picture, family, source, unpacked};
use tokio::task::JoinSet;

const HISTORIES: u64 = 20;
const REQUESTS: usize = 12;

/// Different pictures that are asked for.
const PICTURES: usize = 32;

/// Within which the requests of a history begin.
const BEGINNING: Duration = Duration::from_millis(200);

/// What a picture of a shared step is within of the one alone.
const NEAR: f64 = 60.0;

const LIMIT: Duration = Duration::from_secs(60);

/// Requests of all sorts, for two models: of different steps, guidance, schedulers, adapters, and
/// with and without a picture that steers them.
fn requests(random: &mut fastrand::Rng, control: &Input) -> Vec<GenerationRequest> {
    let prompts = ["red heart", "tiger face", "green tree"];
    let schedulers = ["ddim", "euler", "euler_a", "dpmpp_2m", "heun"];
    let mut request = |index: usize| {
        let tiny = index.is_multiple_of(4);
        let adapter = |name: &str, scale| Lora { name: name.to_owned(), scale };
        let lora = match index % 16 {
            4 => vec![adapter("ink", 0.5)],
            8 => vec![adapter("ink", 1.0), adapter("glow", -0.5)],
            _ => Vec::new(),
        };
        GenerationRequest {
            model: Some(if tiny { "tiny" } else { "emoji" }.to_owned()),
            prompt: random.choice(prompts).expect("some").to_owned(),
            negative_prompt: random.bool().then(|| "house".to_owned()),
            num_inference_steps: Some(random.u32(4..12)),
            guidance_scale: if index % 8 == 3 { Some(1.0) } else { random.choice([3.0, 5.0, 7.5]) },
            guidance_interval: index.is_multiple_of(5).then_some([0.25, 0.75]),
            scheduler: random.choice(schedulers).map(str::to_owned),
            width: tiny.then_some(32),
            height: tiny.then_some(32),
            control_image: if index % 8 == 4 { vec![control.clone()] } else { Vec::new() },
            lora,
            seed: Some(random.u64(0..1000)),
            ..GenerationRequest::default()
        }
    };
    (0..PICTURES).map(&mut request).collect()
}

async fn draw(engine: &Engine, request: GenerationRequest) -> Result<Picture, CallError> {
    let output = engine.submit(request).await?.finish().await?;
    let item = output.items.into_iter().next().expect("an item")?;
    Ok(Picture::decode(&item.bytes))
}

/// A request of a history: the picture that it asks for, and what came of it, none if it was cancelled.
type Ended = (usize, Option<Result<Picture, CallError>>);

/// Asks for twelve of the pictures, each at a moment of its own; a quarter of them are cancelled.
async fn history(
    engine: &Engine,
    random: &mut fastrand::Rng,
    all: &[GenerationRequest],
) -> Vec<Ended> {
    let mut asked = JoinSet::new();
    for _ in 0..REQUESTS {
        let (engine, index) = (engine.clone(), random.usize(0..all.len()));
        let request = all[index].clone();
        let mut moment = || BEGINNING.mul_f64(random.f64());
        let (begin, patience) = (moment(), moment());
        let is_cancelled = random.u8(0..4) == 0;
        asked.spawn(async move {
            tokio::time::sleep(begin).await;
            let drawn = draw(&engine, request);
            match is_cancelled {
                // A submission that is dropped is cancelled.
                true => (index, tokio::time::timeout(patience, drawn).await.ok()),
                false => (index, Some(drawn.await)),
            }
        });
    }
    asked.join_all().await
}

/// The requests that the steps of the worker were for, and the steps.
fn shared(fleet: &Fleet) -> [f64; 2] {
    let text = fleet.probe(0, "/metrics");
    ["sum", "count"].map(|part| {
        let name = format!("hearth_step_requests_{part} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}in {text}"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_random_histories_each_picture_is_the_one_alone() {
    let _turn = hearth_tests::Turn::take();
    let folder = |name: &str| source().join(name).display().to_string();
    let fleet = Fleet::start(FleetOptions {
        model: format!("tiny={}", folder("tests/models/tiny-lora")),
        config: format!("[models.emoji]\npath = {:?}\n", folder("models/emoji")),
        worker: "slots = 2\nmax_batch = 8".to_owned(),
        fixed_ports: true,
        ..FleetOptions::default()
    });
    let edges = fleet.dir().join("edges.png");
    unpacked(&family("tiny-lora")["inputs"]["edges"]).save(&edges);
    let control = Input::new(std::fs::read(edges).expect("the file"));

    let identity = Identity::load(&fleet.pki("coordinator-c0")).expect("an identity");
    let engine = Engine::connect(fleet.registry(), identity).expect("an engine");
    engine.wait_ready(1, LIMIT).await.expect("ready");
    let mut random = fastrand::Rng::with_seed(12);
    let all = requests(&mut random, &control);
    let mut alone = BTreeMap::new();
    for (index, request) in all.iter().enumerate() {
        let request = GenerationRequest { exact: Some(true), ..request.clone() };
        alone.insert(index, draw(&engine, request).await.expect("a picture"));
    }
    let [sum, count] = shared(&fleet);
    assert!((sum - count).abs() < 0.5, "{sum} requests in {count} steps that were exact");

    let (mut whole, mut cancelled) = (0, 0);
    for seed in 0..HISTORIES {
        let mut random = fastrand::Rng::with_seed(seed);
        for (index, ended) in history(&engine, &mut random, &all).await {
            let Some(drawn) = ended else {
                cancelled += 1;
                continue;
            };
            let picture = drawn.unwrap_or_else(|error| panic!("history {seed}: {error:?}"));
            let psnr = picture.psnr(&alone[&index]);
            assert!(psnr >= NEAR, "history {seed}: {psnr:.1} dB, {:?}", all[index]);
            whole += 1;
        }
    }
    let [sum, count] = [shared(&fleet), [sum, count]]
        .into_iter()
        .reduce(|[a, b], [c, d]| [a - c, b - d])
        .expect("two");
    assert!(whole > cancelled && cancelled > 0, "{whole} whole, {cancelled} cancelled");
    assert!(sum > 1.2 * count, "{sum} requests in {count} steps");
    engine.close().await;
}
