//! An error with its causes as one line: for a log's field, a status line, a reason.

use std::error::Error;

/// The error and its causes, outermost first, with `: ` between; what was said already is not said
/// again.
#[must_use]
pub fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = next.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Above {
        text: &'static str,
        source: io::Error,
    }

    #[test]
    fn each_cause_is_said_once_and_in_one_line() {
        let line = |text, cause: &str| {
            in_one_line(&Above { text, source: io::Error::other(cause.to_owned()) })
        };
        assert_eq!(line("it can't be read", "no such\nfile"), "it can't be read: no such file");
        assert_eq!(line("it can't be read: no file", "no file"), "it can't be read: no file");
    }
}
