//! `NumPy`'s `.npy` format, version 1.0 (NEP 1): a short text header, then the bytes.

use crate::{Dtype, Error, Tensor};

/// The header is padded so that the data starts at a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes `tensor` as a `.npy` file.
pub(crate) fn encode(tensor: &Tensor) -> Result<Vec<u8>, Error> {
    tensor.check()?;
    let descr = match tensor.dtype {
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::U8 => "|u1",
    };
    // A Python tuple of one element needs its trailing comma; it does no harm to the others.
    let shape: String = tensor.shape.iter().map(|length| format!("{length}, ")).collect();
    let dict = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}",
        shape.trim_end()
    );
    let unpadded = 10 + dict.len() + 1;
    let total = unpadded.next_multiple_of(ALIGNMENT);
    let header = format!("{dict}{}\n", " ".repeat(total - unpadded));
    let length = u16::try_from(header.len()).map_err(|source| Error::Encoder {
        format: crate::OutputFormat::Npy,
        source: Box::new(source),
    })?;

    let mut out = Vec::with_capacity(total + tensor.data.len());
    out.extend_from_slice(b"\x93NUMPY\x01\x00");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&tensor.data);
    Ok(out)
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
    fn a_wrong_length_is_refused() {
        assert!(matches!(Tensor::f32(&[3], &[1.0]), Err(Error::Shape { needed: 12, got: 4, .. })));
    }
}
