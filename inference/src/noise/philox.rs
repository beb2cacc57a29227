//! torch's CUDA generator: Philox 4x32-10 (Salmon et al. 2011) and how `torch.randn` fills a tensor
//! with its numbers on a GPU.
//!
//! Facts from torch 2.15 (`ATen/native/cuda/DistributionTemplates.h`) and cuRAND's documentation:
//! a grid of blocks of 256 threads, each with a sequence of its own, makes four numbers at a time
//! that land a grid apart. Only tensors with more numbers than the device runs threads at once
//! depend on the device: a stream is that of an H100 or H200, wherever it is made.

use std::f32::consts::TAU;

/// Threads that an H100 or H200 runs at once: 132 multiprocessors of 2048 each.
const H100_THREADS: u64 = 132 * 2048;
const BLOCK: u64 = 256;
/// Numbers of one Philox output.
const UNROLL: u64 = 4;

/// `torch.Generator("cuda").manual_seed(seed)`.
#[derive(Debug, Clone)]
pub struct CudaGenerator {
    seed: u64,
    /// Threads that the device runs at once.
    resident: u64,
    /// 32-bit numbers that each sequence has behind it.
    offset: u64,
}

impl CudaGenerator {
    /// A generator seeded with `seed`, on an H100 or H200.
    pub fn new(seed: u64) -> Self {
        Self::on_device(seed, H100_THREADS)
    }

    /// A generator on a device that runs `resident` threads at once: the number of its
    /// multiprocessors times the threads of each, at least 256.
    pub fn on_device(seed: u64, resident: u64) -> Self {
        Self { seed, resident: resident.max(BLOCK) / BLOCK * BLOCK, offset: 0 }
    }

    /// Fills `out` with unit normal numbers, as `torch.randn(out.len(), device="cuda")`. Half
    /// precision tensors hold the same numbers, rounded.
    ///
    /// One call is one tensor: a tensor drawn in two halves is another one.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        let count = out.len() as u64;
        if count == 0 {
            return;
        }
        let threads = (count.div_ceil(BLOCK) * BLOCK).min(self.resident);
        let rounds = count.div_ceil(threads * UNROLL);
        for thread in 0..threads.min(count) {
            for round in 0..rounds {
                let numbers = self.four(thread, round);
                let first = round * threads * UNROLL + thread;
                for (number, place) in numbers.into_iter().zip((first..).step_by(threads as usize))
                {
                    if let Some(value) = usize::try_from(place).ok().and_then(|i| out.get_mut(i)) {
                        *value = number;
                    }
                }
            }
        }
        self.offset += rounds * UNROLL;
    }

    /// The `round`th four normal numbers of a thread's sequence.
    fn four(&self, thread: u64, round: u64) -> [f32; 4] {
        let counter = self.offset / UNROLL + round;
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        let ([low, high], [sequence, above]) = (halves(counter), halves(thread));
        let [a, b, c, d] = philox([low, high, sequence, above], halves(self.seed));
        let ((first, second), (third, fourth)) = (box_muller(a, b), box_muller(c, d));
        [first, second, third, fourth]
    }
}

/// Ten rounds of Philox 4x32.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
    const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let (first, second) = (MULTIPLIERS[0] * u64::from(a), MULTIPLIERS[1] * u64::from(c));
        counter = [
            (second >> 32) as u32 ^ b ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ d ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A pair of normal numbers from two words, as cuRAND makes it: the sine's first.
fn box_muller(radius: u32, angle: u32) -> (f32, f32) {
    /// 2⁻³² as a single.
    const UNIT: f32 = 2.328_306_4e-10;
    const TURN: f32 = UNIT * TAU;
    let uniform = (radius as f32).mul_add(UNIT, UNIT / 2.0);
    let angle = (angle as f32).mul_add(TURN, TURN / 2.0);
    let radius = (-2.0 * uniform.ln()).sqrt();
    let (sine, cosine) = angle.sin_cos();
    (sine * radius, cosine * radius)
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// Known answers of the Random123 library (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        let answers = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, answer) in answers {
            assert_eq!(philox(counter, key), answer);
        }
    }
}
