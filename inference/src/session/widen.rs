//! Runs a half-precision graph in single precision while its weights stay in half.
//!
//! ONNX Runtime has no half-precision kernels for x86 processors. Left alone it copies every weight
//! to single precision when it loads (three times the weights in memory) and casts between the two
//! at every operator. Here the graph itself, which is small beside its files of weights, is
//! rewritten instead: all in single precision, and a `Cast` for each weight. The casts stand first
//! in the node list, as ONNX Runtime's depth-first order then takes each just before its use; so a
//! few weights are wide at a time, and the rest are pages of their file.
//!
//! What isn't understood is left alone: [`widen`] then gives `None` and the graph runs as it is.

use std::collections::HashSet;

use half::f16;

use super::proto::{self, Field, Value, put_bytes, put_varint};

// `TensorProto.DataType`
pub(super) const FLOAT: u64 = 1;
pub(super) const FLOAT16: u64 = 10;
/// `AttributeProto.AttributeType.INT`
const ATTRIBUTE_INT: u64 = 2;
/// Appended to a weight's name for its wide form.
const WIDE: &str = "::wide";

/// The graph of `model` in single precision, if it has half-precision weights in other files.
pub(super) fn widen(model: &[u8]) -> Option<Vec<u8>> {
    rewritten(model, |graph| graph.weights > 0)
}

/// The graph of `model` in single precision, if it has any half-precision weights.
pub(super) fn widen_all(model: &[u8]) -> Option<Vec<u8>> {
    rewritten(model, |graph| graph.weights + graph.inside > 0)
}

fn rewritten(model: &[u8], worth: impl Fn(&Graph) -> bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(model.len() + model.len() / 4);
    let mut widened = false;
    for field in proto::fields(model)? {
        match (field.number, field.bytes()) {
            (7, Some(payload)) => {
                let graph = graph(payload, None)?;
                widened |= worth(&graph);
                put_bytes(&mut out, 7, &graph.bytes);
            }
            // Functions of the model's own, and training graphs.
            (20 | 25, _) => return None,
            _ => out.extend_from_slice(field.raw),
        }
    }
    widened.then_some(out)
}

struct Graph {
    bytes: Vec<u8>,
    /// Half-precision weights in other files.
    weights: usize,
    /// Half-precision weights in the graph itself.
    inside: usize,
}

/// The weights that are widened, by name: a graph's own, and those of the graphs around it.
struct Scope<'a> {
    own: HashSet<&'a [u8]>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn contains(&self, name: &[u8]) -> bool {
        self.own.contains(name) || self.outer.is_some_and(|outer| outer.contains(name))
    }
}

/// Rewrites a `GraphProto` among the weights of the graphs around it.
fn graph(payload: &[u8], outer: Option<&Scope<'_>>) -> Option<Graph> {
    let fields = proto::fields(payload)?;
    let mut wide = Scope { own: HashSet::new(), outer };
    let mut bytes = Vec::with_capacity(payload.len() * 5 / 4);
    let (mut weights, mut inside) = (0, 0);
    for tensor in fields.iter().filter(|field| field.number == 5) {
        let tensor = Tensor::read(tensor.bytes()?)?;
        if tensor.data_type == FLOAT16 && tensor.external {
            put_bytes(&mut bytes, 1, &cast_node(tensor.name, &wide_name(tensor.name), FLOAT));
            wide.own.insert(tensor.name);
            weights += 1;
        }
    }
    for field in &fields {
        match (field.number, field.bytes()) {
            (1, Some(payload)) => put_bytes(&mut bytes, 1, &node(payload, &wide)?),
            (5, Some(payload)) => match Tensor::read(payload)? {
                tensor if tensor.data_type == FLOAT16 && !tensor.external => {
                    inside += 1;
                    put_bytes(&mut bytes, 5, &tensor.widened(payload)?);
                }
                _ => bytes.extend_from_slice(field.raw),
            },
            (11 | 12, Some(payload)) => {
                put_bytes(&mut bytes, field.number, &value_info(payload, &wide)?);
            }
            // Types in between are inferred again.
            (13, _) => {}
            (15, _) => return None,
            _ => bytes.extend_from_slice(field.raw),
        }
    }
    Some(Graph { bytes, weights, inside })
}

