//! How calls travel: QUIC with mutual TLS, one connection per coordinator and worker, one
//! bidirectional stream per call. The only home of `quinn`.
//!
//! [`Connector`] and [`Connection`] are the caller's side, [`Listener`] and [`Service`] the
//! worker's. What a call means is the caller's and the service's business.

mod call;
mod client;
mod error;
mod keys;
mod lapse;
mod memory;
mod renewal;
mod responder;
mod runtime;
mod server;
mod settings;
mod socket;
mod stream;
mod tls;

pub use call::{Call, CallEvent, Payload};
pub use client::{Connection, Connector, Target};
pub use error::{CloseReason, Error};
pub use keys::{EndpointKeys, KeysError};
pub use responder::Responder;
pub use server::{IncomingCall, Listener, Peer, Service};
pub use settings::Settings;
pub use socket::{GrantedBuffers, WANTED_BUFFER, bind as bind_socket};
