//! What a graph says about its inputs and outputs.

use std::fmt;

use ort::value::{Outlet, TensorElementType, ValueType};

use crate::brief::{VALUE, brief};

/// An element type of a graph's tensor. Pipelines use the first four.
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
    /// Unsigned byte.
    U8,
    /// Truth value.
    Bool,
    /// Double precision.
    F64,
    /// 8-bit integer.
    I8,
    /// 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::I16 | Self::U16 => 2,
            Self::U8 | Self::I8 | Self::Bool => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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

    /// Whether a tensor of this type and shape fits.
    #[must_use]
    pub fn accepts(&self, dtype: Dtype, shape: &[usize]) -> bool {
        let fits = |(dim, length): (&Option<usize>, &usize)| dim.is_none_or(|dim| dim == *length);
        self.dtype == dtype
            && self.dims.len() == shape.len()
            && self.dims.iter().zip(shape).all(fits)
    }

    /// Its name as it stands in messages.
    pub(super) fn shown_name(&self) -> String {
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
    format!("{dtype} [{}]", dims.map(dim).collect::<Vec<_>>().join(", "))
}
