//! What a graph says of a value, its `ValueInfoProto`: name (1) and type (2), which for a tensor has a
//! tensor_type (1) with elem_type (1) and shape (2).

use super::proto;

pub(super) fn name_of(value_info: &[u8]) -> Option<&[u8]> {
    inner(value_info, 1)
}

/// The value's `TypeProto.Tensor`.
pub(super) fn tensor_type(value_info: &[u8]) -> Option<&[u8]> {
    inner(inner(value_info, 2)?, 1)
}

/// The same value with another `TypeProto.Tensor`.
pub(super) fn rewrite_tensor(
    value_info: &[u8],
    change: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    proto::rewrite(value_info, &[2], |_, kind| {
        proto::rewrite(kind, &[1], |_, tensor| change(tensor))
    })
}

fn inner(message: &[u8], number: u64) -> Option<&[u8]> {
    proto::fields(message)?.iter().find(|field| field.number == number)?.bytes()
}
