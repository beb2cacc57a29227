//! Evenly spaced numbers, as the two libraries that diffusers computes with round them.

/// `count` numbers from `start` to `stop`, as `numpy.linspace` has them.
pub(crate) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    if count < 2 {
        return vec![start; count];
    }
    let step = (stop - start) / (count - 1) as f64;
    let mut values: Vec<f64> = (0..count).map(|index| index as f64 * step + start).collect();
    values[count - 1] = stop;
    values
}

/// `count` numbers from `start` to `stop`, as `torch.linspace` in single precision has them: from
/// the start in the first half, from the end in the second, with fused multiplications.
pub(crate) fn linspace_f32(start: f64, stop: f64, count: usize) -> Vec<f32> {
    let (start, stop) = (start as f32, stop as f32);
    if count == 1 {
        return vec![start];
    }
    let step = (stop - start) / (count - 1) as f32;
    let at = |index: usize| {
        if index < count / 2 {
            step.mul_add(index as f32, start)
        } else {
            step.mul_add(-((count - index - 1) as f32), stop)
        }
    };
    (0..count).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linspace_meets_both_ends() {
        assert_eq!(linspace_f32(0.1, 0.3, 1), [0.1]);
        let values = linspace_f32(0.0001, 0.02, 1000);
        assert_eq!((values[0], values[999]), (0.0001, 0.02));
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
