//! Changes of graphs that exporters make as well: a fixed size, another element type of an input.
//!
//! Field numbers are those of `onnx.proto`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use half::f16;

pub(crate) const INT32: u64 = 6;
pub(crate) const INT64: u64 = 7;
pub(crate) const FLOAT16: u64 = 10;
pub(crate) const FLOAT: u64 = 1;

/// Builds rows and columns into an input of the model in file `model`.
pub(crate) fn fix_size(model: &Path, input: &str, [rows, columns]: [u64; 2]) {
    fix_lengths(model, input, &[None, None, Some(rows), Some(columns)]);
}

/// Builds lengths into the axes of an input of the model in file `model`.
pub(crate) fn fix_lengths(model: &Path, input: &str, lengths: &[Option<u64>]) {
    edit_input(model, input, |tensor| {
        each(tensor, 2, |shape| {
            let mut lengths = lengths.iter();
            each(shape, 1, |dim| match lengths.next().copied().flatten() {
                Some(length) => varint_field(1, length),
                None => dim.to_vec(),
            })
        })
    });
}

/// A node with these attributes, each an `AttributeProto`.
pub(crate) fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[Vec<u8>],
) -> Vec<u8> {
    node_of(operator, inputs, &[output], attributes)
}

/// One with several outputs.
pub(crate) fn node_of(
    operator: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[Vec<u8>],
) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| bytes_field(1, name.as_bytes()));
    let outputs = outputs.iter().flat_map(|name| bytes_field(2, name.as_bytes()));
    let attributes = attributes.iter().flat_map(|attribute| bytes_field(5, attribute));
    let operator = bytes_field(4, operator.as_bytes());
    inputs.chain(outputs).chain(operator).chain(attributes).collect()
}

/// An attribute that is a whole number.
pub(crate) fn number(name: &str, value: u64) -> Vec<u8> {
    [bytes_field(1, name.as_bytes()), varint_field(3, value), varint_field(20, 2)].concat()
}

/// An initializer of numbers of one type.
pub(crate) fn initializer(name: &str, dims: &[u64], data_type: u64, data: &[u8]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|length| varint_field(1, *length));
    let rest = [varint_field(2, data_type), bytes_field(8, name.as_bytes()), bytes_field(9, data)];
    dims.chain(rest.concat()).collect()
}

/// Has nodes make the output `name` of what the graph made of it so far, which is called
/// `<name>::own` to them; `initializers` are theirs.
pub(crate) fn after(model: &Path, name: &str, nodes: &[Vec<u8>], initializers: &[Vec<u8>]) {
    let own = format!("{name}::own");
    let renamed = |text: &[u8]| match text == name.as_bytes() {
        true => own.clone().into_bytes(),
        false => text.to_vec(),
    };
    let edited = each(&fs::read(model).unwrap(), 7, |graph| {
        let graph = each(graph, 1, |node| each(&each(node, 1, renamed), 2, renamed));
        let nodes = nodes.iter().flat_map(|node| bytes_field(1, node));
        let weights = initializers.iter().flat_map(|weight| bytes_field(5, weight));
        [graph, nodes.collect(), weights.collect()].concat()
    });
    fs::write(model, edited).unwrap();
}

/// Adds an input that is like the one called `like`.
pub(crate) fn add_input(model: &Path, like: &str, name: &str) {
    let edited = each(&fs::read(model).unwrap(), 7, |graph| {
        let inputs = texts(graph, 11).into_iter();
        let mut same = inputs.filter(|input| texts(input, 1).first() == Some(&like.as_bytes()));
        let input = each(same.next().unwrap(), 1, |_| name.as_bytes().to_vec());
        [graph.to_vec(), bytes_field(11, &input)].concat()
    });
    fs::write(model, edited).unwrap();
}

/// Multiplies a floating-point output of the graph with a number.
pub(crate) fn multiply(model: &Path, name: &str, factor: f32) {
    let factor = initializer("factor", &[], FLOAT, &factor.to_le_bytes());
    let own = format!("{name}::own");
    after(model, name, &[node("Mul", &[&own, "factor"], name, &[])], &[factor]);
}

/// Makes an input one of element type `to`, which the graph casts to what it had, `from`.
pub(crate) fn retype(model: &Path, input: &str, from: u64, to: u64) {
    edit_input(model, input, |tensor| {
        let mut out = varint_field(1, to);
        for (number, raw, _) in fields(tensor) {
            if number != 1 {
                out.extend_from_slice(raw);
            }
        }
        out
    });
    let own = format!("{input}::own");
    let model_bytes = fs::read(model).unwrap();
    let edited = each(&model_bytes, 7, |graph| {
        let renamed = each(graph, 1, |node| {
            each(node, 1, |name| match name == input.as_bytes() {
                true => own.clone().into_bytes(),
                false => name.to_vec(),
            })
        });
        let attribute =
            [bytes_field(1, b"to"), varint_field(3, from), varint_field(20, 2)].concat();
        let cast = [
            bytes_field(1, input.as_bytes()),
            bytes_field(2, own.as_bytes()),
            bytes_field(4, b"Cast"),
            bytes_field(5, &attribute),
        ];
        [bytes_field(1, &cast.concat()), renamed].concat()
    });
    fs::write(model, edited).unwrap();
}

/// Renames an output of the model in file `model`.
pub(crate) fn rename_output(model: &Path, from: &str, to: &str) {
    let renamed = |name: &[u8]| match name == from.as_bytes() {
        true => to.as_bytes().to_vec(),
        false => name.to_vec(),
    };
    let edited = each(&fs::read(model).unwrap(), 7, |graph| {
        let nodes = each(graph, 1, |node| each(node, 2, renamed));
        each(&nodes, 12, |value| each(value, 1, renamed))
    });
    fs::write(model, edited).unwrap();
}

