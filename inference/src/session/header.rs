//! What an ONNX file says of its graph: inputs, outputs, operators, and the element types of its
//! weights.
//!
//! Taken down while [`onnx`](super::onnx) walks the file, within bounds: what is remembered stays
//! small whatever the file holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use hearth_api::tensor::Dtype;

use super::port::Port;
use super::proto::{self, Value};

/// Graphs have a few inputs and outputs; those with per-request weights some hundreds.
const MAX_PORTS: usize = 8192;
/// Large graphs have some thousand initializers.
const MAX_WEIGHTS: usize = 1 << 20;
/// Kinds of operators; there are some hundred, and a model may have functions of its own.
const MAX_OPERATORS: usize = 4096;
/// Domains of operators; models have a few.
const MAX_DOMAINS: usize = 256;
/// Bytes of the name of an input or output; exporters write short ones.
const MAX_NAME: usize = 1024;
/// Dimensions of an input or output; operators take a few.
const MAX_RANK: usize = 64;

// `GraphProto`
const INPUT: u64 = 11;
const OUTPUT: u64 = 12;
// `TensorProto`
const DIMS: u64 = 1;
const DATA_TYPE: u64 = 2;
const NAME: u64 = 8;

/// What a graph says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Its inputs, in its order, without those that its own weights fill; or what is wrong with one.
    pub inputs: Vec<Result<Port, String>>,
    /// Its outputs, likewise.
    pub outputs: Vec<Result<Port, String>>,
    /// Bytes of its weights and constants, by the name of their element type.
    pub weights: BTreeMap<&'static str, u64>,
    /// Its operators, those of subgraphs and of its own functions among them.
    pub operators: BTreeSet<Operator>,
    /// The version of the file's format.
    pub ir_version: u64,
    /// The version of each domain's operators that it is written in.
    pub opsets: BTreeMap<String, u64>,
}

/// An operator by its domain, which is empty for ONNX's own, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// The domain, such as `com.microsoft`.
    pub domain: String,
    /// The name, such as `Conv`.
    pub name: String,
}

/// What names an operator, a function or a set of operators.
#[derive(Debug, Default)]
pub(super) struct Name {
    pub(super) domain: String,
    pub(super) text: String,
    pub(super) version: u64,
}

impl Header {
    /// The element type that most of the weights have; none where there are no weights.
    #[must_use]
    pub fn precision(&self) -> Option<&'static str> {
        self.weights.iter().max_by_key(|(_, bytes)| **bytes).map(|(name, _)| *name)
    }
}

/// What is taken down on the way through a file.
#[derive(Debug, Default)]
pub(super) struct Notes {
    header: Header,
    /// Names of initializers, as their hashes.
    filled: HashSet<u64>,
    /// The model's own functions, which are called as operators are.
    functions: BTreeSet<Operator>,
}

impl Notes {
    /// Whether the field of the main graph is one to take down.
    pub(super) fn wants(field: u64) -> bool {
        matches!(field, INPUT | OUTPUT)
    }

    /// Takes a `ValueInfoProto` down.
    pub(super) fn port(&mut self, field: u64, value_info: &[u8]) -> Result<(), String> {
        let ports = match field {
            INPUT => &mut self.header.inputs,
            _ => &mut self.header.outputs,
        };
        if ports.len() == MAX_PORTS {
            return Err(format!("it has more than {MAX_PORTS} inputs or outputs"));
        }
        ports.push(read(value_info)?);
        Ok(())
    }

    /// Takes a tensor down; `filled` if it is an initializer of the main graph.
    pub(super) fn weight(&mut self, weight: &Weight, filled: bool) -> Result<(), String> {
        let bytes = weight.elements.saturating_mul(bits(weight.data_type)) / 8;
        let sum = self.header.weights.entry(type_name(weight.data_type)).or_default();
        *sum = sum.saturating_add(bytes);
        if filled {
            if self.filled.len() == MAX_WEIGHTS {
                return Err(format!("it has more than {MAX_WEIGHTS} initializers"));
            }
            self.filled.insert(weight.name);
        }
        Ok(())
    }

    pub(super) fn ir_version(&mut self, version: u64) {
        self.header.ir_version = version;
    }

    /// Takes a node's operator down.
    pub(super) fn operator(&mut self, name: Name) -> Result<(), String> {
        note(&mut self.header.operators, name)
    }

    /// Takes the name of a function of the model's own down.
    pub(super) fn function(&mut self, name: Name) -> Result<(), String> {
        note(&mut self.functions, name)
    }

    pub(super) fn opset(&mut self, Name { domain, version, .. }: Name) -> Result<(), String> {
        if self.header.opsets.len() == MAX_DOMAINS {
            return Err(format!("it has operators of more than {MAX_DOMAINS} domains"));
        }
        self.header.opsets.insert(plain(domain), version);
        Ok(())
    }

    /// What was taken down. Inputs that initializers fill are left out, as ONNX Runtime does.
    pub(super) fn header(mut self) -> Header {
        let filled = self.filled;
        self.header.operators.retain(|operator| !self.functions.contains(operator));
        self.header.inputs.retain(|port| {
            port.as_ref().map_or(true, |port| !filled.contains(&hash(port.name.as_bytes())))
        });
        self.header
    }
}

