//! What a Hearth daemon tells the people and machines that look after it.
//!
//! [`log`] writes log lines, [`metrics`] has what counters are made of, [`procinfo`] looks at the
//! own process. This crate starts no task of its own: whoever builds a component drives it. What
//! each program counts is that program's.

pub mod log;
pub mod metrics;
pub mod procinfo;
