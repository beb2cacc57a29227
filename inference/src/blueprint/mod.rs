//! A model folder read and judged without a session, then opened.
//!
//! `folder` knows files. A [`Family`] says which folders are of it and how to read them: through a
//! `Reader`, which has each graph's file walked once and gives its `Ports` to be judged. What is read
//! is a [`Blueprint`]: what is wrong with the folder, or else a `Draft`, which is all of the model but
//! its sessions. Opening it digests the files, opens the sessions side by side and puts the model
//! together, for every family in the same way.

mod component;
mod draft;
mod family;
pub mod folder;
mod named;
mod options;
mod place;
mod ports;
mod problems;
mod read;
mod reader;
mod report;
mod sessions;
mod shapes;

pub use self::component::Component;
pub(crate) use self::draft::Draft;
pub use self::family::Family;
pub(crate) use self::family::plain;
pub(crate) use self::named::{SCHEDULER, SCHEDULER_CONFIG};
pub use self::options::LoadOptions;
pub(crate) use self::ports::Ports;
pub use self::problems::Problem;
pub(crate) use self::problems::listed;
pub use self::read::Blueprint;
pub(crate) use self::reader::Reader;
pub use self::report::Report;
pub(crate) use self::sessions::Sessions;
pub(crate) use self::shapes::Axis;
