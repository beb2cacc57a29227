//! Running a session again and again with the same memory (IO binding).
//!
//! Inputs and outputs keep their place from step to step: on the CPU the graph reads and writes
//! them directly, on a GPU only inputs that were written since the last run are copied over.

use std::time::Instant;

use ort::session::IoBinding;

use super::buffer::Buffer;
use super::load::GraphSession;
use super::{Device, Error, Interrupt, Session};

/// Memory bound to a session's inputs and outputs, of fixed shapes.
///
/// Inputs and outputs are addressed by their place in the lists given to [`Session::bind`].
#[derive(Debug)]
pub struct Bound {
    binding: IoBinding,
    /// The graph reads our memory itself, so that binding it once is enough.
    aliased: bool,
    inputs: Vec<BoundInput>,
    outputs: Vec<Buffer>,
}

#[derive(Debug)]
struct BoundInput {
    name: String,
    buffer: Buffer,
    /// To be handed to the device before the next run.
    fresh: bool,
}

impl Session {
    /// Binds memory of the given shapes to the named inputs and outputs.
    ///
    /// # Errors
    /// [`Error::Port`] for a name that the graph doesn't have, [`Error::Run`] if ONNX Runtime
    /// refuses the memory.
    pub fn bind(
        &self,
        inputs: &[(&str, &[usize])],
        outputs: &[(&str, &[usize])],
    ) -> Result<Bound, Error> {
        let failed = |error: ort::Error| self.run_error(&error);
        let mut bound = Bound {
            binding: self.loaded.session.create_binding().map_err(failed)?,
            aliased: self.device() == Device::Cpu,
            inputs: Vec::with_capacity(inputs.len()),
            outputs: Vec::with_capacity(outputs.len()),
        };
        for &(name, shape) in inputs {
            let buffer = Buffer::new(self.input(name)?.dtype, shape).map_err(failed)?;
            bound.inputs.push(BoundInput { name: name.to_owned(), buffer, fresh: true });
        }
        for &(name, shape) in outputs {
            let mut buffer = Buffer::new(self.output(name)?.dtype, shape).map_err(failed)?;
            buffer.bind_as_output(&mut bound.binding, name).map_err(failed)?;
            bound.outputs.push(buffer);
        }
        Ok(bound)
    }

    /// Runs the graph on the bound memory.
    ///
    /// # Errors
    /// [`Error::Run`] if ONNX Runtime fails, [`Error::Interrupted`].
    pub fn run_bound(&mut self, bound: &mut Bound, interrupt: &Interrupt) -> Result<(), Error> {
        let begun = Instant::now();
        let Self { name, loaded: GraphSession { session, options }, busy, .. } = self;
        let failed =
            |error: ort::Error| Error::Run { graph: name.clone(), reason: error.to_string() };
        let Bound { binding, inputs, .. } = bound;
        for input in inputs.iter_mut().filter(|input| input.fresh) {
            input.buffer.bind_as_input(binding, &input.name).map_err(failed)?;
            input.fresh = false;
        }
        let result = interrupt.during(options, || {
            session.run_binding_with_options(binding, options).map(drop).map_err(failed)
        });
        *busy += begun.elapsed();
        result
    }
}

impl Bound {
    /// Writes `values` into input `index` from element `at` on, cast to its element type.
    pub fn write(&mut self, index: usize, at: usize, values: &[f32]) {
        let input = &mut self.inputs[index];
        input.buffer.write_f32(at, values);
        input.fresh |= !self.aliased;
    }

    /// Writes `value` into every element of input `index`, cast to its element type.
    pub fn fill(&mut self, index: usize, value: f32) {
        let input = &mut self.inputs[index];
        input.buffer.fill_f32(value);
        input.fresh |= !self.aliased;
    }

    /// Input `index` itself, where it is single precision, to be written in place.
    pub fn in_place(&mut self, index: usize) -> Option<&mut [f32]> {
        let input = &mut self.inputs[index];
        input.fresh |= !self.aliased;
        input.buffer.f32_mut()
    }

    /// Reads output `index` from element `at` on into `out`, as single precision.
    pub fn read(&self, index: usize, at: usize, out: &mut [f32]) {
        self.outputs[index].read_f32(at, out);
    }

    pub(super) fn binding(&mut self) -> &mut IoBinding {
        &mut self.binding
    }
}
