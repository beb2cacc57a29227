//! A class of schedulers: its facts, and how one run's schedule and rule are built.

use super::about::About;
use super::error::Error;
use super::fields::Fields;
use super::rules::Rule;
use super::run::Run;
use super::schedule::Schedule;

/// One class of diffusers; each file in `classes` declares one.
#[derive(Debug)]
pub(super) struct Class {
    /// What is known without building it.
    pub(super) about: About,
    /// Builds the schedule of one run and the rule of its steps.
    pub(super) build: fn(&Fields<'_>, &Run) -> Result<Assembly, Error>,
}

/// What a class builds for one run.
pub(super) type Assembly = (Schedule, Box<dyn Rule>);

impl PartialEq for Class {
    /// Names are unique, as a test of the table sees to.
    fn eq(&self, other: &Self) -> bool {
        self.about.name == other.about.name
    }
}
