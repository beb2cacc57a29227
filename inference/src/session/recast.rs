//! Gives inputs and outputs of a graph another floating-point type, so that graphs of different
//! precision can share memory: a `Cast` at the edge, and the graph within as it is.

use hearth_api::tensor::Dtype;

use super::cast::Cast;
use super::proto::{self, Field, Value, put_bytes, put_varint};
use super::value_info::{name_of, rewrite_tensor, tensor_type};
use super::widen::{FLOAT, FLOAT16, cast_node};

/// Appended to a name for what it stood for within.
const OWN: &str = "::own";

/// The graph of `model` with these inputs and outputs, where they have another type; `None` if it
/// isn't understood.
pub(super) fn recast(model: &[u8], casts: &[Cast]) -> Option<Vec<u8>> {
    proto::rewrite(model, &[7], |_, payload| graph(payload, casts))
}

/// Rewrites the model's `GraphProto`.
fn graph(payload: &[u8], casts: &[Cast]) -> Option<Vec<u8>> {
    let fields = proto::fields(payload)?;
    let mut ports = Vec::new();
    for field in fields.iter().filter(|field| matches!(field.number, 11 | 12)) {
        ports.extend(Edge::of(field, casts)?);
    }
    let mut bytes = Vec::with_capacity(payload.len() + 128 * ports.len());
    for edge in ports.iter().filter(|edge| edge.field == 11) {
        put_bytes(&mut bytes, 1, &cast_node(edge.name, &own(edge.name), edge.from));
    }
    let names: Vec<_> = ports.iter().map(|edge| edge.name).collect();
    for field in &fields {
        let edge = field.bytes().and_then(|payload| {
            let name = name_of(payload);
            ports.iter().find(|edge| edge.field == field.number && Some(edge.name) == name)
        });
        match (field.number, field.bytes(), edge) {
            (1, Some(payload), _) => put_bytes(&mut bytes, 1, &node(payload, &names)?),
            (11 | 12, Some(payload), Some(edge)) => {
                put_bytes(&mut bytes, field.number, &typed(payload, edge.to)?);
            }
            // What is said of them within would be said of the edge.
            (13, Some(payload), _) if name_of(payload).is_some_and(|n| names.contains(&n)) => {}
            _ => bytes.extend_from_slice(field.raw),
        }
    }
    for edge in ports.iter().filter(|edge| edge.field == 12) {
        put_bytes(&mut bytes, 1, &cast_node(&own(edge.name), edge.name, edge.to));
    }
    Some(bytes)
}

/// An input or output that is cast.
struct Edge<'a> {
    /// Where it stands in a `GraphProto`.
    field: u64,
    name: &'a [u8],
    from: u64,
    to: u64,
}

impl<'a> Edge<'a> {
    /// That of a `ValueInfoProto` among inputs or outputs, if there is a cast for it.
    fn of(field: &Field<'a>, casts: &[Cast]) -> Option<Option<Self>> {
        let payload = field.bytes()?;
        let name = name_of(payload)?;
        let Some(cast) = casts.iter().find(|cast| cast.name.as_bytes() == name) else {
            return Some(None);
        };
        let to = code(cast.to)?;
        let from = element_type(payload)?;
        Some((from != to).then_some(Self { field: field.number, name, from, to }))
    }
}

/// Rewrites a `NodeProto`, which reads and writes what is within.
fn node(payload: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
    proto::rewrite(payload, &[1, 2, 5], |number, payload| match number {
        // An AttributeProto, whose graphs may read it too.
        5 => proto::rewrite(payload, &[6, 11], |_, graph| {
            proto::rewrite(graph, &[1], |_, inner| node(inner, names))
        }),
        _ if names.contains(&payload) => Some(own(payload)),
        _ => Some(payload.to_vec()),
    })
}

/// A `ValueInfoProto` with another element type.
fn typed(payload: &[u8], to: u64) -> Option<Vec<u8>> {
    // its elem_type (1)
    rewrite_tensor(payload, |tensor| {
        let mut out = Vec::with_capacity(tensor.len());
        for field in proto::fields(tensor)? {
            match field.number {
                1 => put_varint(&mut out, 1, to),
                _ => out.extend_from_slice(field.raw),
            }
        }
        Some(out)
    })
}

fn element_type(value_info: &[u8]) -> Option<u64> {
    proto::fields(tensor_type(value_info)?)?.iter().find_map(|field| {
        match (field.number, field.value) {
            (1, Value::Varint(code)) => Some(code),
            _ => None,
        }
    })
}

fn own(name: &[u8]) -> Vec<u8> {
    [name, OWN.as_bytes()].concat()
}

/// `TensorProto.DataType`
fn code(dtype: Dtype) -> Option<u64> {
    match dtype {
        Dtype::F32 => Some(FLOAT),
        Dtype::F16 => Some(FLOAT16),
        _ => None,
    }
}
