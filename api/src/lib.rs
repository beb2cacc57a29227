//! What people, the wire and models all speak of: requests and their fields, ids, tasks, element
//! types, formats, errors.
//!
//! Everything here is plain data: no runtime, no socket, no file and no clock. [`request`] is the
//! generation request in all its forms (JSON, `MessagePack`), [`error`] what goes wrong with a call,
//! [`ids`] how things are named, [`json`] reads what people wrote, [`tensor`] what raw tensors consist of, [`trace`] which trace a call
//! belongs to, [`limits`] the bounds on all of them. How these travel is `hearth-protocol`'s.

pub mod error;
pub mod ids;
pub mod json;
pub mod limits;
mod media;
mod nearest;
pub mod request;
mod result;
pub mod tensor;
pub mod trace;

pub use error::{CallError, ErrorKind};
pub use ids::{Group, Incarnation, OwnerId, Rank, RequestId, WorkerId};
pub use media::MediaFacts;
pub use nearest::nearest;
pub use request::GenerationRequest;
pub use result::FinishReason;
