//! What two Hearth processes must agree on.
//!
//! Everything here is pure: no runtime, no sockets, no clock. A coordinator and a worker that were
//! built from different versions of this crate understand each other as [`version`] describes.
//!
//! The wire, from the outside in: [`frame`] says how a stream is cut into frames, [`codec`] how a
//! structured frame is encoded, [`message`] what the frames of a call mean, [`methods`] what each
//! method takes and gives. [`record`] is what a worker announces in the registry.

pub mod codec;
pub mod error;
pub mod frame;
pub mod generation;
pub mod ids;
pub mod limits;
pub mod message;
pub mod methods;
pub mod record;
pub mod role;
pub mod tensor;
pub mod version;

pub use error::{CallError, ErrorKind};
pub use ids::{Group, Incarnation, OwnerId, Rank, RequestId, WorkerId};
