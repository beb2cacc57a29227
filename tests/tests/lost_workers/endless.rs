//! A model whose one run never ends: a loop of more turns than anybody counts (ONNX, `Loop`),
//! written field by field in protobuf's wire format.

use std::path::Path;

/// `Loop` with `turns` as the number of its turns; each gives its input on as it is.
const TURNS: i64 = i64::MAX;

const FLOAT: u64 = 1;
const INT64: u64 = 7;
const BOOL: u64 = 9;
/// `AttributeProto.type` of a graph.
const GRAPH: u64 = 5;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn text(field: u64, value: &str) -> Vec<u8> {
    bytes(field, value.as_bytes())
}

/// `ValueInfoProto` of a tensor with these dimensions.
fn value(name: &str, dtype: u64, dimensions: &[u64]) -> Vec<u8> {
    let dimension = |size: &u64| bytes(1, &number(1, *size));
    let shape: Vec<u8> = dimensions.iter().flat_map(dimension).collect();
    let tensor = [number(1, dtype), bytes(2, &shape)].concat();
    [text(1, name), bytes(2, &bytes(1, &tensor))].concat()
}

/// `NodeProto`.
fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[u8]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| text(1, name)).collect();
    let outputs: Vec<u8> = outputs.iter().flat_map(|name| text(2, name)).collect();
    [inputs, outputs, text(4, operator), attributes.to_vec()].concat()
}

/// Writes the model's folder: it takes `x` and would give `y`, each one number.
pub(super) fn write(folder: &Path) {
    let body = [
        bytes(1, &node("Identity", &["on"], &["still_on"], &[])),
        bytes(1, &node("Identity", &["state"], &["next"], &[])),
        text(2, "body"),
        bytes(11, &value("turn", INT64, &[])),
        bytes(11, &value("on", BOOL, &[])),
        bytes(11, &value("state", FLOAT, &[1])),
        bytes(12, &value("still_on", BOOL, &[])),
        bytes(12, &value("next", FLOAT, &[1])),
    ]
    .concat();
    let attribute = [text(1, "body"), bytes(6, &body), number(20, GRAPH)].concat();
    let turns = [number(2, INT64), text(8, "turns"), bytes(9, &TURNS.to_le_bytes())].concat();
    let on = [number(2, BOOL), text(8, "on_at_first"), bytes(9, &[1])].concat();
    let inputs = ["turns", "on_at_first", "x"];
    let graph = [
        bytes(1, &node("Loop", &inputs, &["y"], &bytes(5, &attribute))),
        text(2, "endless"),
        bytes(5, &turns),
        bytes(5, &on),
        bytes(11, &value("x", FLOAT, &[1])),
        bytes(12, &value("y", FLOAT, &[1])),
    ]
    .concat();
    let model = [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 17))].concat();
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("model.onnx"), model).expect("a file");
}

/// One number for `x`, a file of `NumPy`'s, version 1.0.
pub(super) fn write_input(path: &Path) {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n";
    let length = u16::try_from(header.len()).expect("short").to_le_bytes();
    let file =
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &1_f32.to_le_bytes()].concat();
    std::fs::write(path, file).expect("a file");
}
