//! Running a session once, with outputs that ONNX Runtime allocates.
//!
//! For graphs that run once per request. What runs at every step uses [`Bound`](super::Bound).

use std::borrow::Cow;
use std::time::Instant;

use super::buffer::{Buffer, output_f32};
use super::load::GraphSession;
use super::{Error, Interrupt, Session};

/// Elements for an input, cast to the type that the graph asks for.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Floating point.
    F32(&'a [f32]),
    /// Integers.
    I64(&'a [i64]),
}

/// One input of a run.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The input's name.
    pub name: &'a str,
    /// The length of each dimension.
    pub shape: &'a [usize],
    /// The elements, in row-major order.
    pub values: Values<'a>,
}

/// One output of a run, as single precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The elements, in row-major order.
    pub values: Vec<f32>,
}

impl Session {
    /// Runs the graph and returns the output called `output`.
    ///
    /// # Errors
    /// [`Error::Port`] for a name that the graph doesn't have, [`Error::Run`] if ONNX Runtime
    /// fails, [`Error::Interrupted`].
    pub fn run(
        &mut self,
        inputs: &[Input<'_>],
        output: &str,
        interrupt: &Interrupt,
    ) -> Result<Output, Error> {
        let [output] = self.run_for(inputs, [output], interrupt)?;
        Ok(output)
    }

    /// Runs the graph once and returns the outputs of those names.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_for<const N: usize>(
        &mut self,
        inputs: &[Input<'_>],
        outputs: [&str; N],
        interrupt: &Interrupt,
    ) -> Result<[Output; N], Error> {
        for name in outputs {
            self.output(name)?;
        }
        let buffers =
            inputs.iter().map(|input| self.buffer_of(input)).collect::<Result<Vec<_>, Error>>()?;
        let named: Vec<_> = inputs
            .iter()
            .zip(&buffers)
            .map(|(input, buffer)| (Cow::Borrowed(input.name), buffer.as_input()))
            .collect();

        let begun = Instant::now();
        let Self { name, loaded: GraphSession { session, options }, busy, .. } = self;
        let failed = |reason: String| Error::Run { graph: name.clone(), reason };
        let values = interrupt.during(options, || {
            session.run_with_options(named, &**options).map_err(|error| failed(error.to_string()))
        })?;
        *busy += begun.elapsed();
        let mut taken = outputs.map(|_| Output { shape: Vec::new(), values: Vec::new() });
        for (output, name) in taken.iter_mut().zip(outputs) {
            let (shape, values) = values
                .get(name)
                .and_then(output_f32)
                .ok_or_else(|| failed(format!("output {name} is not a floating-point tensor")))?;
            *output = Output { shape, values };
        }
        Ok(taken)
    }

    fn buffer_of(&self, input: &Input<'_>) -> Result<Buffer, Error> {
        let dtype = self.input(input.name)?.dtype;
        let elements: usize = input.shape.iter().product();
        let given = match input.values {
            Values::F32(values) => values.len(),
            Values::I64(values) => values.len(),
        };
        if elements != given {
            return Err(self.port_error(format!(
                "input {} of shape {:?} needs {elements} values, got {given}",
                input.name, input.shape
            )));
        }
        let mut buffer = Buffer::new(dtype, input.shape).map_err(|error| self.run_error(&error))?;
        match input.values {
            Values::F32(values) => buffer.write_f32(0, values),
            Values::I64(values) => buffer.write_i64(values),
        }
        Ok(buffer)
    }
}
