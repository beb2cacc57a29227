//! Any graph with any tensors: bytes in, bytes out, every output as the graph makes it.
//!
//! For callers that know the graph themselves. What they give is checked against what the graph
//! says of its inputs before it runs; elements are little endian and in row-major order.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Instant;

use half::f16;
use hearth_api::tensor::Dtype;
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};

use super::load::GraphSession;
use super::{Error, Interrupt, Port, Session};

/// A tensor for one of a graph's inputs.
#[derive(Debug, Clone, Copy)]
pub struct RawInput<'a> {
    /// The input's name.
    pub name: &'a str,
    /// Element type.
    pub dtype: Dtype,
    /// The length of each dimension; none for a scalar.
    pub shape: &'a [usize],
    /// The elements.
    pub data: &'a [u8],
}

/// One of a graph's outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawOutput {
    /// The output's name.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// The length of each dimension; none for a scalar.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<u8>,
}

impl Session {
    /// Runs the graph and returns the outputs called `wanted`; all, in the graph's order, where none
    /// are named. More than `limit` bytes of them are an error.
    ///
    /// # Errors
    /// [`Error::Input`] for an input that is missing, unknown, there twice or of another type or
    /// shape than the graph says, [`Error::Port`] for an unknown output, [`Error::Run`],
    /// [`Error::OutputTooLarge`], [`Error::Interrupted`].
    pub fn infer(
        &mut self,
        inputs: &[RawInput<'_>],
        wanted: &[String],
        limit: u64,
        interrupt: &Interrupt,
    ) -> Result<Vec<RawOutput>, Error> {
        let inputs: Vec<_> = inputs.iter().map(|input| self.listed(*input)).collect();
        let inputs = inputs.as_slice();
        self.check_inputs(inputs)?;
        for name in wanted {
            self.output(name)?;
        }
        let ports: Vec<Port> = match wanted {
            [] => self.outputs().to_vec(),
            names => {
                names.iter().map(|name| self.output(name).cloned()).collect::<Result<_, _>>()?
            }
        };
        let failed = |error: ort::Error| self.run_error(&error);
        let values = inputs
            .iter()
            .map(|input| Ok((Cow::Borrowed(input.name), value(input).map_err(failed)?.into())))
            .collect::<Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>, Error>>()?;

        let begun = Instant::now();
        let Self { name, loaded: GraphSession { session, options }, busy, .. } = self;
        let failed = |reason: String| Error::Run { graph: name.clone(), reason };
        let outputs = interrupt.during(options, || {
            session.run_with_options(values, &**options).map_err(|error| failed(error.to_string()))
        })?;
        *busy += begun.elapsed();
        let mut left = limit;
        let mut read = |port: &Port| {
            let value = outputs.get(&port.name);
            let value = value.ok_or_else(|| failed(format!("it gave no output {}", port.name)))?;
            output(port, value, &mut left).map_err(|fault| match fault {
                Fault::TooLarge => Error::OutputTooLarge { graph: name.clone(), limit },
                Fault::Other(reason) => failed(reason),
            })
        };
        ports.iter().map(&mut read).collect()
    }

    /// A scalar as a list of one, where the graph's file has a scalar and the session takes a list.
    fn listed<'a>(&self, input: RawInput<'a>) -> RawInput<'a> {
        match self.spread.as_deref() == Some(input.name) && input.shape.is_empty() {
            true => RawInput { shape: &[1], ..input },
            false => input,
        }
    }

    fn check_inputs(&self, inputs: &[RawInput<'_>]) -> Result<(), Error> {
        let bad = |name: &str, reason: String| {
            Err(Error::Input { graph: self.name.clone(), name: name.to_owned(), reason })
        };
        for (index, input) in inputs.iter().enumerate() {
            let Some(port) = self.inputs().iter().find(|port| port.name == input.name) else {
                return bad(
                    input.name,
                    format!("the graph has none of it; it takes {}", self.takes()),
                );
            };
            if inputs[..index].iter().any(|other| other.name == input.name) {
                return bad(input.name, "it is given twice".to_owned());
            }
            if !port.accepts(input.dtype, input.shape) {
                let given = super::port::form(input.dtype, input.shape.iter().map(Some));
                return bad(input.name, format!("it is {given}; the graph takes {port}"));
            }
            let bytes =
                input.shape.iter().try_fold(input.dtype.size() as usize, |n, &d| n.checked_mul(d));
            if bytes != Some(input.data.len()) {
                let given = input.data.len();
                return bad(input.name, format!("{given} bytes are not those of its shape"));
            }
        }
        let given = |port: &&Port| inputs.iter().all(|input| input.name != port.name);
        match self.inputs().iter().find(given) {
            Some(port) => {
                bad(&port.name, format!("it is missing; the graph takes {}", self.takes()))
            }
            None => Ok(()),
        }
    }

    fn takes(&self) -> String {
        let ports: Vec<_> = self.inputs().iter().map(ToString::to_string).collect();
        crate::brief::names(ports.iter().map(String::as_str))
    }
}

