//! `NumPy`'s `.npy` format (NEP 1): a short text header, then the bytes. Version 1.0 is written, 1.0 to
//! 3.0 are read.

use hearth_api::request::OutputFormat;
use hearth_api::tensor::Dtype;

use crate::{Error, Tensor};

/// The header is padded so that the data starts at a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes `tensor` as a `.npy` file.
pub(crate) fn encode(tensor: &Tensor) -> Result<Vec<u8>, Error> {
    tensor.check()?;
    encode_raw(descr(tensor.dtype), &tensor.shape, &tensor.data)
}

/// How `NumPy` writes an element type, as in `<f4`.
#[must_use]
pub fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::F64 => "<f8",
        Dtype::I8 => "|i1",
        Dtype::I16 => "<i2",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::U8 => "|u1",
        Dtype::U16 => "<u2",
        Dtype::U32 => "<u4",
        Dtype::U64 => "<u8",
        Dtype::Bool => "|b1",
    }
}

/// Writes elements of any type, which `descr` names as `NumPy` does (`<f4`, `|b1`), in C order.
///
/// # Errors
/// [`Error::Encoder`] for a shape whose text is longer than a header may be.
pub fn encode_raw(descr: &str, shape: &[usize], data: &[u8]) -> Result<Vec<u8>, Error> {
    // A Python tuple of one element needs its trailing comma; it does no harm to the others.
    let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let dict = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        shape.trim_end()
    );
    let unpadded = 10 + dict.len() + 1;
    let total = unpadded.next_multiple_of(ALIGNMENT);
    let header = format!("{dict}{}\n", " ".repeat(total - unpadded));
    let length = u16::try_from(header.len())
        .map_err(|source| Error::Encoder { format: OutputFormat::Npy, source: Box::new(source) })?;

    let mut out = Vec::with_capacity(total + data.len());
    out.extend_from_slice(b"\x93NUMPY\x01\x00");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    Ok(out)
}

/// Whether a file's bytes start like this format.
#[must_use]
pub fn is(file: &[u8]) -> bool {
    file.starts_with(b"\x93NUMPY")
}

/// An array in a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<'a> {
    /// Element type, as in `<f4`.
    pub descr: String,
    /// The length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements in C order.
    pub data: &'a [u8],
}

/// Why a file is not an array that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not this format.
    #[error("no .npy file: save it with numpy.save")]
    Format,
    /// Columns come first.
    #[error("in Fortran order: save numpy.ascontiguousarray of it")]
    Fortran,
    /// The elements are not as many as the header says.
    #[error("{found} bytes of elements, its header says {expected}: save it again")]
    Length {
        /// By the header.
        expected: usize,
        /// There.
        found: usize,
    },
}

/// Reads an array.
///
/// # Errors
/// [`Unreadable`].
pub fn decode(file: &[u8]) -> Result<Array<'_>, Unreadable> {
    let (header, data) = split(file).ok_or(Unreadable::Format)?;
    let value = |key: &str| {
        let at = header.find(&format!("'{key}':"))?;
        Some(header[at + key.len() + 3..].trim_start())
    };
    let descr = value("descr").and_then(|rest| rest.strip_prefix('\'')?.split_once('\''));
    let (descr, _) = descr.ok_or(Unreadable::Format)?;
    let shape = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or(Unreadable::Format)?;
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|length| !length.is_empty())
        .map(|length| length.parse().map_err(|_| Unreadable::Format))
        .collect::<Result<Vec<usize>, _>>()?;
    let fortran = value("fortran_order").ok_or(Unreadable::Format)?;
    if fortran.starts_with("True") && shape.len() > 1 {
        return Err(Unreadable::Fortran);
    }
    let size: usize =
        descr.get(2..).and_then(|size| size.parse().ok()).ok_or(Unreadable::Format)?;
    let expected = shape.iter().try_fold(size, |bytes, &length| bytes.checked_mul(length));
    let expected = expected.ok_or(Unreadable::Format)?;
    if data.len() != expected {
        return Err(Unreadable::Length { expected, found: data.len() });
    }
    Ok(Array { descr: descr.to_owned(), shape, data })
}

/// The header's text and what follows it.
fn split(file: &[u8]) -> Option<(&str, &[u8])> {
    let rest = file.strip_prefix(b"\x93NUMPY")?;
    let (&[major, _], rest) = rest.split_first_chunk()?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_numpys_header() {
        let bytes = encode(&Tensor::f32(&[2], &[1.0, -2.0]).unwrap()).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % ALIGNMENT, 0);
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"));
        assert!(header.ends_with('\n'));
        assert_eq!(&bytes[10 + length..], [0, 0, 128, 63, 0, 0, 0, 192]);
    }

    #[test]
    fn scalars_and_matrices_have_python_tuples() {
        let header = |shape: &[usize]| {
            let tensor = Tensor {
                dtype: Dtype::U8,
                shape: shape.to_vec(),
                data: vec![0; shape.iter().product()],
            };
            String::from_utf8_lossy(&encode(&tensor).unwrap()[10..]).into_owned()
        };
        assert!(header(&[]).contains("'shape': (), "));
        assert!(header(&[2, 3]).contains("'shape': (2, 3,), "));
    }

    #[test]
    fn what_is_written_is_read_and_every_cut_is_noticed() {
        let data: Vec<u8> = (0..24).collect();
        for shape in [&[][..], &[3], &[2, 3], &[0, 5]] {
            let bytes = 4 * shape.iter().product::<usize>();
            let file = encode_raw("<f4", shape, &data[..bytes]).unwrap();
            let array = decode(&file).unwrap();
            assert_eq!((array.descr.as_str(), &array.shape[..]), ("<f4", shape));
            assert_eq!(array.data, &data[..bytes]);
            for cut in 0..file.len() {
                assert!(decode(&file[..cut]).is_err(), "cut at {cut}");
            }
        }
        let fortran = encode_raw("<f4", &[2, 3], &data).unwrap();
        let fortran = String::from_utf8_lossy(&fortran[10..]).replace("False", "True ");
        let file = [b"\x93NUMPY\x01\x00\x76\x00", fortran.as_bytes()].concat();
        assert_eq!(decode(&file), Err(Unreadable::Fortran));
        let huge = encode_raw("<f8", &[usize::MAX, 2], &[]).unwrap();
        assert_eq!(decode(&huge), Err(Unreadable::Format));
    }

    #[test]
    fn a_wrong_length_is_refused() {
        assert!(matches!(Tensor::f32(&[3], &[1.0]), Err(Error::Shape { needed: 12, got: 4, .. })));
    }
}
