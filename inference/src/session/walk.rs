//! A walk over an ONNX file, field by field and without reading weights.
//!
//! Field numbers are those of `onnx.proto` (ONNX 1.23). A crate that decodes the whole message
//! would take the weights into memory, up to 2 GiB of them.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Seek};

use super::header::{Name, Notes, Weight};
use crate::brief::{VALUE, brief};

/// Files of weights that one graph refers to; some exporters write one for each weight.
const MAX_FILES: usize = 1 << 14;
/// Subgraphs nest (a loop in a branch in a loop); nobody needs them this deep.
const MAX_DEPTH: u32 = 64;
/// Names of weight files and their offsets are short.
const MAX_ENTRY: u64 = 4096;
/// So are names of tensors, and the types of inputs and outputs.
const MAX_SHORT: u64 = 64 * 1024;

/// Where one tensor's weights are.
#[derive(Debug, Default)]
struct Reference {
    location: String,
    range: Range,
}

/// A range of a file.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Range {
    pub(super) offset: u64,
    length: Option<u64>,
}

impl Range {
    pub(super) fn end(self) -> Option<u64> {
        self.offset.checked_add(self.length.unwrap_or(0))
    }

    /// Whether it reaches beyond the other.
    fn is_beyond(self, other: Self) -> bool {
        let end = |range: Self| range.end().unwrap_or(u64::MAX);
        end(self) > end(other)
    }
}

/// The messages on the way from the model to its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Model,
    Training,
    Function,
    /// The model's own graph.
    Main,
    /// One within a node, a training or an attribute.
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
    /// A tensor among the initializers of the model's own graph.
    Weight,
    /// Which version of a domain's operators the model is written in.
    Opset,
}

impl Message {
    /// The message in field `field`, if it can lead to a tensor.
    fn child(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) => Self::Main,
            (Self::Model, 8) => Self::Opset,
            (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Main | Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Main | Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Main, 5) => Self::Weight,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            _ => return None,
        })
    }

    /// Where the text in field `field` belongs, if it names what the message is.
    fn name(self, field: u64) -> Option<fn(&mut Name) -> &mut String> {
        match (self, field) {
            (Self::Node, 4) | (Self::Function, 1) => Some(|name| &mut name.text),
            (Self::Node, 7) | (Self::Function, 10) | (Self::Opset, 1) => {
                Some(|name| &mut name.domain)
            }
            _ => None,
        }
    }

    fn is_tensor(self) -> bool {
        matches!(self, Self::Tensor | Self::Weight)
    }
}

pub(super) enum Fault {
    Io(std::io::Error),
    Malformed(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Malformed("it ends in a field".to_owned()),
            _ => Self::Io(error),
        }
    }
}

/// A walk over a protobuf file; `at` is the place in it.
pub(super) struct Walk<R> {
    reader: R,
    at: u64,
    /// The range that reaches furthest of each file.
    pub(super) references: BTreeMap<String, Range>,
    pub(super) notes: Notes,
}

