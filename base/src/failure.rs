//! How a program says why it could not go on, and how whoever started it reads that again.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// How a daemon's last error begins, and each of its causes.
const ERROR: &str = "error: ";
const CAUSE: &str = "caused by: ";

/// Whether a daemon's line of output is the error that it ended with, as [`fail`] writes it.
#[must_use]
pub fn is_error(line: &str) -> bool {
    line.starts_with(ERROR)
}

/// A line of [`fail`]'s without what marks it as an error or a cause; another line, trimmed.
#[must_use]
pub fn bare(line: &str) -> &str {
    let mut line = line.trim().trim_start_matches(ERROR).trim();
    while let Some(rest) = line.strip_prefix(CAUSE) {
        line = rest.trim();
    }
    line
}

/// Writes an error and its causes to standard error; gives exit status 2 for a fault of the
/// configuration, else 1.
#[must_use]
pub fn fail(error: &(dyn Error + 'static), configuration: bool) -> ExitCode {
    fail_with(error, if configuration { 2 } else { 1 })
}

/// Writes an error and its causes to standard error; gives this exit status.
#[must_use]
pub fn fail_with(error: &(dyn Error + 'static), status: u8) -> ExitCode {
    use io::Write as _;
    let mut stderr = io::stderr().lock();
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(stderr, "{ERROR}{error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = writeln!(stderr, "  {CAUSE}{next}");
        cause = next.source();
    }
    ExitCode::from(status)
}
