//! Noise, against draws recorded from torch and torchsde, and what people's GPUs printed
//! (`vectors/noise*.json`, made by `tools/vectors/noise*.py`).

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

use hearth_api::request::NoiseDevice;
use hearth_inference::noise::{CudaGenerator, Draw, NoiseStream, Stretch, TorchGenerator};
use serde::Deserialize;

/// What the C library's last bits may change below 16 numbers; from 16 on the bits are equal.
const TOLERANCE: f32 = 1e-6;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    seed: String,
    draws: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    shape: Vec<usize>,
    sum: f64,
    sum_of_squares: f64,
    #[serde(default)]
    values: Vec<f32>,
    #[serde(default)]
    first: Vec<f32>,
    #[serde(default)]
    last: Vec<f32>,
}

#[test]
fn every_draw_equals_torchs() {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/noise.json")).unwrap();
    assert!(vectors.cases.len() > 30);
    for case in &vectors.cases {
        let mut generator = TorchGenerator::new(case.seed.parse().unwrap());
        for (index, draw) in case.draws.iter().enumerate() {
            let what = format!("seed {}, draw {index} of {:?}", case.seed, draw.shape);
            let mut drawn = vec![0.0; draw.shape.iter().product()];
            generator.fill_normal(&mut drawn);
            compare(draw, &drawn, &what);
        }
    }
}

fn compare(draw: &Recorded, drawn: &[f32], what: &str) {
    let count = drawn.len();
    let recorded = draw.values.iter().zip(drawn);
    let first = draw.first.iter().zip(drawn);
    let last = draw.last.iter().zip(&drawn[count - draw.last.len()..]);
    for (torchs, ours) in recorded.chain(first).chain(last) {
        if count < 16 {
            assert!((torchs - ours).abs() <= TOLERANCE, "{what}: {ours} for {torchs}");
        } else {
            assert_eq!(torchs.to_bits(), ours.to_bits(), "{what}: {ours} for {torchs}");
        }
    }
    let sum: f64 = drawn.iter().copied().map(f64::from).sum();
    let squares: f64 = drawn.iter().map(|value| f64::from(*value).powi(2)).sum();
    let slack = 1e-6 * count as f64;
    assert!((sum - draw.sum).abs() < slack, "{what}: sum {sum} for {}", draw.sum);
    assert!((squares - draw.sum_of_squares).abs() < slack, "{what}: squares {squares}");
}

#[derive(Deserialize)]
struct CudaVectors {
    published: Vec<Published>,
    cases: Vec<CudaCase>,
}

