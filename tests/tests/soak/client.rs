//! A client that asks for one picture after another, through a coordinator of its own that dies now
//! and then.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hearth_api::request::GenerationRequest;
use hearth_api::{CallError, ErrorKind, RequestId};
use hearth_engine::Engine;
use hearth_fabric::identity::Identity;

use crate::history::{Ask, History};
use crate::site::Site;

/// What each request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Beyond its deadline and the second that it may be late by, nobody waits for a request.
const LIMIT: Duration = Duration::from_secs(40);

/// Different pictures that are asked for.
const PICTURES: usize = 6;

/// Ids of the own past that are asked for again.
const PAST: usize = 20;

/// The digests of the pictures, by their seed.
pub(crate) type Pictures = Vec<String>;

pub(crate) struct Client {
    registry: String,
    pki: PathBuf,
    number: u64,
    random: fastrand::Rng,
    pictures: Arc<Pictures>,
    history: Arc<History>,
}

impl Client {
    pub(crate) fn new(
        site: &Site,
        number: u64,
        seed: u64,
        pictures: Arc<Pictures>,
        history: Arc<History>,
    ) -> Self {
        let (registry, pki) = place(site);
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(CLIENT_STRIDE) + number);
        Self { registry, pki, number, random, pictures, history }
    }

    /// Asks until it is over. The request under way is waited for.
    pub(crate) async fn ask_until(mut self, over: Arc<AtomicBool>) {
        let mut engine = connect(&self.registry, &self.pki);
        let mut past = VecDeque::new();
        let mut count = 0_u64;
        while !over.load(Ordering::Relaxed) {
            // Every tenth time an id of the past: its result must be the same.
            let again = self.random.u8(0..10) == 0 && !past.is_empty();
            let (id, picture) = if again {
                past[self.random.usize(0..past.len())]
            } else {
                count += 1;
                ((self.number, count), self.random.usize(0..self.pictures.len()))
            };
            if self.random.u8(0..25) == 0 {
                // Its connections end without a word, as those of a coordinator that was killed.
                engine = connect(&self.registry, &self.pki);
            }
            let id: RequestId = format!("soak-{}-{}", id.0, id.1).parse().expect("an id");
            let start = Instant::now();
            let asked = tokio::time::timeout(LIMIT, draw(&engine, Some(&id), picture)).await;
            let outcome = asked.ok();
            let failed = !matches!(outcome, Some(Ok(_)));
            self.history.add(Ask {
                id,
                picture,
                start,
                took: start.elapsed(),
                deadline: DEADLINE,
                outcome,
            });
            if !again {
                past.push_back(((self.number, count), picture));
                past.truncate(PAST);
            }
            if failed {
                // As a person would, who is told that nobody is there.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        engine.close().await;
    }
}

/// Keeps the clients' draws apart.
const CLIENT_STRIDE: u64 = 1_000_003;

/// What the fleet draws while nothing is done to it.
pub(crate) async fn expected_pictures(site: &Site) -> Pictures {
    let (registry, pki) = place(site);
    let engine = connect(&registry, &pki);
    let workers = site.fleet().workers.len();
    engine.wait_ready(workers, DEADLINE).await.expect("the fleet is whole");
    let mut pictures = Vec::new();
    for picture in 0..PICTURES {
        pictures.push(draw(&engine, None, picture).await.expect("a picture"));
    }
    engine.close().await;
    pictures
}

fn place(site: &Site) -> (String, PathBuf) {
    (site.fleet().registry().to_owned(), site.fleet().pki("coordinator-c0"))
}

fn connect(registry: &str, pki: &std::path::Path) -> Engine {
    let identity = Identity::load(pki).expect("identity");
    Engine::connect(registry, identity).expect("engine")
}

/// Asks for a picture; gives its digest.
async fn draw(
    engine: &Engine,
    id: Option<&RequestId>,
    picture: usize,
) -> Result<String, CallError> {
    engine.wait_for_model(None, Duration::from_secs(5), |_| {}).await;
    let request = GenerationRequest {
        id: id.cloned(),
        prompt: "red heart".to_owned(),
        num_inference_steps: Some(10),
        seed: Some(picture as u64),
        deadline_ms: Some(DEADLINE.as_millis() as u64),
        ..GenerationRequest::default()
    };
    let output = engine.submit(request).await?.finish().await?;
    let image = output.items.into_iter().next();
    let missing = || CallError::new(ErrorKind::Internal, "a request without an item");
    Ok(image.ok_or_else(missing)??.sha256)
}
