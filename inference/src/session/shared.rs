//! Memory that one graph writes and another reads, so that what passes between them is not copied:
//! on the CPU both have the same addresses, on a GPU it stays there.

use hearth_api::tensor::Dtype;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};

use super::buffer::Buffer;
use super::{Bound, Device, Error, Session};

/// Memory for one tensor, bound to an output of one session and to inputs of others.
#[derive(Debug)]
pub struct SharedTensor(Buffer);

impl SharedTensor {
    /// Whether none of its elements is infinite or no number. For memory of the processor's; what is
    /// in that of a GPU is out of reach.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.0.is_finite()
    }
}

impl Session {
    /// Memory where this session computes.
    ///
    /// # Errors
    /// [`Error::Run`] if there is no such memory left.
    pub fn shared(&self, dtype: Dtype, shape: &[usize]) -> Result<SharedTensor, Error> {
        let made = match self.device() {
            Device::Cpu => Buffer::new(dtype, shape),
            Device::Cuda(index) => MemoryInfo::new(
                AllocationDevice::CUDA,
                i32::from(index),
                AllocatorType::Device,
                MemoryType::Default,
            )
            .and_then(|place| Allocator::new(&self.loaded.session, place))
            .and_then(|allocator| Buffer::of(&allocator, dtype, shape)),
        };
        made.map(SharedTensor).map_err(|error| self.run_error(&error))
    }

    /// Zeros, wherever they lie: they are read once.
    ///
    /// # Errors
    /// [`Error::Run`] if there is no memory left.
    pub fn zeros(&self, dtype: Dtype, shape: &[usize]) -> Result<SharedTensor, Error> {
        Buffer::new(dtype, shape).map(SharedTensor).map_err(|error| self.run_error(&error))
    }

    /// Has the graph read its input `name` from `memory` from the next run on, until another is
    /// named.
    ///
    /// # Errors
    /// [`Error::Run`] if ONNX Runtime refuses the memory.
    pub fn read_from(
        &self,
        bound: &mut Bound,
        name: &str,
        memory: &SharedTensor,
    ) -> Result<(), Error> {
        memory.0.bind_as_input(bound.binding(), name).map_err(|error| self.run_error(&error))
    }

    /// Has the graph write its output `name` into `memory`.
    ///
    /// # Errors
    /// [`Error::Run`] if ONNX Runtime refuses the memory.
    pub fn write_to(
        &self,
        bound: &mut Bound,
        name: &str,
        memory: &mut SharedTensor,
    ) -> Result<(), Error> {
        memory.0.bind_as_output(bound.binding(), name).map_err(|error| self.run_error(&error))
    }
}
