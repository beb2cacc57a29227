//! Steps along the slope of the probability-flow ODE (Karras et al. 2022): Euler's, Heun's and the
//! midpoint method's, and the split of an ancestral step.

use super::memory::Snapshot;
use super::prediction::Prediction;
use super::rule::Step;

/// Follows the slope at noise level `sigma` over `change` (negative: towards less noise).
pub(crate) fn descend(prediction: Prediction, sigma: f32, change: f32, step: &mut Step<'_>) {
    step.map(|x, output| x + prediction.slope(sigma, output, x) * change);
}

/// A call of Heun's second-order method: an Euler step, then the same step along the mean of the
/// slopes at both its ends. `slope` is that of a sample and the model's output.
pub(crate) fn heun_call(mut step: Step<'_>, state: &mut Snapshot, slope: impl Fn(f32, f32) -> f32) {
    let (here, next) = step.sigmas();
    if step.begins() {
        state.begin(step.sample);
        state.slope.clear();
        let pairs = step.sample.iter().zip(step.output);
        state.slope.extend(pairs.map(|(x, output)| slope(*x, *output)));
        let change = next - here;
        step.sample.iter_mut().zip(&state.slope).for_each(|(x, slope)| *x += slope * change);
        return;
    }
    let change = here - step.schedule.sigmas[step.call - 1];
    step.map(&slope);
    for (x, (start, first)) in step.sample.iter_mut().zip(state.start.iter().zip(&state.slope)) {
        *x = start + (first + *x) / 2.0 * change;
    }
}

/// A call of the midpoint method: moves by `change` along the slope at level `at`, from here where
/// the step begins, or from where it began.
pub(crate) fn midpoint_call(
    prediction: Prediction,
    at: f32,
    change: f32,
    step: &mut Step<'_>,
    state: &mut Snapshot,
) {
    if step.begins() {
        state.begin(step.sample);
    }
    step.map(|x, output| prediction.slope(at, output, x));
    for (x, start) in step.sample.iter_mut().zip(&state.start) {
        *x = start + *x * change;
    }
}

/// The descent and the fresh noise of an ancestral step between two levels: down² + up² = to².
pub(crate) fn ancestral_split(from: f32, to: f32) -> (f32, f32) {
    let (from, to) = (from * from, to * to);
    let up = (to * (from - to) / from).max(0.0).sqrt();
    ((to - up * up).max(0.0).sqrt(), up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_and_noise_make_up_the_target_level() {
        for (from, to) in [(14.6_f32, 10.0_f32), (4096.0, 20.0), (0.1, 0.03), (0.03, 0.0)] {
            let (down, up) = ancestral_split(from, to);
            assert!((down.hypot(up) - to).abs() <= 1e-6 * to, "{from} to {to}: {down}, {up}");
        }
    }
}
