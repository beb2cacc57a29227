//! One Brownian motion over noise levels, as torchsde's `BrownianInterval` draws it for diffusers'
//! `BrownianTreeNoiseSampler`.
//!
//! The motion is a binary tree over the range of levels: a node knows the motion's increment over
//! its stretch, and splits it at the middle by a Brownian bridge whose noise has a seed of its
//! own. So an increment depends on the seed and its two ends alone, never on what was asked
//! before.

use hearth_api::request::NoiseDevice;

use std::collections::HashMap;

use super::seed_sequence::seeds;
use super::{CudaGenerator, TorchGenerator};

/// A stretch of a Brownian motion over noise levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// The range of the whole motion.
    pub least: f32,
    /// Its upper end.
    pub most: f32,
    /// The level that a step leaves, and the one it goes to.
    pub from: f32,
    /// As `from`; either may be the greater one.
    pub to: f32,
    /// A seed instead of the image's.
    pub seed: Option<u64>,
}

/// Ends of stretches are rounded to this many decimals, so that the tree is of finite depth.
const DECIMALS: usize = 6;

/// The motion of one image, and the splits that the newest question went through: the next one
/// has an end in common with it. At most two for each level of the tree, some fifty.
#[derive(Debug, Clone, Default)]
pub(super) struct Motion {
    /// Whose numbers the nodes have.
    device: NoiseDevice,
    whose: Option<Identity>,
    splits: HashMap<NodeKey, Vec<f32>>,
    /// Room for the next question's.
    next: HashMap<NodeKey, Vec<f32>>,
    spare: Vec<Vec<f32>>,
}

/// What a motion's values hang on: seed, range and number of values.
type Identity = (u64, f32, f32, usize);
/// A node's place in the tree: path and depth.
type NodeKey = (u64, u64);

impl Motion {
    /// The motion as the device's generator draws it: torchsde takes the sample's.
    pub(super) fn on(device: NoiseDevice) -> Self {
        Self { device, ..Self::default() }
    }

    /// Fills `out` with the motion's increment over `stretch`, scaled to unit variance; with the
    /// sign of the way: k-diffusion's samplers go down.
    pub(super) fn fill(&mut self, seed: u64, stretch: &Stretch, out: &mut [f32]) {
        let Stretch { least, most, from, to, seed: other } = *stretch;
        let seed = other.unwrap_or(seed);
        let identity = (seed, least, most, out.len());
        if self.whose.replace(identity) != Some(identity) {
            self.splits.clear();
            self.spare.clear();
        }
        let (low, high) = if from < to { (from, to) } else { (to, from) };
        let sign = if from < to { 1.0 } else { -1.0 };
        let [known, asked] = [&mut self.splits, &mut self.next].map(std::mem::take);
        let spare = std::mem::take(&mut self.spare);
        let mut tree = Tree { device: self.device, seed, out, started: false, known, asked, spare };
        tree.increment(f64::from(least), f64::from(most), f64::from(low), f64::from(high));
        let Tree { started, mut known, asked, mut spare, out, .. } = tree;
        spare.extend(known.drain().map(|(_, split)| split));
        (self.splits, self.next, self.spare) = (asked, known, spare);
        let root = (to - from).abs().sqrt();
        for value in out {
            *value = if started { *value * sign / root } else { 0.0 };
        }
    }
}

struct Tree<'a> {
    device: NoiseDevice,
    seed: u64,
    out: &'a mut [f32],
    /// Whether `out` holds a part of the sum already.
    started: bool,
    /// Left parts of nodes: of the question before, and of this one.
    known: HashMap<NodeKey, Vec<f32>>,
    asked: HashMap<NodeKey, Vec<f32>>,
    /// Memory that is used again; what is in it has no meaning.
    spare: Vec<Vec<f32>>,
}

/// A node of the tree: its stretch, and its place as a path and a depth.
#[derive(Clone, Copy)]
struct Node {
    start: f64,
    end: f64,
    path: u64,
    depth: u64,
}

