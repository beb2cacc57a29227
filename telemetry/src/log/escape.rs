//! The log's door to the outside: what a peer, a record or a file brought into a line can neither
//! begin a line of its own nor change how others are shown.

use std::borrow::Cow;
use std::io::{self, Write};

use hearth_base::text;
use tracing_subscriber::fmt::MakeWriter;

use super::style::Style;

/// Makes writers that escape each line for its style.
pub(super) struct Escape<M> {
    style: Style,
    inner: M,
}

impl<M> Escape<M> {
    pub(super) fn new(style: Style, inner: M) -> Self {
        Self { style, inner }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Escape<M> {
    type Writer = LineWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { style: self.style, inner: self.inner.make_writer() }
    }
}

/// Takes one whole line at a time, as the formatter gives it.
pub(super) struct LineWriter<W> {
    style: Style,
    inner: W,
}

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = escape(self.style, body).into_owned();
        escaped.push('\n');
        self.inner.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn escape(style: Style, line: &str) -> Cow<'_, str> {
    match style {
        Style::Json => text::escape_json(line),
        Style::Text { color: false } => text::escape_line(line),
        // A line ends where the formatter ends it, and nowhere else.
        Style::Text { color: true } => Cow::Owned(text::escape_styled(line).replace('\n', r"\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_in_every_style() {
        let hostile = "a\u{1b}[31mred\u{1b}[2J\nerror: forged\u{9b}\u{202e}";
        for (style, line) in [
            (Style::Text { color: false }, r"a\u{1b}[31mred\u{1b}[2J\nerror: forged\u{9b}\u{202e}"),
            (
                Style::Text { color: true },
                "a\u{1b}[31mred\\u{1b}[2J\\nerror: forged\\u{9b}\\u{202e}",
            ),
        ] {
            let mut written = Vec::new();
            let mut writer = LineWriter { style, inner: &mut written };
            writer.write_all(format!("{hostile}\n").as_bytes()).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
        }
        let mut written = Vec::new();
        let mut writer = LineWriter { style: Style::Json, inner: &mut written };
        writer.write_all("{\"a\":\"\\n\u{9b}\u{202e}\"}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "{\"a\":\"\\n\\u009b\\u202e\"}\n");
    }
}
