//! What every command has at hand.

use std::time::Instant;

use hearth_engine::EngineOptions;

use crate::args::Global;
use crate::context::Context;
use crate::environment::Environment;
use crate::exit::Failure;
use crate::link::Link;
use crate::output::Output;

/// The flags that all commands share, the environment, and where output goes.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) global: Global,
    pub(crate) env: Environment,
    pub(crate) output: Output,
    pub(crate) started: Instant,
}

impl App {
    /// A link to the fleet that flags, environment and files name.
    pub(crate) fn link(&self) -> Result<Link, Failure> {
        self.link_with(EngineOptions::new())
    }

    /// [`Self::link`] with an engine of other bounds.
    pub(crate) fn link_with(&self, options: EngineOptions) -> Result<Link, Failure> {
        Link::open_with(&Context::resolve(&self.global, &self.env)?, options)
    }

    /// Refuses flags that name a fleet where a command brings its own.
    pub(crate) fn refuse_fleet_flags(&self, command: &str) -> Result<(), Failure> {
        match self.global.fleet_flags().first() {
            None => Ok(()),
            Some(flag) => Err(Failure::usage(format!(
                "{flag} does not go with {command}, which brings its own registry and \
                 certificates: leave it out"
            ))),
        }
    }
}