fn note(operators: &mut BTreeSet<Operator>, name: Name) -> Result<(), String> {
    let Name { domain, text: name, .. } = name;
    operators.insert(Operator { domain: plain(domain), name });
    match operators.len() > MAX_OPERATORS {
        true => Err(format!("it has more than {MAX_OPERATORS} kinds of operators")),
        false => Ok(()),
    }
}

/// ONNX's own domain has two names.
fn plain(domain: String) -> String {
    if domain == "ai.onnx" { String::new() } else { domain }
}

/// What counts of a `TensorProto`.
#[derive(Debug)]
pub(super) struct Weight {
    elements: u64,
    data_type: u64,
    name: u64,
}

impl Default for Weight {
    fn default() -> Self {
        Self { elements: 1, data_type: 0, name: 0 }
    }
}

impl Weight {
    /// Whether the field is one to be read that isn't a number.
    pub(super) fn wants(field: u64) -> bool {
        matches!(field, DIMS | NAME)
    }

    pub(super) fn number(&mut self, field: u64, value: u64) {
        match field {
            DIMS => self.elements = self.elements.saturating_mul(value),
            DATA_TYPE => self.data_type = value,
            _ => {}
        }
    }

    pub(super) fn bytes(&mut self, field: u64, mut bytes: &[u8]) {
        if field == NAME {
            self.name = hash(bytes);
            return;
        }
        while let Some(length) = proto::varint(&mut bytes) {
            self.number(DIMS, length);
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Reads a `ValueInfoProto`; what can't be is the outer error, what isn't supported the inner.
fn read(value_info: &[u8]) -> Result<Result<Port, String>, String> {
    let malformed = || "an input or output can't be read".to_owned();
    let fields = proto::fields(value_info).ok_or_else(malformed)?;
    let bytes = |number| fields.iter().rev().find(|field| field.number == number)?.bytes();
    let name = bytes(1).ok_or_else(malformed)?;
    if name.len() > MAX_NAME {
        let length = name.len();
        return Err(format!(
            "an input or output has a name of {length} bytes, more than {MAX_NAME}"
        ));
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let kind = proto::fields(bytes(2).unwrap_or_default()).ok_or_else(malformed)?;
    let Some(tensor) = kind.iter().find(|field| field.number == 1).and_then(proto::Field::bytes)
    else {
        return Ok(Err(Port::no_tensor(&name)));
    };
    let (mut data_type, mut dims) = (0, Vec::new());
    for field in proto::fields(tensor).ok_or_else(malformed)? {
        match (field.number, field.value) {
            (1, Value::Varint(value)) => data_type = value,
            (2, Value::Bytes(shape)) => {
                let lengths = proto::fields(shape).ok_or_else(malformed)?;
                if lengths.len() > MAX_RANK {
                    let rank = lengths.len();
                    return Err(format!("{name} has {rank} dimensions, more than {MAX_RANK}"));
                }
                let lengths = lengths.iter().map(|dim| length(dim.bytes()?));
                dims = lengths.collect::<Option<_>>().ok_or_else(malformed)?;
            }
            _ => {}
        }
    }
    Ok(match dtype(data_type) {
        Some(dtype) => Ok(Port { name, dtype, dims }),
        None => Err(Port::unknown_type(&name, type_name(data_type))),
    })
}

/// Reads a `TensorShapeProto.Dimension`: a length, or one that is left open.
fn length(dimension: &[u8]) -> Option<Option<usize>> {
    let fields = proto::fields(dimension)?;
    let value = fields.iter().find_map(|field| match (field.number, field.value) {
        // A negative one is open as well.
        (1, Value::Varint(value)) => i64::try_from(value).ok(),
        _ => None,
    });
    Some(value.and_then(|value| usize::try_from(value).ok()))
}

/// `TensorProto.DataType`: its name, its size in bits, and what it is to us.
const TYPES: [(&str, u64, Option<Dtype>); 24] = [
    ("undefined", 0, None),
    ("float32", 32, Some(Dtype::F32)),
    ("uint8", 8, Some(Dtype::U8)),
    ("int8", 8, Some(Dtype::I8)),
    ("uint16", 16, Some(Dtype::U16)),
    ("int16", 16, Some(Dtype::I16)),
    ("int32", 32, Some(Dtype::I32)),
    ("int64", 64, Some(Dtype::I64)),
    ("string", 0, None),
    ("bool", 8, Some(Dtype::Bool)),
    ("float16", 16, Some(Dtype::F16)),
    ("float64", 64, Some(Dtype::F64)),
    ("uint32", 32, Some(Dtype::U32)),
    ("uint64", 64, Some(Dtype::U64)),
    ("complex64", 64, None),
    ("complex128", 128, None),
    ("bfloat16", 16, None),
    ("float8e4m3fn", 8, None),
    ("float8e4m3fnuz", 8, None),
    ("float8e5m2", 8, None),
    ("float8e5m2fnuz", 8, None),
    ("uint4", 4, None),
    ("int4", 4, None),
    ("float4e2m1", 4, None),
];

fn entry(code: u64) -> Option<&'static (&'static str, u64, Option<Dtype>)> {
    TYPES.get(usize::try_from(code).ok()?)
}

fn type_name(code: u64) -> &'static str {
    entry(code).map_or("unknown", |(name, ..)| name)
}

fn bits(code: u64) -> u64 {
    entry(code).map_or(0, |(_, bits, _)| *bits)
}

fn dtype(code: u64) -> Option<Dtype> {
    entry(code)?.2
}