enum Fault {
    TooLarge,
    Other(String),
}

fn output(port: &Port, value: &DynValue, left: &mut u64) -> Result<RawOutput, Fault> {
    let (shape, data) = match port.dtype {
        Dtype::F32 => bytes::<f32>(value, left),
        Dtype::F16 => bytes::<f16>(value, left),
        Dtype::I64 => bytes::<i64>(value, left),
        Dtype::I32 => bytes::<i32>(value, left),
        Dtype::U8 => bytes::<u8>(value, left),
        Dtype::Bool => bytes::<bool>(value, left),
        Dtype::F64 => bytes::<f64>(value, left),
        Dtype::I8 => bytes::<i8>(value, left),
        Dtype::I16 => bytes::<i16>(value, left),
        Dtype::U16 => bytes::<u16>(value, left),
        Dtype::U32 => bytes::<u32>(value, left),
        Dtype::U64 => bytes::<u64>(value, left),
    }?;
    Ok(RawOutput { name: port.name.clone(), dtype: port.dtype, shape, data })
}

fn bytes<T: Element>(value: &DynValue, left: &mut u64) -> Result<(Vec<usize>, Vec<u8>), Fault> {
    let (shape, elements) =
        value.try_extract_tensor::<T>().map_err(|error| Fault::Other(error.to_string()))?;
    let size = std::mem::size_of_val(elements);
    *left = left.checked_sub(size as u64).ok_or(Fault::TooLarge)?;
    let shape = shape.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect();
    let mut data = Vec::with_capacity(size);
    elements.iter().for_each(|&element| element.put(&mut data));
    Ok((shape, data))
}

fn value(input: &RawInput<'_>) -> ort::Result<DynValue> {
    match input.dtype {
        Dtype::F32 => tensor::<f32>(input),
        Dtype::F16 => tensor::<f16>(input),
        Dtype::I64 => tensor::<i64>(input),
        Dtype::I32 => tensor::<i32>(input),
        Dtype::U8 => tensor::<u8>(input),
        Dtype::Bool => tensor::<bool>(input),
        Dtype::F64 => tensor::<f64>(input),
        Dtype::I8 => tensor::<i8>(input),
        Dtype::I16 => tensor::<i16>(input),
        Dtype::U16 => tensor::<u16>(input),
        Dtype::U32 => tensor::<u32>(input),
        Dtype::U64 => tensor::<u64>(input),
    }
}

fn tensor<T: Element>(input: &RawInput<'_>) -> ort::Result<DynValue> {
    let elements: Vec<T> = input.data.chunks_exact(size_of::<T>()).map(T::take).collect();
    Ok(Tensor::from_array((input.shape.to_vec(), elements))?.into_dyn())
}

/// An element as it is in memory and as bytes.
trait Element: PrimitiveTensorElementType + Copy + Debug + 'static {
    fn take(bytes: &[u8]) -> Self;
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Element for $number {
            fn take(bytes: &[u8]) -> Self {
                let mut whole = [0; size_of::<Self>()];
                whole.copy_from_slice(bytes);
                Self::from_le_bytes(whole)
            }

            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

number!(f32, f16, f64, i8, i16, i32, i64, u8, u16, u32, u64);

impl Element for bool {
    fn take(bytes: &[u8]) -> Self {
        bytes.first().is_some_and(|&byte| byte != 0)
    }

    fn put(self, out: &mut Vec<u8>) {
        out.push(u8::from(self));
    }
}
