//! Guidance: two predictions into one.

/// Classifier-free guidance (Ho and Salimans 2022):
/// `unconditional + scale * (conditional - unconditional)`, in place of the first.
pub(super) fn guide(unconditional: &mut [f32], conditional: &[f32], scale: f32) {
    for (without, with) in unconditional.iter_mut().zip(conditional) {
        *without += scale * (with - *without);
    }
}

/// Brings a guided prediction back to the plain one's spread, by `share` (Lin et al. 2023, Common
/// Diffusion Noise Schedules and Sample Steps are Flawed, section 3.4).
pub(super) fn rescale(guided: &mut [f32], conditional: &[f32], share: f32) {
    let factor = deviation(conditional) / deviation(guided);
    let factor = share * factor + (1.0 - share);
    guided.iter_mut().for_each(|value| *value *= factor);
}

/// The standard deviation of a sample.
fn deviation(values: &[f32]) -> f32 {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    (squares / (count - 1.0).max(1.0)).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_one_gives_the_plain_spread_back() {
        let plain = [0.0, 1.0, 2.0, 3.0];
        let mut guided = [0.0, 5.0, 10.0, 15.0];
        rescale(&mut guided, &plain, 1.0);
        assert!((deviation(&guided) - deviation(&plain)).abs() < 1e-6);
        let mut same = [0.0, 5.0, 10.0, 15.0];
        rescale(&mut same, &plain, 0.0);
        assert_eq!(same, [0.0, 5.0, 10.0, 15.0]);
    }
}
