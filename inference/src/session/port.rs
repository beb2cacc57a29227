//! What a graph says about its inputs and outputs.

use std::fmt;

use ort::value::{Outlet, TensorElementType, ValueType};

/// An element type that our graphs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::I64 => "int64",
            Self::I32 => "int32",
        })
    }
}

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

    pub(super) fn read(outlet: &Outlet) -> Result<Self, String> {
        let name = outlet.name().to_owned();
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return Err(format!("{name} is not a tensor"));
        };
        let dtype = match ty {
            TensorElementType::Float32 => Dtype::F32,
            TensorElementType::Float16 => Dtype::F16,
            TensorElementType::Int64 => Dtype::I64,
            TensorElementType::Int32 => Dtype::I32,
            other => {
                return Err(format!(
                    "{name} has elements of type {other}; known: float32, float16, int64, int32"
                ));
            }
        };
        let dims = shape.iter().map(|&length| usize::try_from(length).ok()).collect();
        Ok(Self { name, dtype, dims })
    }
}
