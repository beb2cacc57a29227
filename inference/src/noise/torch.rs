//! torch's CPU generator: its seeding and how it fills a tensor with normal numbers.
//!
//! Facts from torch 2.15: ATen's `CPUGeneratorImpl`, `MT19937RNGEngine.h`,
//! `native/cpu/DistributionTemplates.h` (16 numbers and more), `core/DistributionsHelper.h` (fewer).

use super::box_muller;
use super::mt19937::Mt19937;

/// Below this many numbers torch draws one by one, in double precision.
const BLOCK: usize = 16;

/// `torch.Generator("cpu").manual_seed(seed)`.
#[derive(Clone)]
pub struct TorchGenerator {
    engine: Mt19937,
    /// The second number of the last pair, which torch keeps for the next scalar draw.
    kept: Option<f64>,
}

impl TorchGenerator {
    /// A generator seeded with `seed`; torch's engine takes its lower 32 bits, and so does this.
    pub fn new(seed: u64) -> Self {
        Self { engine: Mt19937::new(seed as u32), kept: None }
    }

    /// Fills `out` with unit normal numbers, as `torch.randn(out.len(), generator=…)`.
    ///
    /// From 16 numbers on these are the bits that torch 2.15 gives on x86-64 with AVX2; its other
    /// builds differ from those by up to 2e-6. Below 16 they equal torch's to the last bit of the
    /// C library's logarithm, sine and cosine. One call is one tensor: a tensor drawn in two
    /// halves is another one.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        if out.len() < BLOCK {
            out.iter_mut().for_each(|value| *value = self.next_normal() as f32);
            return;
        }
        out.iter_mut().for_each(|value| *value = self.next_uniform());
        let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().for_each(box_muller::sixteen);
        if !rest.is_empty() {
            // a partial last block is drawn anew, together with its neighbours before it
            if let Some(last) = out.last_chunk_mut::<BLOCK>() {
                last.iter_mut().for_each(|value| *value = self.next_uniform());
                box_muller::sixteen(last);
            }
        }
    }

    /// 24 random bits as a number from 0 to below 1.
    fn next_uniform(&mut self) -> f32 {
        const UNIT: f32 = 1.0 / (1 << 24) as f32;
        (self.engine.next_u32() & 0x00ff_ffff) as f32 * UNIT
    }

    /// 53 random bits as a number from 0 to below 1.
    fn next_uniform_double(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.engine.next_u64() & ((1 << 53) - 1)) as f64 * UNIT
    }

    fn next_normal(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let angle = self.next_uniform_double();
        let distance = self.next_uniform_double();
        let (now, later) = box_muller::pair(angle, distance);
        self.kept = Some(later);
        now
    }
}

impl std::fmt::Debug for TorchGenerator {
    /// Without the engine's 624 words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TorchGenerator").finish_non_exhaustive()
    }
}
