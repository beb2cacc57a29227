//! A tensor that ONNX Runtime can use in place, in the element type that the session asks for.

use half::f16;
use half::slice::HalfFloatSliceExt;
use hearth_api::tensor::Dtype;
use ort::memory::Allocator;
use ort::session::{IoBinding, SessionInputValue};
use ort::value::{DynValue, Tensor};

/// Host memory of a fixed shape, reused from run to run.
#[derive(Debug)]
pub(super) enum Buffer {
    F32(Tensor<f32>),
    F16(Tensor<f16>),
    I64(Tensor<i64>),
    I32(Tensor<i32>),
}

impl Buffer {
    /// Zeroed memory of `shape`.
    pub(super) fn new(dtype: Dtype, shape: &[usize]) -> ort::Result<Self> {
        Self::of(&Allocator::default(), dtype, shape)
    }

    /// Memory of another allocator; its elements are out of reach where that is a GPU's.
    pub(super) fn of(allocator: &Allocator, dtype: Dtype, shape: &[usize]) -> ort::Result<Self> {
        Ok(match dtype {
            Dtype::F32 => Self::F32(Tensor::new(allocator, shape.to_vec())?),
            Dtype::F16 => Self::F16(Tensor::new(allocator, shape.to_vec())?),
            Dtype::I64 => Self::I64(Tensor::new(allocator, shape.to_vec())?),
            Dtype::I32 => Self::I32(Tensor::new(allocator, shape.to_vec())?),
            other => {
                return Err(ort::Error::new(format!(
                    "no model has memory of type {}",
                    other.numpy_name()
                )));
            }
        })
    }

    /// The elements themselves, where they are single precision.
    pub(super) fn f32_mut(&mut self) -> Option<&mut [f32]> {
        match self {
            Self::F32(tensor) => Some(tensor.extract_tensor_mut().1),
            _ => None,
        }
    }

    /// Writes `values` from element `at` on, cast to the element type (integers truncate).
    pub(super) fn write_f32(&mut self, at: usize, values: &[f32]) {
        let range = at..at + values.len();
        match self {
            Self::F32(tensor) => tensor.extract_tensor_mut().1[range].copy_from_slice(values),
            Self::F16(tensor) => {
                tensor.extract_tensor_mut().1[range].convert_from_f32_slice(values);
            }
            Self::I64(tensor) => {
                cast(&mut tensor.extract_tensor_mut().1[range], values, truncate64);
            }
            Self::I32(tensor) => {
                cast(&mut tensor.extract_tensor_mut().1[range], values, truncate32);
            }
        }
    }

    /// Writes `value` into every element, cast to the element type (integers truncate).
    pub(super) fn fill_f32(&mut self, value: f32) {
        match self {
            Self::F32(tensor) => tensor.extract_tensor_mut().1.fill(value),
            Self::F16(tensor) => tensor.extract_tensor_mut().1.fill(f16::from_f32(value)),
            Self::I64(tensor) => tensor.extract_tensor_mut().1.fill(truncate64(value)),
            Self::I32(tensor) => tensor.extract_tensor_mut().1.fill(truncate32(value)),
        }
    }

    /// Writes `values` from the first element on, cast to the element type.
    pub(super) fn write_i64(&mut self, values: &[i64]) {
        let range = ..values.len();
        match self {
            Self::F32(tensor) => {
                cast(&mut tensor.extract_tensor_mut().1[range], values, to_single);
            }
            Self::F16(tensor) => {
                cast(&mut tensor.extract_tensor_mut().1[range], values, |v| {
                    f16::from_f32(to_single(v))
                });
            }
            Self::I64(tensor) => tensor.extract_tensor_mut().1[range].copy_from_slice(values),
            Self::I32(tensor) => {
                cast(&mut tensor.extract_tensor_mut().1[range], values, saturate32);
            }
        }
    }

    /// Reads the elements from `at` on into `out`, as single precision.
    pub(super) fn read_f32(&self, at: usize, out: &mut [f32]) {
        let range = at..at + out.len();
        match self {
            Self::F32(tensor) => out.copy_from_slice(&tensor.extract_tensor().1[range]),
            Self::F16(tensor) => tensor.extract_tensor().1[range].convert_to_f32_slice(out),
            Self::I64(tensor) => cast(out, &tensor.extract_tensor().1[range], to_single),
            Self::I32(tensor) => {
                cast(out, &tensor.extract_tensor().1[range], |v| to_single(i64::from(v)));
            }
        }
    }

    /// Whether all elements are numbers.
    pub(super) fn is_finite(&self) -> bool {
        match self {
            Self::F32(tensor) => tensor.extract_tensor().1.iter().all(|value| value.is_finite()),
            Self::F16(tensor) => tensor.extract_tensor().1.iter().all(|value| value.is_finite()),
            Self::I64(_) | Self::I32(_) => true,
        }
    }

    pub(super) fn bind_as_input(&self, binding: &mut IoBinding, name: &str) -> ort::Result<()> {
        match self {
            Self::F32(tensor) => binding.bind_input(name, tensor),
            Self::F16(tensor) => binding.bind_input(name, tensor),
            Self::I64(tensor) => binding.bind_input(name, tensor),
            Self::I32(tensor) => binding.bind_input(name, tensor),
        }
    }

    pub(super) fn bind_as_output(
        &mut self,
        binding: &mut IoBinding,
        name: &str,
    ) -> ort::Result<()> {
        match self {
            Self::F32(tensor) => binding.bind_output(name, tensor),
            Self::F16(tensor) => binding.bind_output(name, tensor),
            Self::I64(tensor) => binding.bind_output(name, tensor),
            Self::I32(tensor) => binding.bind_output(name, tensor),
        }
    }

    pub(super) fn as_input(&self) -> SessionInputValue<'_> {
        match self {
            Self::F32(tensor) => tensor.into(),
            Self::F16(tensor) => tensor.into(),
            Self::I64(tensor) => tensor.into(),
            Self::I32(tensor) => tensor.into(),
        }
    }
}

/// The elements of a session's output as single precision; `None` for another element type.
pub(super) fn output_f32(value: &DynValue) -> Option<(Vec<usize>, Vec<f32>)> {
    let usizes = |shape: &ort::value::Shape| {
        shape.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect()
    };
    if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
        return Some((usizes(shape), data.to_vec()));
    }
    let (shape, data) = value.try_extract_tensor::<f16>().ok()?;
    Some((usizes(shape), data.to_f32_vec()))
}

fn cast<A: Copy, B>(to: &mut [B], from: &[A], convert: impl Fn(A) -> B) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = convert(from);
    }
}

// The casts below are those of torch's `Tensor.to`: toward zero, and rounding to nearest.

fn truncate64(value: f32) -> i64 {
    value as i64
}

fn truncate32(value: f32) -> i32 {
    value as i32
}

fn to_single(value: i64) -> f32 {
    value as f32
}

/// Token ids are far below the limit; a value beyond it becomes an id the graph refuses.
fn saturate32(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
