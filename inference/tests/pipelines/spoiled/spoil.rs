//! Ways to spoil a folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::repository;
use crate::surgery::{bytes_field, varint_field};

/// An index that names so many parts.
pub(super) fn index(parts: usize, name: &str) -> String {
    let part =
        |index: usize| format!("\"{name}{index}\": [\"diffusers\", \"UNet2DConditionModel\"]");
    let parts: Vec<_> = (0..parts).map(part).collect();
    format!("{{\"_class_name\": \"StableDiffusionPipeline\", {}}}", parts.join(", "))
}

/// Sets a key of a config to a text of JSON, or of what Python writes for it.
pub(super) fn set(at: &Path, file: &str, key: &str, value: &str) {
    let text = fs::read_to_string(at.join(file)).unwrap();
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).unwrap();
    config.insert(key.to_owned(), "the value".into());
    let text = serde_json::to_string(&config).unwrap().replace("\"the value\"", value);
    write(at, file, &text);
}

pub(super) fn many_tokens(count: usize) -> String {
    let tokens: Vec<_> = (0..count).map(|id| format!("\"{id}\": \"<{id}>\"")).collect();
    let tokens = tokens.join(", ");
    format!("{{\"model_max_length\": 77, \"added_tokens_decoder\": {{{tokens}}}}}")
}

/// Fills a JSON file up with spaces.
pub(super) fn grow(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, format!("{text}{}", " ".repeat(3 << 20))).unwrap();
}

/// A model of these inputs and nothing else.
pub(super) fn graph(path: &Path, inputs: impl Iterator<Item = Vec<u8>>) {
    let inputs: Vec<_> = inputs.flat_map(|input| bytes_field(11, &input)).collect();
    fs::write(path, bytes_field(7, &inputs)).unwrap();
}

/// A `ValueInfoProto` of floats.
pub(super) fn port(index: usize, rank: usize) -> Vec<u8> {
    let shape = bytes_field(2, &bytes_field(1, &varint_field(1, 4)).repeat(rank));
    let tensor = bytes_field(1, &[varint_field(1, 1), shape].concat());
    [bytes_field(1, format!("in.{index}").as_bytes()), bytes_field(2, &tensor)].concat()
}

// `TensorProto.DataType`
pub(super) const FLOAT: u8 = 1;
pub(super) const INT64: u8 = 7;
pub(super) const BFLOAT16: u8 = 16;

/// Gives the graph's input `name` another element type.
pub(super) fn retype(graph: &Path, name: &str, from: u8, to: u8) {
    let mut bytes = fs::read(graph).unwrap();
    let length = u8::try_from(name.len()).unwrap();
    // ValueInfoProto { name = 1, type = 2 { tensor_type = 1 { elem_type = 1 } } }
    let head = [&[0x0a, length], name.as_bytes(), &[0x12]].concat();
    let fits = |at: &usize| {
        bytes[*at..].starts_with(&head) && bytes[at + head.len() + 3..].starts_with(&[0x08, from])
    };
    let at = (0..bytes.len()).find(fits).expect("the graph has such an input");
    bytes[at + head.len() + 4] = to;
    fs::write(graph, bytes).unwrap();
}

/// Replaces a text of the graph by one of the same length.
pub(super) fn rename(at: &Path, file: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(at.join(file)).unwrap();
    for place in 0..bytes.len() - from.len() {
        if bytes[place..].starts_with(from) {
            bytes[place..place + to.len()].copy_from_slice(to);
        }
    }
    fs::write(at.join(file), bytes).unwrap();
}

pub(super) fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

pub(super) fn write(at: &Path, file: &str, text: &str) {
    fs::write(at.join(file), text).unwrap();
}

pub(super) fn replace(at: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(at.join(file)).unwrap();
    write(at, file, &text.replace(from, to));
}

/// Puts the graph of one part into another.
pub(super) fn swap(at: &Path, from: &str, to: &str) {
    fs::copy(at.join(from).join("model.onnx"), at.join(to).join("model.onnx")).unwrap();
}

/// Puts another model's file in its place.
pub(super) fn swap_config(at: &Path, other: &str, file: &str) {
    fs::copy(repository().join("tests/models").join(other).join(file), at.join(file)).unwrap();
}

pub(super) fn rename_file(part: &Path, from: &str, to: &str) {
    fs::rename(part.join(from), part.join(to)).unwrap();
}

pub(super) fn folder_instead(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// A file of more bytes than any config has, none of which take room.
pub(super) fn huge(path: &Path) {
    fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
}

/// A named pipe, which a reader would wait for.
pub(super) fn pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Puts a link to the same file of another folder in its place.
pub(super) fn link_out(path: &Path) {
    let outside = repository().join("tests/models/tiny-sd-f16/vae_decoder/model.onnx_data");
    fs::remove_file(path).unwrap();
    symlink(outside, path).unwrap();
}

pub(super) fn spiece_alone(at: &Path) {
    remove(&at.join("tokenizer_2/tokenizer.json"));
    write(at, "tokenizer_2/spiece.model", "x");
}
