//! Just enough of the protobuf wire format to rewrite a message in memory.

/// Most fields of one message: each takes many times its bytes. The largest graphs have some hundred
/// thousand nodes.
const MAX_FIELDS: usize = 1 << 20;

/// One field of a message.
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) number: u64,
    /// What it holds.
    pub(super) value: Value<'a>,
    /// All of its bytes, tag included, to be copied as they are.
    pub(super) raw: &'a [u8],
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// An integer or an enumeration.
    Varint(u64),
    /// A text, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes, which nobody here looks into.
    Fixed,
}

impl<'a> Field<'a> {
    /// The payload of a text or message.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Fixed => None,
        }
    }
}

/// The fields of a message; `None` if it is malformed, or has more than a million.
pub(super) fn fields(mut message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let mut rest = message;
        let tag = varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut rest)?),
            1 => fixed(&mut rest, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (payload, after) = rest.split_at_checked(length)?;
                rest = after;
                Value::Bytes(payload)
            }
            5 => fixed(&mut rest, 4)?,
            _ => return None,
        };
        if fields.len() == MAX_FIELDS {
            return None;
        }
        let raw = &message[..message.len() - rest.len()];
        fields.push(Field { number: tag >> 3, value, raw });
        message = rest;
    }
    Some(fields)
}

/// Copies a message with its texts and messages in fields of these `numbers` rewritten.
pub(super) fn rewrite(
    message: &[u8],
    numbers: &[u64],
    change: impl Fn(u64, &[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 8);
    for field in fields(message)? {
        match field.bytes() {
            Some(payload) if numbers.contains(&field.number) => {
                put_bytes(&mut out, field.number, &change(field.number, payload)?);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

/// Reads a number off the front of `bytes`.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn fixed<'a>(bytes: &mut &'a [u8], length: usize) -> Option<Value<'a>> {
    *bytes = bytes.split_at_checked(length)?.1;
    Some(Value::Fixed)
}

/// Appends an integer field.
pub(super) fn put_varint(out: &mut Vec<u8>, number: u64, value: u64) {
    push_varint(out, number << 3);
    push_varint(out, value);
}

/// Appends a text or message field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, payload: &[u8]) {
    push_varint(out, number << 3 | 2);
    push_varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
