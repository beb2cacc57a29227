//! Raw numbers in memory.

use hearth_api::tensor::Dtype;

use crate::Error;

/// A dense array in row-major (C) order, elements little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Element type.
    pub dtype: Dtype,
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements' bytes.
    pub data: Vec<u8>,
}

impl Tensor {
    /// A single-precision tensor of `values`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values doesn't fit the shape.
    pub fn f32(shape: &[usize], values: &[f32]) -> Result<Self, Error> {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = Self { dtype: Dtype::F32, shape: shape.to_vec(), data };
        tensor.check()?;
        Ok(tensor)
    }

    /// A single-precision tensor of one dimension.
    #[must_use]
    pub fn list(values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: vec![values.len()], data }
    }

    /// The elements of a single-precision tensor, in order; `None` for another.
    #[must_use]
    pub fn values(&self) -> Option<Vec<f32>> {
        let (elements, rest) = self.data.as_chunks();
        (self.dtype == Dtype::F32 && rest.is_empty())
            .then(|| elements.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let needed = self.shape.iter().product::<usize>() * self.dtype.size() as usize;
        if self.data.len() == needed {
            return Ok(());
        }
        let shape = self.shape.clone();
        Err(Error::Shape { what: "a tensor", shape, needed, got: self.data.len() })
    }
}