/// What a GPU printed, to four digits.
#[derive(Deserialize)]
struct Published {
    seed: String,
    threads: u64,
    before: Vec<usize>,
    count: usize,
    scale: f64,
    shift: f64,
    /// A place, and the numbers from there on.
    places: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct CudaCase {
    seed: String,
    threads: u64,
    draws: Vec<CudaDraw>,
}

#[derive(Deserialize)]
struct CudaDraw {
    count: usize,
    places: Vec<usize>,
    values: Vec<f32>,
}

fn cuda_vectors() -> CudaVectors {
    serde_json::from_str(include_str!("vectors/noise_cuda.json")).unwrap()
}

#[test]
fn cuda_draws_equal_the_numbers_that_gpus_printed() {
    for Published { seed, threads, before, count, scale, shift, places } in cuda_vectors().published
    {
        let mut generator = CudaGenerator::on_device(seed.parse().unwrap(), threads);
        for earlier in before {
            generator.fill_normal(&mut vec![0.0; earlier]);
        }
        let mut drawn = vec![0.0; count];
        generator.fill_normal(&mut drawn);
        for numbers in places {
            let place = numbers[0] as usize;
            for (ours, printed) in drawn[place..].iter().zip(&numbers[1..]) {
                let ours = f64::from(*ours) * scale + shift;
                let apart = (ours - printed).abs();
                assert!(
                    apart < 6e-5 * scale.max(1.0),
                    "seed {seed}, {place}: {ours} for {printed}"
                );
            }
        }
    }
}

#[test]
fn cuda_draws_equal_the_kernels_model() {
    for CudaCase { seed, threads, draws } in cuda_vectors().cases {
        let mut generator = CudaGenerator::on_device(seed.parse().unwrap(), threads);
        for CudaDraw { count, places, values } in draws {
            let mut drawn = vec![0.0; count];
            generator.fill_normal(&mut drawn);
            for (place, expected) in places.iter().zip(values) {
                let ours = drawn[*place];
                assert!(
                    (ours - expected).abs() <= TOLERANCE * 2.0,
                    "{seed}, {count}, {place}: {ours}"
                );
            }
        }
    }
}

#[derive(Deserialize)]
struct BrownianVectors {
    cases: Vec<BrownianCase>,
}

#[derive(Deserialize)]
struct BrownianCase {
    seed: String,
    count: usize,
    least: f32,
    most: f32,
    stretches: Vec<(f32, f32, Vec<f32>)>,
}

#[test]
fn brownian_increments_equal_torchsdes() {
    let json = include_str!("vectors/noise_brownian.json");
    let vectors: BrownianVectors = serde_json::from_str(json).unwrap();
    for BrownianCase { seed, count, least, most, stretches } in vectors.cases {
        let seed = seed.parse().unwrap();
        let mut stream = NoiseStream::new(seed);
        for (from, to, values) in stretches {
            let mut drawn = vec![0.0; count];
            let stretch = Stretch { least, most, from, to, seed: None };
            stream.fill(Draw::Brownian(stretch), &mut drawn);
            for (ours, expected) in drawn.iter().zip(&values) {
                let slack = 1e-5 * expected.abs().max(1.0);
                assert!(
                    (ours - expected).abs() <= slack,
                    "{seed}, {from} to {to}: {ours}, {expected}"
                );
            }
        }
    }
}

#[test]
fn what_was_asked_before_changes_no_increment() {
    let stretch = |from, to| Stretch { least: 0.03, most: 14.6, from, to, seed: None };
    let wanted = [(14.6, 5.0), (5.0, 2.0), (14.6, 2.0), (2.0, 0.5), (5.0, 4.999), (14.6, 5.0)];
    let mut stream = NoiseStream::new(42);
    for (from, to) in wanted {
        let (mut asked, mut fresh) = ([0.0; 20], [0.0; 20]);
        stream.fill(Draw::Brownian(stretch(from, to)), &mut asked);
        NoiseStream::new(42).fill(Draw::Brownian(stretch(from, to)), &mut fresh);
        assert_eq!(asked, fresh, "{from} to {to}");
    }
    let (mut asked, mut fresh) = ([0.0; 20], [0.0; 20]);
    let other = Stretch { seed: Some(7), ..stretch(14.6, 5.0) };
    stream.fill(Draw::Brownian(other), &mut asked);
    // a scheduler's own seed counts before the image's
    NoiseStream::new(7).fill(Draw::Brownian(stretch(14.6, 5.0)), &mut fresh);
    assert_eq!(asked, fresh);
}

#[test]
fn a_streams_device_decides_its_numbers() {
    let four = |mut stream: NoiseStream| {
        let mut drawn = [0.0; 4];
        stream.fill(Draw::Normal, &mut drawn);
        drawn
    };
    let cpu = four(NoiseStream::new(42));
    assert_eq!(cpu, four(NoiseStream::on(NoiseDevice::Cpu, 42)));
    assert!((cpu[0] - 0.3367).abs() < 1e-4, "{cpu:?}");
    let cuda = four(NoiseStream::on(NoiseDevice::Cuda, 42));
    assert!((cuda[0] - 0.1940).abs() < 1e-4, "{cuda:?}");
}
