//! The weights of UniPC's updates (Zhao et al. 2023, equations 3, 5 and 9).
//!
//! In single precision and in torch's order of operations where that decides the last digits: the
//! φ functions lose them to cancellation when steps are short.

use crate::schedulers::levels::Level;

/// The greatest order that the paper gives numbers for.
pub(crate) const MAX_ORDER: usize = 3;

/// What the weights are made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base {
    /// B(h) = h instead of e^h − 1.
    pub(crate) linear: bool,
    /// Whether predictions are of the clean sample, not the noise.
    pub(crate) clean: bool,
}

/// x' = keep·x − along·m₀ − scale·(Σ ρᵢ·(mᵢ − m₀)/rᵢ + ρ·(m − m₀)), with m₀ the prediction where
/// the step begins, mᵢ those before, and m the one at its end (for the corrector).
pub(crate) struct Weights {
    keep: f32,
    along: f32,
    scale: f32,
    order: usize,
    /// rᵢ and ρᵢ of the earlier predictions.
    ratios: [f32; MAX_ORDER - 1],
    rhos: [f32; MAX_ORDER - 1],
    /// ρ of the prediction at the step's end.
    end_rho: f32,
}

/// What both kinds start from.
struct Parts {
    weights: Weights,
    /// The equations R·ρ = b.
    matrix: [[f64; MAX_ORDER]; MAX_ORDER],
    right: [f64; MAX_ORDER],
}

impl Weights {
    /// The weights of the step from `past(0)` to `to`.
    pub(crate) fn predictor<'a>(
        base: Base,
        past: impl Fn(usize) -> &'a Level,
        to: &Level,
        order: usize,
    ) -> Self {
        let Parts { mut weights, matrix, right } = parts(base, past, to, order);
        weights.rhos = match order {
            1 => [0.0; 2],
            2 => [0.5, 0.0],
            _ => {
                let [first, second, _] = solve(matrix, right, order - 1);
                [first as f32, second as f32]
            }
        };
        weights
    }

    /// The weights of the same step, taken again with the prediction at its end.
    pub(crate) fn corrector<'a>(
        base: Base,
        past: impl Fn(usize) -> &'a Level,
        to: &Level,
        order: usize,
    ) -> Self {
        let Parts { mut weights, matrix, right } = parts(base, past, to, order);
        if order == 1 {
            weights.end_rho = 0.5;
            return weights;
        }
        let solved = solve(matrix, right, order);
        weights.end_rho = solved[order - 1] as f32;
        for (rho, solved) in weights.rhos.iter_mut().zip(&solved[..order - 1]) {
            *rho = *solved as f32;
        }
        weights
    }

    pub(crate) fn is_finite(&self) -> bool {
        let earlier = self.order - 1;
        let Self { keep, along, scale, end_rho, .. } = self;
        // a ratio may be infinite: its difference then weighs nothing
        [keep, along, scale, end_rho]
            .into_iter()
            .chain(&self.rhos[..earlier])
            .all(|x| x.is_finite())
            && self.ratios[..earlier].iter().all(|ratio| *ratio != 0.0 && !ratio.is_nan())
    }

    /// Replaces `x`, where the step begins, by its end.
    pub(crate) fn apply(
        &self,
        predictions: [&[f32]; MAX_ORDER],
        end: Option<&[f32]>,
        x: &mut [f32],
    ) {
        let Self { keep, along, scale, ratios, rhos, .. } = *self;
        let [m0, earlier @ ..] = predictions;
        for (index, x) in x.iter_mut().enumerate() {
            let m0 = m0[index];
            let mut change = 0.0;
            let differences = ratios.iter().zip(&rhos).zip(&earlier);
            for ((ratio, rho), earlier) in differences.take(self.order - 1) {
                change += rho * ((earlier[index] - m0) / ratio);
            }
            if let Some(end) = end {
                change += self.end_rho * (end[index] - m0);
            }
            *x = keep * *x - along * m0 - scale * change;
        }
    }
}

fn parts<'a>(base: Base, past: impl Fn(usize) -> &'a Level, to: &Level, order: usize) -> Parts {
    let from = past(0);
    let h = to.lambda - from.lambda;
    let mut ratios = [1.0; MAX_ORDER];
    for (index, ratio) in ratios.iter_mut().enumerate().take(order - 1) {
        *ratio = (past(index + 1).lambda - from.lambda) / h;
    }
    ratios[order - 1] = 1.0;

    let hh = if base.clean { -h } else { h };
    let phi_1 = hh.exp_m1();
    let scale = if base.linear { hh } else { hh.exp_m1() };
    let (mut matrix, mut right) = ([[0.0; MAX_ORDER]; MAX_ORDER], [0.0; MAX_ORDER]);
    let (mut phi, mut factorial) = (phi_1 / hh - 1.0, 1.0_f32);
    for (row, power) in (0..order).zip(0_i32..) {
        for (entry, ratio) in matrix[row].iter_mut().zip(&ratios) {
            *entry = f64::from(ratio.powi(power));
        }
        right[row] = f64::from(phi * factorial / scale);
        factorial *= (power + 2) as f32;
        phi = phi / hh - 1.0 / factorial;
    }
    let (keep, outer) = if base.clean {
        (to.sigma / from.sigma, to.alpha)
    } else {
        (to.alpha / from.alpha, to.sigma)
    };
    let weights = Weights {
        keep,
        along: outer * phi_1,
        scale: outer * scale,
        order,
        ratios: [ratios[0], ratios[1]],
        rhos: [0.0; MAX_ORDER - 1],
        end_rho: 0.0,
    };
    Parts { weights, matrix, right }
}

/// Solves the first `size` equations by elimination, the largest pivot first.
fn solve(
    mut matrix: [[f64; MAX_ORDER]; MAX_ORDER],
    mut right: [f64; MAX_ORDER],
    size: usize,
) -> [f64; MAX_ORDER] {
    for column in 0..size {
        let largest = (column..size)
            .max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))
            .unwrap_or(column);
        matrix.swap(column, largest);
        right.swap(column, largest);
        for row in 0..size {
            if row == column {
                continue;
            }
            let factor = matrix[row][column] / matrix[column][column];
            let pivot = matrix[column];
            for (entry, pivot) in matrix[row].iter_mut().zip(pivot) {
                *entry -= factor * pivot;
            }
            right[row] -= factor * right[column];
        }
    }
    let mut solution = [0.0; MAX_ORDER];
    for (row, value) in solution.iter_mut().enumerate().take(size) {
        *value = right[row] / matrix[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn elimination_solves_what_needs_a_pivot() {
        let matrix = [[0.0, 2.0, 1.0], [1.0, 1.0, 1.0], [4.0, 0.0, -1.0]];
        let solution = solve(matrix, [7.0, 6.0, 1.0], 3);
        for (found, expected) in solution.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12, "{solution:?}");
        }
    }
}
