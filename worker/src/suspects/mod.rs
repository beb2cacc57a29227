//! Requests that cost workers their lives.
//!
//! A request whose computing ends the process would be tried on one worker after another. So a
//! worker writes down what it computes before it begins, and the next run finds there what the last
//! one was lost to. It announces that, in its record and its health, so that engines can add up what
//! several workers know; and it refuses a request that two were lost to.
//!
//! [`book`] has the rules and is pure, [`journal`] the file and the thread that writes it.

mod book;
mod journal;

pub(crate) use journal::Journal;
