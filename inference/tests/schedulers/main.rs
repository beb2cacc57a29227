//! The schedulers from outside: each step against diffusers' own, runs that are interrupted, and
//! what can be chosen or is refused.

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

mod cases;
mod choices;
mod odd;
mod snapshots;
mod steps;
