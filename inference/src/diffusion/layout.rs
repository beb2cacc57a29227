//! How latents lie in memory.

/// How latents lie in memory, for the denoiser and between steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// [channels, rows, columns]
    Planes,
    /// [rows/2 · columns/2, channels · 4]: each token has a square of two by two cells, channel by
    /// channel (Flux).
    Packed,
}

impl Layout {
    /// The denoiser's sample, without the axis of copies.
    pub(super) fn dims(self, [channels, rows, columns]: [usize; 3]) -> Vec<usize> {
        match self {
            Self::Planes => vec![channels, rows, columns],
            Self::Packed => vec![rows / 2 * (columns / 2), channels * 4],
        }
    }

    /// Planes to this layout, where it is another.
    pub(super) fn packed(self, planes: Vec<f32>, shape: [usize; 3]) -> Vec<f32> {
        match self {
            Self::Planes => planes,
            Self::Packed => self.pack(&planes, shape),
        }
    }

    /// Planes to this layout.
    fn pack(self, planes: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut packed = vec![0.0; planes.len()];
        self.each(shape, |plane, place| packed[place] = planes[plane]);
        packed
    }

    /// This layout to planes.
    pub(super) fn unpack(self, packed: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut planes = vec![0.0; packed.len()];
        self.each(shape, |plane, place| planes[plane] = packed[place]);
        planes
    }

    /// Each element's index among planes and its index in this layout.
    fn each(self, [channels, rows, columns]: [usize; 3], mut visit: impl FnMut(usize, usize)) {
        for channel in 0..channels {
            for row in 0..rows {
                for column in 0..columns {
                    let plane = (channel * rows + row) * columns + column;
                    visit(
                        plane,
                        match self {
                            Self::Planes => plane,
                            Self::Packed => {
                                let token = row / 2 * (columns / 2) + column / 2;
                                token * channels * 4 + channel * 4 + row % 2 * 2 + column % 2
                            }
                        },
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn packing_takes_squares_of_two_by_two() {
        let planes: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let packed = Layout::Packed.pack(&planes, [2, 2, 4]);
        let wanted = [0., 1., 4., 5., 8., 9., 12., 13., 2., 3., 6., 7., 10., 11., 14., 15.];
        assert_eq!(packed, wanted);
        assert_eq!(Layout::Packed.unpack(&packed, [2, 2, 4]), planes);
    }
}
