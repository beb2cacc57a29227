//! How a log line is written: as the config says, or as suits whoever reads.

use serde::Deserialize;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One readable line per event, in colour on a terminal unless `NO_COLOR` is set.
    Text,
    /// One JSON object per line.
    Json,
}

/// What [`Format`] comes to on a given standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Text { color: bool },
    Json,
}

impl Style {
    pub(super) fn choose(format: Format, on_terminal: bool, no_color: bool) -> Self {
        match format {
            Format::Auto if !on_terminal => Self::Json,
            Format::Json => Self::Json,
            Format::Auto | Format::Text => Self::Text { color: on_terminal && !no_color },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_text_on_a_terminal_and_json_elsewhere() {
        assert_eq!(Style::choose(Format::Auto, true, false), Style::Text { color: true });
        assert_eq!(Style::choose(Format::Auto, true, true), Style::Text { color: false });
        assert_eq!(Style::choose(Format::Auto, false, false), Style::Json);
        assert_eq!(Style::choose(Format::Text, false, false), Style::Text { color: false });
        assert_eq!(Style::choose(Format::Json, true, false), Style::Json);
    }
}
