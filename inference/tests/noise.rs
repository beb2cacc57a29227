//! torch's normal numbers, against draws recorded from torch (`vectors/noise.json`).

use hearth_inference::noise::TorchGenerator;
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
    draws: Vec<Draw>,
}

#[derive(Deserialize)]
struct Draw {
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

fn compare(draw: &Draw, drawn: &[f32], what: &str) {
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
