//! What a command prints: results on standard output, everything else on standard error.
//!
//! A reader that goes away (`hearth workers | head -1`) ends the command quietly.

pub(crate) mod file;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod text;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use hearth_base::text as escaping;
use serde::Serialize;

use crate::args::Global;
use crate::environment::Environment;
use crate::exit::{Failure, Status};

/// How to print, for this terminal and these flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Standard output is read by a person, and can be drawn over.
    pub(crate) interactive: bool,
    /// Progress may be drawn on standard error.
    pub(crate) live: bool,
    /// Standard output may be coloured.
    pub(crate) color: bool,
    /// Standard error may be coloured.
    pub(crate) color_notes: bool,
    /// More than ASCII may be drawn.
    pub(crate) unicode: bool,
}

impl Output {
    pub(crate) fn new(global: &Global, env: &Environment) -> Self {
        let interactive = io::stdout().is_terminal() && !env.dumb_terminal;
        let watched = io::stderr().is_terminal() && !env.dumb_terminal;
        Self {
            json: global.json,
            quiet: global.quiet,
            interactive,
            live: watched && !global.quiet,
            color: interactive && !env.no_color,
            color_notes: watched && !env.no_color,
            unicode: env.utf8,
        }
    }

    /// A result, as text: what comes from outside is shown escaped.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let shown = self.escape(&text.to_string());
        self.bytes(format!("{shown}\n").as_bytes())
    }

    /// Text as standard output may show it. Colours of tables stay, whose cells are escaped one by one.
    pub(crate) fn escape(&self, shown: &str) -> String {
        match self.color {
            true => escaping::escape_styled(shown),
            false => escaping::escape_lines(shown).into_owned(),
        }
    }

    /// A result for machines: one document.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
        self.line(escaping::escape_json(&text))
    }

    /// A result for machines: one of several documents, each on its line.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(anyhow::Error::from)?;
        self.line(escaping::escape_json(&text))
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Failure::quiet(Status::Done);
            }
            Failure::failed("standard output can't be written").caused_by(Some(&error))
        })
    }

    /// Context for a person, on one line; an empty line may stand before it.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            say(text);
        }
    }
}

/// A line on standard error, whoever reads it: what comes from outside begins none of its own.
pub(crate) fn say(text: impl Display) {
    let text = text.to_string();
    let line = text.trim_start_matches('\n');
    let before = &text[..text.len() - line.len()];
    print_error(&format!("{before}{}", escaping::escape_line(line)));
}

/// A failure on standard error, a line for each of its causes.
pub(crate) fn say_failure(failure: &Failure) {
    print_error(&failure.to_string());
}

fn print_error(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr().lock(), "{}", escaping::escape_lines(text));
}
