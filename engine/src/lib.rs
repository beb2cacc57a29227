//! Hearth in a program: pictures from warm workers, and calls of all of them at once.
//!
//! An [`Engine`] accepts requests, spreads their items over workers and returns what comes of them.
//! It holds no model, and by default it owns no worker: it connects to those that a registry lists,
//! and leaves them warm when it is closed.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use hearth_engine::{
//!     Engine, GenerationRequest, Identity, NoArgs, RequestEvent, RpcOptions, call,
//! };
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // The registry that the workers announce themselves in, and a certificate of their authority.
//!     let identity = Identity::load(Path::new("pki/coordinator"))?;
//!     let engine = Engine::connect("etcd://127.0.0.1:2379/default", identity)?;
//!     engine.wait_ready(1, Duration::from_secs(10)).await?;
//!
//!     // One request of two items, followed as it runs.
//!     let request = GenerationRequest::new("red heart").num_images(2).num_inference_steps(20);
//!     let mut submission = engine.submit(request).await?;
//!     while let Some(event) = submission.next().await {
//!         match event {
//!             RequestEvent::Progress { item, step, steps, .. } => {
//!                 println!("item {item}: step {step} of {steps}");
//!             }
//!             RequestEvent::Item(item) => {
//!                 std::fs::write(format!("heart-{}.png", item.index), &item.bytes)?;
//!             }
//!             RequestEvent::ItemFailed { item, error, .. } => eprintln!("item {item}: {error}"),
//!             _ => {}
//!         }
//!     }
//!
//!     // Several requests, side by side; one that fails hides no other.
//!     let requests = ["red heart", "blue star"].map(|prompt| GenerationRequest::new(prompt).seed(7));
//!     for output in engine.step(requests.to_vec()).await {
//!         println!("{} items", output?.items.len());
//!     }
//!
//!     // A call of every worker, with the method's own types.
//!     for envelope in engine.call::<call::Stats>(NoArgs {}, RpcOptions::new()).await? {
//!         println!("{} has taken {} steps", envelope.worker, envelope.outcome?.steps);
//!     }
//!
//!     engine.close().await; // disconnects; the workers stay warm
//!     Ok(())
//! }
//! ```
//!
//! # What is where
//!
//! | you want | see |
//! | --- | --- |
//! | to connect, with the usual settings | [`Engine::connect`] |
//! | what a config file says: another executor, bounds, workers to wait for | [`config`], [`Engine::start`], [`Backends`] |
//! | workers of the program's own, which end with it | [`MpExecutor`], [`LaunchedExecutor`](executors) |
//! | an executor of your own | [`executor`], [`Backends::register`] |
//! | to run requests | [`GenerationRequest`], [`Engine::step`], [`Engine::submit`] |
//! | what happens to a request, and what comes of it | [`RequestEvent`], [`RequestOutput`], [`ItemOutput`] |
//! | a request from a document: JSON, YAML, or a PNG that Hearth has made | [`documents`] |
//! | to look at requests and items, to change or to refuse them | [`hooks`] |
//! | to call workers: built-in methods with their types, your own by name | [`Engine::call`], [`Engine::collective_rpc`], [`RpcOptions`] |
//! | to know the workers, and to wait for them | [`fleet`], [`Engine::wait_ready`], [`Engine::wait_for_model`] |
//! | the same without async code | [`blocking`] |
//! | figures for Prometheus | [`metrics`] |
//!
//! # How a request goes
//!
//! It passes the hooks and the checks, takes a place among those under way, and one task drives it
//! ([`request`]). The [`planner`] says which worker gets an item: of two that are ready and have the
//! model, the one with less to do. The item's call goes out over the executor; a failure that may
//! pass is tried on another worker. Where all of them are full the item waits for a place, and one
//! that waits on a worker goes to another that would begin it sooner. Planner and [`fleet`] are pure: no clock, no I/O, no async.
//!
//! Errors are [`CallError`]s: a kind, a message that names what was wrong and what to do, whether
//! another try may help, and which worker it was. What can't even start is an [`Error`].

pub mod blocking;
pub mod calls;
pub mod config;
mod context;
pub mod documents;
mod draw;
pub mod engine;
pub mod executor;
pub mod executors;
pub mod fleet;
pub mod hooks;
pub mod known_as;
mod metered;
pub mod metrics;
mod options;
pub mod planner;
mod readiness;
pub mod request;

pub use calls::{Envelope, Exec, RawEnvelope, ReplyFrom, RpcOptions, WorkerHealth};
pub use config::Config;
pub use context::CallContext;
pub use engine::{Engine, EngineBuilder};
pub use executor::Executor;
pub use executors::{Backends, Error, ExternalExecutor, ExternalOptions, MpExecutor, Start};
#[cfg(feature = "launchers")]
pub use executors::{LaunchedExecutor, workers};
pub use fleet::{Backlog, EndpointView, FleetView, InFlight, Outlook, WorkerStatus, WorkerView};
pub use options::EngineOptions;
pub use request::{ItemOutput, RequestEvent, RequestOutput, Submission};

pub use hearth_api::request::{GenerationRequest, Input};
pub use hearth_api::{CallError, ErrorKind, Rank, RequestId, WorkerId};
pub use hearth_api::{FinishReason, MediaFacts};
pub use hearth_fabric::identity::{Identity, Validity};
pub use hearth_protocol::methods::{Call, NoArgs, call};
