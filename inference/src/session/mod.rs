//! ONNX Runtime: the library, its devices, sessions and their interruption.
//!
//! The only home of `ort` in the workspace: no type of it leaves this module. What a graph
//! means (which input is a timestep) is the models' knowledge, not this module's.

mod bound;
mod buffer;
mod cast;
mod device;
mod elf;
mod error;
mod form;
mod graph;
mod header;
mod interrupt;
mod kernels;
mod library;
mod load;
pub mod onnx;
mod options;
mod port;
mod proto;
mod raw;
mod recast;
mod run;
mod shared;
mod spread;
mod threads;
mod value_info;
mod walk;
mod widen;

pub use self::bound::Bound;
pub use self::cast::Cast;
pub use self::device::Device;
pub use self::error::{Error, Interruption};
pub use self::graph::Graph;
pub use self::header::{Header, Operator};
pub use self::interrupt::Interrupt;
pub use self::kernels::{Judgement, judge};
pub use self::library::{Runtime, Search, find};
pub use self::load::Session;
pub use self::port::Port;
pub use self::raw::{RawInput, RawOutput};
pub use self::run::{Input, Output, Values};
pub use self::shared::SharedTensor;
