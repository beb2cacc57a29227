//! The device a worker computes on, and the execution provider that stands for it.

use std::fmt;
use std::str::FromStr;

use ort::ep::{CPU, CUDA, ExecutionProviderDispatch};

use super::Error;

/// A compute device, named as in the worker's config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The host's processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(u16),
}

impl Device {
    /// Reads `cpu` or `cuda:I`.
    ///
    /// # Errors
    /// [`Error::UnknownDevice`] names the known ones.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDevice { name: name.to_owned() };
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }

    /// The provider to register. It fails rather than fall back to another device.
    pub(super) fn provider(self) -> ExecutionProviderDispatch {
        match self {
            Self::Cpu => CPU::default().with_arena_allocator(true).build().error_on_failure(),
            Self::Cuda(index) => {
                CUDA::default().with_device_id(i32::from(index)).build().error_on_failure()
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_refused() {
        assert_eq!(Device::parse("cpu").unwrap(), Device::Cpu);
        assert_eq!(Device::parse("cuda:3").unwrap(), Device::Cuda(3));
        for name in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CPU"] {
            let error = Device::parse(name).unwrap_err().to_string();
            assert!(error.contains("cpu, cuda:I"), "{error}");
        }
    }
}
