//! The engine that plans and executes requests over a fleet of workers.
//!
//! An [`Engine`] is the front for callers; an [`Executor`] is how it reaches workers, the external
//! one ([`ExternalExecutor`]) by connecting to those that a registry knows. A worker's life is
//! never the engine's: closing disconnects, and changes nothing.
//!
//! ```no_run
//! # async fn example(
//! #     registry: std::sync::Arc<dyn hearth_fabric::registry::Registry>,
//! #     identity: std::sync::Arc<hearth_fabric::identity::Identity>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use hearth_engine::{Engine, ExternalExecutor, ExternalOptions, GenerationRequest};
//!
//! let executor = ExternalExecutor::start(ExternalOptions {
//!     registry,
//!     identity: identity.into(),
//!     agent: "example/1".to_owned(),
//!     settings: hearth_fabric::quic::Settings::default(),
//!     only: None,
//! })?;
//! let engine = Engine::new(Arc::new(executor));
//! engine.wait_ready(1, Duration::from_secs(10)).await?;
//! let request = GenerationRequest { prompt: "red heart".to_owned(), ..Default::default() };
//! for image in engine.submit(request).await?.finish().await?.images {
//!     std::fs::write("heart.png", image?.bytes)?;
//! }
//! engine.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! From the outside in: [`engine`] accepts requests and [`collective`] calls, [`request`] drives an
//! accepted request to its one end, [`planner`] says which worker gets an image, [`fleet`] is what
//! is known of the workers, [`executors`] reach them. Planner and fleet are pure.

pub mod blocking;
pub mod collective;
pub mod config;
mod draw;
pub mod engine;
pub mod executor;
pub mod executors;
pub mod fleet;
pub mod hooks;
pub mod known_as;
mod metered;
pub mod metrics;
pub mod planner;
pub mod request;

pub use collective::{Envelope, Exec, RawEnvelope, ReplyFrom, RpcOptions, WorkerHealth};
pub use config::Config;
pub use engine::{Engine, EngineBuilder, EngineOptions};
pub use executor::Executor;
pub use executors::{Backends, Error, ExternalExecutor, ExternalOptions, MpExecutor, Start};
#[cfg(feature = "launchers")]
pub use executors::{LaunchedExecutor, workers};
pub use fleet::{EndpointView, FleetView, InFlight, WorkerStatus, WorkerView};
pub use request::{ImageOutput, RequestEvent, RequestOutput, Submission};

pub use hearth_api::FinishReason;
pub use hearth_api::request::GenerationRequest;
pub use hearth_api::{CallError, ErrorKind, Rank, RequestId, WorkerId};