/// Brings the model in file `model` to half precision, as fp16 exports are: inputs, outputs and
/// weights, these in a file beside it if they are to be `beside`.
pub(crate) fn halve(model: &Path, beside: bool) {
    let bytes = fs::read(model).unwrap();
    // The one input of an operator that is single precision always.
    let mut kept = HashSet::new();
    each(&bytes, 7, |graph| {
        each(graph, 1, |node| {
            if texts(node, 4) == [b"Resize"] {
                kept.extend(texts(node, 1).get(2).map(|name| name.to_vec()));
            }
            node.to_vec()
        })
    });
    let mut data = Vec::new();
    let halved = each(&bytes, 7, |graph| {
        let nodes = each(graph, 1, |node| match texts(node, 2).first() {
            Some(name) if kept.contains(*name) => node.to_vec(),
            _ => each(node, 5, halve_attribute),
        });
        let weights = each(&nodes, 5, |tensor| match texts(tensor, 8).first() {
            Some(name) if kept.contains(*name) => tensor.to_vec(),
            _ => halve_tensor(tensor, beside.then_some(&mut data)),
        });
        [11, 12, 13].iter().fold(weights, |graph, &number| {
            each(&graph, number, |value| {
                each(value, 2, |kind| each(kind, 1, |tensor| replace(tensor, 1, FLOAT, FLOAT16)))
            })
        })
    });
    fs::write(model, halved).unwrap();
    if beside {
        fs::write(model.with_extension(DATA), data).unwrap();
    }
}

/// Extension of the file that has the weights.
const DATA: &str = "onnx_data";

fn halve_attribute(attribute: &[u8]) -> Vec<u8> {
    let retyped = match texts(attribute, 1).first() {
        Some(&b"to") => replace(attribute, 3, FLOAT, FLOAT16),
        _ => attribute.to_vec(),
    };
    each(&retyped, 5, |tensor| halve_tensor(tensor, None))
}

/// The tensor in half precision if it is in single, its elements at the end of `beside`.
fn halve_tensor(tensor: &[u8], beside: Option<&mut Vec<u8>>) -> Vec<u8> {
    let typed = replace(tensor, 2, FLOAT, FLOAT16);
    if typed == tensor {
        return typed;
    }
    let mut data = Vec::new();
    let mut rest = Vec::new();
    for (number, raw, payload) in fields(&typed) {
        match number {
            9 => data.extend(payload.chunks_exact(4).flat_map(|bytes| {
                f16::from_f32(f32::from_le_bytes(bytes.try_into().unwrap())).to_le_bytes()
            })),
            4 => panic!("elements that are not in raw_data"),
            _ => rest.extend_from_slice(raw),
        }
    }
    let Some(beside) = beside else { return [rest, bytes_field(9, &data)].concat() };
    let entry = |key: &str, value: &str| {
        let entry = [bytes_field(1, key.as_bytes()), bytes_field(2, value.as_bytes())].concat();
        bytes_field(13, &entry)
    };
    rest.extend(entry("location", &format!("model.{DATA}")));
    rest.extend(entry("offset", &beside.len().to_string()));
    rest.extend(entry("length", &data.len().to_string()));
    beside.extend(data);
    [rest, varint_field(14, 1)].concat()
}

/// The payloads of the fields of that number.
fn texts(message: &[u8], number: u64) -> Vec<&[u8]> {
    fields(message).into_iter().filter(|field| field.0 == number).map(|field| field.2).collect()
}

/// The message with number `to` instead of `from` in a field.
fn replace(message: &[u8], number: u64, from: u64, to: u64) -> Vec<u8> {
    let (old, new) = (varint_field(number, from), varint_field(number, to));
    let field = |(_, raw, _): (u64, &[u8], &[u8])| match raw == old {
        true => new.clone(),
        false => raw.to_vec(),
    };
    fields(message).into_iter().flat_map(field).collect()
}

/// Rewrites the tensor type of an input.
fn edit_input(model: &Path, input: &str, edit: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut edit = edit;
    let mut found = false;
    let edited = each(&fs::read(model).unwrap(), 7, |graph| {
        each(graph, 11, |value| {
            let named = fields(value)
                .iter()
                .any(|(number, _, payload)| *number == 1 && *payload == input.as_bytes());
            if !named {
                return value.to_vec();
            }
            found = true;
            each(value, 2, |kind| each(kind, 1, &mut edit))
        })
    });
    assert!(found, "{} has no input {input}", model.display());
    fs::write(model, edited).unwrap();
}

/// The message with each field `number` in it rewritten.
fn each(message: &[u8], number: u64, mut edit: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, raw, payload) in fields(message) {
        match field == number {
            true => out.extend(bytes_field(number, &edit(payload))),
            false => out.extend_from_slice(raw),
        }
    }
    out
}

/// Number, all bytes and payload of each field.
fn fields(message: &[u8]) -> Vec<(u64, &[u8], &[u8])> {
    let (mut fields, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let start = at;
        let tag = varint(message, &mut at);
        let length = match tag & 7 {
            0 => {
                varint(message, &mut at);
                0
            }
            1 => 8,
            2 => varint(message, &mut at) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let payload = &message[at..at + length];
        at += length;
        fields.push((tag >> 3, &message[start..at], payload));
    }
    fields
}

fn varint(message: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = message[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn varint_field(number: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, number << 3);
    put_varint(&mut out, value);
    out
}

pub(crate) fn bytes_field(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, number << 3 | 2);
    put_varint(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}
