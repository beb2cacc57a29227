//! Log lines of a process: text for people, JSON for machines, on standard error.
//!
//! Standard output stays free for results. The level can be changed while the process runs,
//! through the [`Handle`] that [`init`] and [`init_daemon`] return.

mod escape;
mod queue;
mod recent;
mod style;

use std::fmt;
use std::io::{self, IsTerminal};

use serde::Deserialize;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FormatFields, MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use self::escape::Escape;
use self::queue::Queue;
use self::style::Style;

pub use self::recent::{Bounds, Entry, Excerpt, Line, MAX_LINES, Recent, Start};
pub use self::style::Format;

/// The `[log]` section of a config.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// A level (`off`, `error`, `warn`, `info`, `debug`, `trace`), or levels by target in
    /// `EnvFilter` syntax: `info,quinn=warn`.
    pub level: String,
    /// How a line is written.
    pub format: Format,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Auto }
    }
}

impl LogSettings {
    /// Checks the level, without starting anything.
    ///
    /// # Errors
    /// [`Error::Level`] if it can't be read.
    pub fn check(&self) -> Result<(), Error> {
        parse_level(&self.level).map(drop)
    }
}

/// Changes the level of the running process.
#[derive(Debug, Clone)]
pub struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    /// None where who logs writes.
    queue: Option<Queue>,
}

impl Handle {
    /// Waits about a second for what was logged so far to be written: the last act of a daemon.
    pub fn flush(&self) {
        if let Some(queue) = &self.queue {
            queue.flush();
        }
    }

    /// Takes up a new level, in the syntax of [`LogSettings::level`].
    ///
    /// # Errors
    /// [`Error::Level`] if it can't be read; the old level then stays.
    pub fn set_level(&self, level: &str) -> Result<(), Error> {
        self.filter.reload(parse_level(level)?).map_err(Error::Reload)
    }
}

/// Why logging can't start or change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is neither a level's name nor a filter.
    #[error(
        "log.level {level:?} is not known ({reason}): use off, error, warn, info, debug or trace, \
         or levels by target such as \"info,quinn=warn\""
    )]
    Level {
        /// The level as given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no thread.
    #[error("the log's thread can't be started")]
    Thread(#[source] io::Error),
    /// The process logs already.
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
    /// The subscriber of this process is gone.
    #[error("the log level can't be changed")]
    Reload(#[source] reload::Error),
}

/// Starts logging for this process; each line is written before its caller goes on. `main` calls it
/// once, since it looks at the terminal and at `NO_COLOR`.
///
/// # Errors
/// [`Error::Level`] for a level that can't be read, [`Error::AlreadySet`] at the second call.
pub fn init(settings: &LogSettings) -> Result<Handle, Error> {
    start(settings, None, io::stderr, None)
}

/// Starts logging for a daemon: a thread of its own writes, so that a reader that has paused keeps
/// nobody waiting; see [`Handle::flush`]. What is written goes into `recent` too, where there is one.
///
/// # Errors
/// As [`init`]; [`Error::Thread`].
pub fn init_daemon(settings: &LogSettings, recent: Option<Recent>) -> Result<Handle, Error> {
    let queue = Queue::start(io::stderr()).map_err(Error::Thread)?;
    let writer = queue.clone();
    start(settings, Some(queue), move || writer.clone(), recent)
}

fn start<W>(
    settings: &LogSettings,
    queue: Option<Queue>,
    writer: W,
    recent: Option<Recent>,
) -> Result<Handle, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let on_terminal = std::io::stderr().is_terminal();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());

    let (filter, filter_handle) = reload::Layer::new(parse_level(&settings.level)?);
    let style = Style::choose(settings.format, on_terminal, no_color);
    let writer = Escape::new(style, writer);
    let lines = match style {
        Style::Text { color } => layer().with_writer(writer).with_ansi(color).boxed(),
        Style::Json => layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    let kept = recent.map(|recent| {
        let plain = layer().with_writer(recent).with_ansi(false);
        plain.without_time().with_level(false).fmt_fields(plain_fields())
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(kept)
        .try_init()
        .map_err(Error::AlreadySet)?;
    Ok(Handle { filter: filter_handle, queue })
}

/// Fields without colour. A type of its own: layers with the same one share what they have made of a
/// span's fields, and the other one may have coloured them.
fn plain_fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    format::debug_fn(write_field).delimited(" ")
}

fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(out, "{value:?}"),
        name => write!(out, "{name}={value:?}"),
    }
}

/// Reads a filter, and refuses a misspelt level: `EnvFilter` alone would take `inof` for the name
/// of a target and log everything of it.
fn parse_level(level: &str) -> Result<EnvFilter, Error> {
    let refuse = |reason: String| Error::Level { level: level.to_owned(), reason };
    let parts: Vec<&str> = level.split(',').map(str::trim).collect();
    for part in &parts {
        let names_target = part.contains(['=', '[']);
        if !names_target && (part.is_empty() || part.parse::<LevelFilter>().is_err()) {
            return Err(refuse(format!("{part:?} is no level")));
        }
    }
    EnvFilter::try_new(parts.join(",")).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_read() {
        for level in ["off", "INFO", "debug", "info,quinn=warn", "warn, hearth_worker=trace"] {
            assert!(parse_level(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_by_name() {
        for level in ["inof", "", "info,", "info,quinn=loud"] {
            let message = parse_level(level).unwrap_err().to_string();
            assert!(message.contains("log.level"), "{message}");
            assert!(message.contains("use off, error"), "{message}");
        }
    }

    #[test]
    fn a_second_init_is_an_error_and_the_level_reloads() {
        let handle = init(&LogSettings::default()).unwrap();
        assert!(matches!(init(&LogSettings::default()), Err(Error::AlreadySet(_))));

        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        handle.set_level("debug").unwrap();
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(handle.set_level("loud").is_err());
        assert!(tracing::enabled!(tracing::Level::DEBUG));
    }
}
