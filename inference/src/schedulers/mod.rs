//! Noise schedules and step rules, each from its paper, a file for each class.
//!
//! A scheduler knows no pipeline, draws no noise and reads no clock: it is built for one image's
//! run of steps, and the step noise that stochastic rules need is an argument. Names, keys and
//! numbers are those of diffusers 0.39: a folder's `scheduler_config.json` means here what it
//! means there, and `tests/schedulers` compares the two step by step.
//!
//! # How a pipeline uses it
//!
//! 1. [`build`] with the folder's [`SchedulerConfig`], the caller's [`SchedulerSpec`] and a
//!    [`Run`]. Whoever passes on a caller's `timesteps` or `sigmas` puts them there; a class that
//!    takes no such list refuses it. Where [`DynamicShift::read`] says so, `mu` goes there too.
//!    What comes back is whole: it may be built on one thread and stepped on another.
//! 2. [`Schedule::timesteps`] has one entry for each call of the model, in order: a step of
//!    Heun's method is two calls, and PNDM's first takes two. Everything else names a call by its
//!    index there. Progress counts calls.
//! 3. Text to image starts at call 0 with unit noise times [`Schedule::init_noise_sigma`]. Image
//!    to image starts at [`Run::first_call`], with [`Schedule::add_noise`] of the image's latents
//!    at that call. A run that ends early (`denoising_end`) takes the calls whose timestep is
//!    not below its cut-off; one that starts late (`denoising_start`) those below it, from an even
//!    index on where [`Schedule::order`] is 2. No other preparation is needed: a scheduler's
//!    warm-up is at the first call it is given, and from there calls come in order.
//! 4. For each call: [`Schedule::scale_model_input`], the model at the call's timestep, then
//!    [`Scheduler::step`] with the noise that [`Schedule::step_noise`] names, drawn from the
//!    image's [`NoiseStream`](crate::noise::NoiseStream). Where
//!    [`Schedule::takes_variance`] says so, the model's output is twice the sample.
//! 5. Inpainting by blending noises the known part with `add_noise` at the next call's index.
//! 6. Between two calls [`Scheduler::snapshot`] gives all that the rule remembers, as plain data.
//!    [`Scheduler::restore`] puts it into a scheduler that was built the same, maybe elsewhere and
//!    later, and the run goes on bit by bit as it would have.
//!
//! # Where things are
//!
//! `scheduler` is the front; `config` (the folder's file) and `spec` (a caller's choice) say what
//! is built, by the names of the `table`. Below it are the `classes`. They read their keys through
//! `fields`, lay out a [`Schedule`] with `levels`, and step by what `rules` has.

mod about;
mod class;
mod classes;
mod config;
mod error;
mod fields;
mod keys;
mod levels;
mod rules;
mod run;
mod schedule;
mod scheduler;
mod shift;
mod spec;
mod table;

pub use about::{About, Kind};
pub use config::SchedulerConfig;
pub use error::Error;
pub use rules::Snapshot;
pub use run::Run;
pub use schedule::Schedule;
pub use scheduler::{Scheduler, about, build};
pub use shift::DynamicShift;
pub use spec::SchedulerSpec;
pub use table::{Row, table};