/// A `NodeProto` that casts `input` to the element type `to`.
pub(super) fn cast_node(input: &[u8], output: &[u8], to: u64) -> Vec<u8> {
    let mut attribute = Vec::new();
    put_bytes(&mut attribute, 1, b"to");
    put_varint(&mut attribute, 3, to);
    put_varint(&mut attribute, 20, ATTRIBUTE_INT);
    let mut node = Vec::new();
    put_bytes(&mut node, 1, input);
    put_bytes(&mut node, 2, output);
    put_bytes(&mut node, 3, output);
    put_bytes(&mut node, 4, b"Cast");
    put_bytes(&mut node, 5, &attribute);
    node
}

fn wide_name(name: &[u8]) -> Vec<u8> {
    [name, WIDE.as_bytes()].concat()
}

/// Rewrites a `NodeProto`: its inputs, and what its attributes say about types.
fn node(payload: &[u8], wide: &Scope<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(payload.len() + 16);
    for field in proto::fields(payload)? {
        match (field.number, field.bytes()) {
            (1, Some(name)) if wide.contains(name) => put_bytes(&mut out, 1, &wide_name(name)),
            (5, Some(payload)) => put_bytes(&mut out, 5, &attribute(payload, wide)?),
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

/// Rewrites an `AttributeProto`: constants, subgraphs, and the type that `Cast` and others give.
fn attribute(payload: &[u8], wide: &Scope<'_>) -> Option<Vec<u8>> {
    let fields = proto::fields(payload)?;
    let named =
        |name: &[u8]| fields.iter().any(|field| field.number == 1 && field.bytes() == Some(name));
    let is_type = named(b"to") || named(b"dtype");
    let mut out = Vec::with_capacity(payload.len());
    for field in &fields {
        match (field.number, field.value) {
            (3, Value::Varint(FLOAT16)) if is_type => put_varint(&mut out, 3, FLOAT),
            (5 | 10, Value::Bytes(payload)) => match Tensor::read(payload)? {
                tensor if tensor.data_type != FLOAT16 => out.extend_from_slice(field.raw),
                tensor if tensor.external => return None,
                tensor => put_bytes(&mut out, field.number, &tensor.widened(payload)?),
            },
            (6 | 11, Value::Bytes(payload)) => {
                put_bytes(&mut out, field.number, &graph(payload, Some(wide))?.bytes);
            }
            (22 | 23, _) => return None,
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

/// Rewrites a `ValueInfoProto` of an input or output; a weight that is listed keeps its type.
fn value_info(payload: &[u8], wide: &Scope<'_>) -> Option<Vec<u8>> {
    let fields = proto::fields(payload)?;
    let name = fields.iter().find(|field| field.number == 1).and_then(Field::bytes);
    if name.is_some_and(|name| wide.contains(name)) {
        return Some(payload.to_vec());
    }
    // type (2), its tensor_type (1), its elem_type (1)
    proto::rewrite(payload, &[2], |_, type_| {
        proto::rewrite(type_, &[1], |_, tensor_type| {
            let mut out = Vec::new();
            for field in proto::fields(tensor_type)? {
                match (field.number, field.value) {
                    (1, Value::Varint(FLOAT16)) => put_varint(&mut out, 1, FLOAT),
                    _ => out.extend_from_slice(field.raw),
                }
            }
            Some(out)
        })
    })
}

/// What matters of a `TensorProto`.
struct Tensor<'a> {
    name: &'a [u8],
    data_type: u64,
    external: bool,
}

impl<'a> Tensor<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut tensor = Self { name: b"", data_type: 0, external: false };
        for field in proto::fields(payload)? {
            match (field.number, field.value) {
                (2, Value::Varint(data_type)) => tensor.data_type = data_type,
                (8, Value::Bytes(name)) => tensor.name = name,
                (14, Value::Varint(location)) => tensor.external = location == 1,
                _ => {}
            }
        }
        Some(tensor)
    }

    /// The tensor at `payload` in single precision, its elements in `raw_data`.
    fn widened(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut data) = (Vec::new(), Vec::new());
        let mut push = |bits: u16| data.extend(f16::from_bits(bits).to_f32().to_le_bytes());
        for field in proto::fields(payload)? {
            match (field.number, field.value) {
                (2, _) => put_varint(&mut out, 2, FLOAT),
                (9, Value::Bytes(raw)) => {
                    raw.chunks_exact(2).for_each(|b| push(u16::from_le_bytes([b[0], b[1]])));
                }
                // int32_data, packed or one by one; each holds the bits of one element.
                (5, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        push(u16::try_from(proto::varint(&mut packed)?).ok()?);
                    }
                }
                (5, Value::Varint(bits)) => push(u16::try_from(bits).ok()?),
                _ => out.extend_from_slice(field.raw),
            }
        }
        put_bytes(&mut out, 9, &data);
        Some(out)
    }
}
