//! Models that make pictures by diffusion: from a folder's components and a request to a picture, step
//! by step.
//!
//! One loop serves all families (`generator`): a family is a folder in `families` that reads its
//! components, which are in `components`, and says what its prompts become
//! (`conditioning::Conditioner`). It gives a `design`, from which the model is put together. A request
//! is checked against the model's `rules` in `check` and prepared in `prepare`, its schedule is made
//! in `schedule`. A task is what a picture starts from and what stays beside it from step to step: a
//! file in `tasks`, with its checks in `check`.

mod check;
mod components;
mod conditioning;
mod control;
mod design;
mod facts;
pub mod families;
mod family;
mod generator;
mod latents;
mod layout;
mod prepare;
mod quoted;
mod request;
mod rules;
mod run;
mod schedule;
mod settings;
mod snapshot;
mod tasks;

pub use self::family::PictureFamily;
pub use self::run::PictureRun;
