//! What two Hearth processes must agree on: ids, messages, errors, tensors, codec, records, version.