impl Tree<'_> {
    /// Adds up the increments of the nodes that make up `from` to `to`.
    fn increment(&mut self, least: f64, most: f64, from: f64, to: f64) {
        let (start, end) = (round(least), round(most));
        // a stretch beyond the motion's range is cut to it
        let (from, to) = (round(from.clamp(start, end)), round(to.clamp(start, end)));
        if from >= to {
            return;
        }
        let [first, _, _] = seeds::<3>(self.seed, &[]);
        let mut whole = self.room();
        self.draw(first, &mut whole);
        let deviation = (most - least).sqrt() as f32;
        whole.iter_mut().for_each(|value| *value *= deviation);
        self.visit(Node { start, end, path: 0, depth: 0 }, whole, from, to);
    }

    /// Adds the part of `node`, whose increment is `whole`, that lies between `from` and `to`.
    fn visit(&mut self, node: Node, whole: Vec<f32>, from: f64, to: f64) {
        let Node { start, end, path, depth } = node;
        if from <= start && end <= to {
            let fresh = !std::mem::replace(&mut self.started, true);
            for (sum, part) in self.out.iter_mut().zip(&whole) {
                *sum = if fresh { *part } else { *sum + part };
            }
            self.spare.push(whole);
            return;
        }
        let middle = round(0.5 * (end + start));
        if middle <= start || middle >= end {
            self.spare.push(whole);
            return;
        }
        let left = self.left_part(node, middle, &whole);
        if to > middle {
            let mut right = whole;
            right.iter_mut().zip(&left).for_each(|(right, left)| *right -= left);
            let right_node = Node { start: middle, end, path: 2 * path + 1, depth: depth + 1 };
            if from < middle {
                let left_node = Node { start, end: middle, path: 2 * path, depth: depth + 1 };
                self.visit(left_node, left, from, to);
            } else {
                self.spare.push(left);
            }
            self.visit(right_node, right, from, to);
        } else {
            self.spare.push(whole);
            self.visit(
                Node { start, end: middle, path: 2 * path, depth: depth + 1 },
                left,
                from,
                to,
            );
        }
    }

    /// The increment over the first half of `node`: its share of the whole, and a bridge's noise.
    fn left_part(&mut self, node: Node, middle: f64, whole: &[f32]) -> Vec<f32> {
        let place = (node.path, node.depth);
        let left = match self.known.remove(&place) {
            Some(left) => left,
            None => self.split(node, middle, whole),
        };
        let mut kept = self.room();
        kept.copy_from_slice(&left);
        self.asked.insert(place, kept);
        left
    }

    fn draw(&self, seed: u32, out: &mut [f32]) {
        match self.device {
            NoiseDevice::Cpu => TorchGenerator::new(u64::from(seed)).fill_normal(out),
            NoiseDevice::Cuda => CudaGenerator::new(u64::from(seed)).fill_normal(out),
        }
    }

    /// Memory for as many values as are asked for.
    fn room(&mut self) -> Vec<f32> {
        self.spare.pop().unwrap_or_else(|| vec![0.0; self.out.len()])
    }

    fn split(&mut self, node: Node, middle: f64, whole: &[f32]) -> Vec<f32> {
        let [noise_seed, ..] = seeds::<4>(self.seed, &[node.path, node.depth]);
        let mut left = self.room();
        self.draw(noise_seed, &mut left);
        let (before, after) = (middle - node.start, node.end - middle);
        let reciprocal = 1.0 / (node.end - node.start);
        let deviation = (before * after * reciprocal).sqrt() as f32;
        let (before, reciprocal) = (before as f32, reciprocal as f32);
        for (left, whole) in left.iter_mut().zip(whole) {
            *left = before * whole * reciprocal + deviation * *left;
        }
        left
    }
}

/// To the nearest number of [`DECIMALS`] decimals, as Python's `round`.
fn round(value: f64) -> f64 {
    format!("{value:.DECIMALS$}").parse().unwrap_or(value)
}
