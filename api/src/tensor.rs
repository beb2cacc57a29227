//! Tensors on the wire: a header in the message, the elements as an attachment's raw bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Element type of a tensor; elements are little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// Signed 64 bits.
    I64,
    /// Signed 32 bits.
    I32,
    /// Unsigned 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// IEEE 754 binary64.
    F64,
    /// Signed 8 bits.
    I8,
    /// Signed 16 bits.
    I16,
    /// Unsigned 16 bits.
    U16,
    /// Unsigned 32 bits.
    U32,
    /// Unsigned 64 bits.
    U64,
}

impl Dtype {
    /// All element types.
    pub const ALL: [Self; 12] = [
        Self::F32,
        Self::F16,
        Self::I64,
        Self::I32,
        Self::U8,
        Self::Bool,
        Self::F64,
        Self::I8,
        Self::I16,
        Self::U16,
        Self::U32,
        Self::U64,
    ];

    /// `NumPy`'s name of it, as in `float32`.
    #[must_use]
    pub fn numpy_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::F64 => "float64",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Self::I64 | Self::U64 | Self::F64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::I16 | Self::U16 => 2,
            Self::U8 | Self::I8 | Self::Bool => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::U8 => "u8",
            Self::Bool => "bool",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
        })
    }
}

/// What an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorHeader {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, slowest first (row major); none for a scalar.
    pub shape: Vec<u64>,
}

/// Why a header is not a tensor's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// Too many dimensions.
    #[error("a tensor has {0} dimensions, at most {max} are allowed", max = limits::TENSOR_RANK)]
    Rank(usize),
    /// The shape's size is beyond the limit of a message.
    #[error("shape {0:?} is larger than {max} bytes", max = limits::PAYLOAD)]
    TooLarge(Vec<u64>),
    /// The attachment's length is not the shape's.
    #[error("shape {shape:?} of {dtype} takes {expected} bytes, the attachment has {found}")]
    Length {
        /// Dimensions.
        shape: Vec<u64>,
        /// Element type.
        dtype: Dtype,
        /// Bytes that the shape takes.
        expected: u64,
        /// Bytes of the attachment.
        found: u64,
    },
}

impl TensorHeader {
    /// Bytes that the elements take.
    ///
    /// # Errors
    /// [`TensorError::Rank`] and [`TensorError::TooLarge`].
    pub fn byte_len(&self) -> Result<u64, TensorError> {
        if self.shape.len() > limits::TENSOR_RANK {
            return Err(TensorError::Rank(self.shape.len()));
        }
        let elements = self.shape.iter().try_fold(self.dtype.size(), |n, &d| n.checked_mul(d));
        match elements {
            Some(bytes) if bytes <= limits::PAYLOAD => Ok(bytes),
            _ => Err(TensorError::TooLarge(self.shape.clone())),
        }
    }

    /// Checks that an attachment of `found` bytes holds this tensor.
    ///
    /// # Errors
    /// [`TensorError`].
    pub fn check_len(&self, found: u64) -> Result<(), TensorError> {
        let expected = self.byte_len()?;
        if expected == found {
            return Ok(());
        }
        Err(TensorError::Length { shape: self.shape.clone(), dtype: self.dtype, expected, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_overflows_is_refused() {
        let header = |shape: &[u64]| TensorHeader { dtype: Dtype::F32, shape: shape.to_vec() };
        assert_eq!(header(&[]).byte_len(), Ok(4));
        assert_eq!(header(&[2, 3]).byte_len(), Ok(24));
        assert_eq!(header(&[2, 0]).byte_len(), Ok(0));
        assert!(header(&[u64::MAX, 2]).byte_len().is_err());
        assert!(header(&[1; 9]).byte_len().is_err());
        assert!(header(&[2, 3]).check_len(23).is_err());
    }
}
