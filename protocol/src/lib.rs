//! What two Hearth processes must agree on.
//!
//! Everything here is pure: no runtime, no sockets, no clock. A coordinator and a worker that were
//! built from different versions of this crate understand each other as [`version`] describes.
//!
//! The wire, from the outside in: [`frame`] says how a stream is cut into frames, [`codec`] how a
//! structured frame is encoded, [`message`] what the frames of a call mean, [`methods`] what each
//! method takes and gives. [`record`] is what a worker announces in the registry. What they speak of
//! (requests, ids, tensors, errors) is `hearth-api`'s.

pub mod codec;
pub mod frame;
pub mod limits;
pub mod message;
pub mod methods;
pub mod record;
pub mod role;
pub mod version;