impl<R: BufRead + Seek> Walk<R> {
    /// A walk that begins at the start of a file.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, at: 0, references: BTreeMap::new(), notes: Notes::default() }
    }

    /// What the file begins with.
    pub(super) fn begin(&mut self) -> std::io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    /// Walks the message that ends at `end`; returns the number of graphs directly in it.
    pub(super) fn message(&mut self, kind: Message, end: u64, depth: u32) -> Result<u32, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::Malformed(format!("it nests deeper than {MAX_DEPTH} messages")));
        }
        let (mut graphs, mut external, mut reference) = (0, false, None);
        let (mut weight, mut name) = (Weight::default(), Name::default());
        while self.at < end {
            let tag = self.varint(end)?;
            let (field, wire_type) = (tag >> 3, tag & 7);
            if field == 0 {
                // A hole in the file reads as many of these.
                return Err(Fault::Malformed(format!("field 0 before byte {}", self.at)));
            }
            match wire_type {
                0 => {
                    let value = self.varint(end)?;
                    if kind.is_tensor() {
                        // TensorProto.data_location = EXTERNAL
                        external |= field == 14 && value == 1;
                        weight.number(field, value);
                    } else if kind == Message::Model && field == 1 {
                        self.notes.ir_version(value);
                    } else if kind == Message::Opset && field == 2 {
                        name.version = value;
                    }
                }
                1 => self.skip(8, end)?,
                2 => {
                    let length = self.varint(end)?;
                    let inner = self.at.checked_add(length).filter(|&inner| inner <= end);
                    let inner = inner.ok_or_else(|| self.beyond(length, end))?;
                    if kind.is_tensor() && field == 13 {
                        self.entry(inner, reference.get_or_insert_default())?;
                    } else if kind.is_tensor() && Weight::wants(field) {
                        weight.bytes(field, &self.short(length)?);
                    } else if let Some(part) = kind.name(field) {
                        let text = String::from_utf8_lossy(&self.short(length)?).into_owned();
                        *part(&mut name) = text;
                    } else if kind == Message::Main && Notes::wants(field) {
                        let port = self.short(length)?;
                        self.notes.port(field, &port).map_err(Fault::Malformed)?;
                    } else if let Some(child) = kind.child(field) {
                        graphs += u32::from(child == Message::Main);
                        self.message(child, inner, depth + 1)?;
                    } else {
                        self.skip(length, end)?;
                    }
                }
                5 => self.skip(4, end)?,
                other => {
                    let at = self.at;
                    return Err(Fault::Malformed(format!("wire type {other} before byte {at}")));
                }
            }
        }
        if external {
            self.refer(reference.unwrap_or_default())?;
        }
        match kind {
            Message::Tensor | Message::Weight => {
                self.notes.weight(&weight, kind == Message::Weight).map_err(Fault::Malformed)?;
            }
            Message::Node => self.notes.operator(name).map_err(Fault::Malformed)?,
            Message::Function => self.notes.function(name).map_err(Fault::Malformed)?,
            Message::Opset => self.notes.opset(name).map_err(Fault::Malformed)?,
            _ => {}
        }
        Ok(graphs)
    }

    fn refer(&mut self, Reference { location, range }: Reference) -> Result<(), Fault> {
        if let Some(known) = self.references.get_mut(&location) {
            if range.is_beyond(*known) {
                *known = range;
            }
        } else if self.references.len() == MAX_FILES {
            let reason = format!("it keeps weights in more than {MAX_FILES} files");
            return Err(Fault::Malformed(reason));
        } else {
            self.references.insert(location, range);
        }
        Ok(())
    }

    /// Reads a field that is short in any graph that somebody uses.
    fn short(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        if length > MAX_SHORT {
            let at = self.at;
            return Err(Fault::Malformed(format!(
                "a name or type at byte {at} has {length} bytes, more than {MAX_SHORT}"
            )));
        }
        let mut bytes = Vec::new();
        (&mut self.reader).take(length).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(Fault::Malformed("it ends in a field".to_owned()))
        }
    }

    /// Reads a `StringStringEntryProto` of a tensor's `external_data`.
    fn entry(&mut self, end: u64, reference: &mut Reference) -> Result<(), Fault> {
        let (mut key, mut value) = (String::new(), String::new());
        while self.at < end {
            let tag = self.varint(end)?;
            let text = match tag {
                10 => &mut key,
                18 => &mut value,
                _ => return Err(Fault::Malformed("an external_data entry is odd".to_owned())),
            };
            let length = self.varint(end)?;
            if length > MAX_ENTRY || self.at + length > end {
                return Err(self.beyond(length, end));
            }
            text.clear();
            (&mut self.reader)
                .take(length)
                .read_to_string(text)
                .map_err(|_| Fault::Malformed("an external_data entry is not text".to_owned()))?;
            self.at += length;
        }
        let number = || {
            value.parse().map_err(|_| {
                let (key, value) = (brief(key.clone(), VALUE), brief(value.clone(), VALUE));
                Fault::Malformed(format!("{key} is {value:?}, no number"))
            })
        };
        match key.as_str() {
            "location" => reference.location = value,
            "offset" => reference.range.offset = number()?,
            "length" => reference.range.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }

    fn varint(&mut self, end: u64) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.at >= end {
                return Err(Fault::Malformed(format!("a number runs past byte {end}")));
            }
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::Malformed(format!("no number before byte {}", self.at)))
    }

    fn skip(&mut self, length: u64, end: u64) -> Result<(), Fault> {
        let target = self.at.checked_add(length).filter(|&target| target <= end);
        let target = target.ok_or_else(|| self.beyond(length, end))?;
        let distance = i64::try_from(length).map_err(|_| self.beyond(length, end))?;
        self.reader.seek_relative(distance)?;
        self.at = target;
        Ok(())
    }

    fn beyond(&self, length: u64, end: u64) -> Fault {
        Fault::Malformed(format!(
            "a field at byte {} has {length} bytes and must end at {end}",
            self.at
        ))
    }
}
