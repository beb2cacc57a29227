//! Latents that a request brings along: another run's result, or noise of the caller's own.

use half::f16;
use hearth_media::npy;

use super::layout::Layout;

/// Numbers beyond this are no latents: those of a schedule's noisiest level are some hundreds.
const LARGEST: f32 = 1e6;

/// Latents as they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Latents {
    /// Their shape, with or without a batch axis of one: [channels, rows, columns], or Flux's
    /// packed [tokens, channels · 4]. Empty where only their number is known; they are planes then.
    pub(super) shape: Vec<usize>,
    /// The numbers, in C order.
    pub(super) values: Vec<f32>,
}

/// Why a file holds no latents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableLatents {
    /// Not a `NumPy` file, and not a whole number of elements.
    #[error("{0} bytes are no float32 numbers; give a .npy file")]
    Plain(usize),
    /// Not an array that can be used.
    #[error(transparent)]
    File(#[from] npy::Unreadable),
    /// Not floating-point numbers of this machine's order.
    #[error("its elements are {0}; save float32, as in numpy.save(file, a.astype('<f4'))")]
    Elements(String),
}

impl Latents {
    /// Reads a `NumPy` file, or plain float32 (little-endian) without a shape.
    ///
    /// # Errors
    /// [`UnreadableLatents`].
    pub(super) fn read(file: &[u8]) -> Result<Self, UnreadableLatents> {
        if !npy::is(file) {
            let values = numbers("<f4", file).ok_or(UnreadableLatents::Plain(file.len()))?;
            return Ok(Self { shape: Vec::new(), values });
        }
        let array = npy::decode(file)?;
        let values =
            numbers(&array.descr, array.data).ok_or(UnreadableLatents::Elements(array.descr))?;
        Ok(Self { shape: array.shape, values })
    }

    /// How they are called in messages.
    pub(super) fn shown(&self) -> String {
        if self.shape.is_empty() {
            return format!("of {} numbers", self.values.len());
        }
        let sides: Vec<_> = self.shape.iter().map(ToString::to_string).collect();
        format!("of {}", sides.join(" x "))
    }

    /// Rows and columns, where the shape says so.
    pub(super) fn size(&self, channels: usize) -> Option<[usize; 2]> {
        match *self.shape.as_slice() {
            [1, own, rows, columns] | [own, rows, columns] if own == channels => {
                Some([rows, columns])
            }
            _ => None,
        }
    }

    /// The layout that they have for a picture whose latents are of `shape` (channels, rows,
    /// columns), if it is one that the model's `layout` allows.
    fn fits(&self, layout: Layout, shape: [usize; 3]) -> Option<Layout> {
        let own = self.shape.as_slice();
        let is = |dims: &[usize]| own == dims || own.strip_prefix(&[1]) == Some(dims);
        match own.is_empty() {
            true => {
                (self.values.len() == shape.iter().product::<usize>()).then_some(Layout::Planes)
            }
            false if is(&shape) => Some(Layout::Planes),
            false if layout != Layout::Planes && is(&layout.dims(shape)) => Some(layout),
            false => None,
        }
    }

    /// The latents as planes of `shape`; none where they don't fit.
    pub(super) fn planes(&self, layout: Layout, shape: [usize; 3]) -> Option<Vec<f32>> {
        Some(match self.fits(layout, shape)? {
            Layout::Planes => self.values.clone(),
            packed => packed.unpack(&self.values, shape),
        })
    }

    /// Whether they are of `shape`, in a layout that the model's allows.
    pub(super) fn are(&self, layout: Layout, shape: [usize; 3]) -> bool {
        let whole =
            self.shape.is_empty() || self.shape.iter().product::<usize>() == self.values.len();
        whole && self.fits(layout, shape).is_some()
    }

    /// What is wrong with the numbers.
    pub(super) fn wrong(&self) -> Option<String> {
        let usual = |value: &f32| (-LARGEST..=LARGEST).contains(value);
        let wrong = self.values.iter().find(|value| !usual(value))?;
        Some(format!("{wrong} is among them; give finite numbers of at most {LARGEST}"))
    }
}

/// Floating-point numbers as `NumPy` calls them; none for other elements.
fn numbers(descr: &str, data: &[u8]) -> Option<Vec<f32>> {
    Some(match descr {
        "<f2" => whole(data)?.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        "<f4" => whole(data)?.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        "<f8" => whole(data)?.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        _ => return None,
    })
}

/// The bytes as elements of so many each, with none left over.
fn whole<const N: usize>(data: &[u8]) -> Option<&[[u8; N]]> {
    let (elements, rest) = data.as_chunks();
    rest.is_empty().then_some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [2, 2, 4];

    fn latents(shape: &[usize]) -> Latents {
        Latents { shape: shape.to_vec(), values: (0..16).map(|value| value as f32).collect() }
    }

    #[test]
    fn a_batch_of_one_and_no_shape_at_all_are_planes() {
        for shape in [&[][..], &[2, 2, 4], &[1, 2, 2, 4]] {
            let latents = latents(shape);
            assert_eq!(latents.planes(Layout::Planes, SHAPE).as_ref(), Some(&latents.values));
            assert!(latents.are(Layout::Packed, SHAPE) && latents.wrong().is_none());
        }
        assert_eq!(latents(&[1, 2, 2, 4]).size(2), Some([2, 4]));
        assert_eq!(latents(&[2, 8]).size(2), None);
    }

    #[test]
    fn packed_ones_are_for_models_that_pack() {
        let packed = latents(&[1, 2, 8]);
        assert!(!packed.are(Layout::Planes, SHAPE));
        let planes = packed.planes(Layout::Packed, SHAPE).unwrap();
        assert_eq!(Layout::Packed.packed(planes, SHAPE), packed.values);
    }

    #[test]
    fn other_shapes_and_numbers_are_refused() {
        for shape in [&[2, 4, 2][..], &[16], &[2, 2, 2, 4], &[1, 1, 2, 2, 4], &[4, 2, 4]] {
            assert!(!latents(shape).are(Layout::Packed, SHAPE), "{shape:?}");
        }
        for bad in [f32::NAN, f32::INFINITY, -1e30] {
            let mut latents = latents(&[2, 2, 4]);
            latents.values[3] = bad;
            assert!(latents.wrong().is_some(), "{bad}");
        }
    }

    #[test]
    fn files_of_numpy_and_plain_numbers_are_read() {
        let numbers = [1.5_f32, -2.0];
        let plain: Vec<u8> = numbers.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(Latents::read(&plain).unwrap().values, numbers);
        let halves = numbers.map(|value| f16::from_f32(value).to_le_bytes()).concat();
        let file = npy::encode_raw("<f2", &[1, 2], &halves).unwrap();
        let read = Latents::read(&file).unwrap();
        assert_eq!((read.shape.as_slice(), read.values.as_slice()), (&[1, 2][..], &numbers[..]));
        let refusal = |file: &[u8]| Latents::read(file).unwrap_err().to_string();
        assert!(refusal(&plain[..7]).contains("7 bytes are no float32 numbers"));
        let bytes = npy::encode_raw("|u1", &[2], &[1, 2]).unwrap();
        assert!(refusal(&bytes).contains("its elements are |u1; save float32"));
        assert!(refusal(&file[..file.len() - 1]).contains("save it again"));
    }
}
