//! What a graph says about its inputs and outputs.

use std::fmt;

use hearth_api::tensor::Dtype;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::brief::{VALUE, brief};

/// An input or output of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// The length of each dimension; `None` where the graph leaves it open.
    pub dims: Vec<Option<usize>>,
}

impl Port {
    /// The number of dimensions; 0 is a scalar.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Whether a tensor of this type and shape fits.
    #[must_use]
    pub fn accepts(&self, dtype: Dtype, shape: &[usize]) -> bool {
        let fits = |(dim, length): (&Option<usize>, &usize)| dim.is_none_or(|dim| dim == *length);
        self.dtype == dtype
            && self.dims.len() == shape.len()
            && self.dims.iter().zip(shape).all(fits)
    }

    /// Its name as it stands in messages.
    pub(crate) fn shown_name(&self) -> String {
        brief(self.name.clone(), VALUE)
    }

    pub(super) fn no_tensor(name: &str) -> String {
        let name = brief(name.to_owned(), VALUE);
        format!("{name} is not a tensor; export the graph with tensors alone")
    }

    pub(super) fn unknown_type(name: &str, other: impl fmt::Display) -> String {
        let name = brief(name.to_owned(), VALUE);
        format!(
            "{name} has elements of type {other}; export it in float32 or float16 (known: float16 to \
             float64, int8 to int64, uint8 to uint64, bool)"
        )
    }

    pub(super) fn read(outlet: &Outlet) -> Result<Self, String> {
        let name = outlet.name().to_owned();
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return Err(Self::no_tensor(&name));
        };
        let dtype = match ty {
            TensorElementType::Float32 => Dtype::F32,
            TensorElementType::Float16 => Dtype::F16,
            TensorElementType::Int64 => Dtype::I64,
            TensorElementType::Int32 => Dtype::I32,
            TensorElementType::Uint8 => Dtype::U8,
            TensorElementType::Bool => Dtype::Bool,
            TensorElementType::Float64 => Dtype::F64,
            TensorElementType::Int8 => Dtype::I8,
            TensorElementType::Int16 => Dtype::I16,
            TensorElementType::Uint16 => Dtype::U16,
            TensorElementType::Uint32 => Dtype::U32,
            TensorElementType::Uint64 => Dtype::U64,
            other => return Err(Self::unknown_type(&name, other)),
        };
        let dims = shape.iter().map(|&length| usize::try_from(length).ok()).collect();
        Ok(Self { name, dtype, dims })
    }
}

/// As in `sample float32 [?, 4, ?, ?]`.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, form(self.dtype, self.dims.iter().map(Option::as_ref)))
    }
}

/// A type and a shape, open dimensions as `?`.
pub(super) fn form<'a>(dtype: Dtype, dims: impl Iterator<Item = Option<&'a usize>>) -> String {
    let dim = |dim: Option<&usize>| dim.map_or_else(|| "?".to_owned(), ToString::to_string);
    format!("{} [{}]", dtype.numpy_name(), dims.map(dim).collect::<Vec<_>>().join(", "))
}
