//! What rules of steps are made of; each class's own is in `classes`.

mod clean;
mod conversion;
mod dpm_update;
mod limit;
mod memory;
mod multistep;
mod preconditioning;
mod prediction;
mod rule;
mod slope;
mod unipc_weights;

pub(crate) use clean::Clean;
pub(crate) use conversion::{Conversion, Target};
pub(crate) use dpm_update::{Algorithm, Solver, Update, ends_at_zero};
pub(crate) use limit::Limit;
pub(crate) use memory::Memory;
pub use memory::Snapshot;
pub(crate) use multistep::{Multistep, Orders};
pub(crate) use preconditioning::{EdmMultistep, Preconditioning};
pub(crate) use prediction::{Prediction, learns_variance};
pub(crate) use rule::{Rule, Step};
pub(crate) use slope::{ancestral_split, descend, heun_call, midpoint_call};
pub(crate) use unipc_weights::{Base, MAX_ORDER, Weights};
