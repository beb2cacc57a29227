//! Tables: aligned columns without lines, that `awk` and people can read.

use std::borrow::Cow;

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

use super::Output;
use hearth_base::text;

/// A table that is being filled.
pub(crate) struct Rows {
    table: Table,
    color: bool,
}

impl Rows {
    pub(crate) fn new(output: &Output, headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if output.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|heading| Cell::new(heading.to_uppercase())));
        Self { table, color: output.color }
    }

    /// A row; what its cells say is escaped, and stays on its line.
    pub(crate) fn add(&mut self, cells: Vec<Cell>) {
        self.table.add_row(cells.into_iter().map(escape));
    }

    /// A cell in the colour of what it says: well, on the way, or wrong.
    pub(crate) fn tinted(&self, text: impl ToString, tint: Tint) -> Cell {
        let cell = Cell::new(text::escape_line(&text.to_string()));
        match tint {
            Tint::None => cell,
            _ if !self.color => cell,
            Tint::Good => cell.fg(Color::Green),
            Tint::Busy => cell.fg(Color::Yellow),
            Tint::Bad => cell.fg(Color::Red),
        }
    }

    /// The rows as text, without blanks at the ends of lines.
    pub(crate) fn text(mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines = self.table.to_string();
        lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// The cell, unless what it says has to be escaped: then one without a tint, which the caller of
/// [`Rows::tinted`] has escaped before.
fn escape(cell: Cell) -> Cell {
    let content = cell.content();
    match text::escape_line(&content) {
        Cow::Borrowed(_) => cell,
        Cow::Owned(escaped) => Cell::new(escaped),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    None,
    Good,
    Busy,
    Bad,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_plain() {
        let output = Output {
            json: false,
            quiet: false,
            interactive: false,
            live: false,
            color: false,
            color_notes: false,
            unicode: false,
        };
        let mut rows = Rows::new(&output, &["id", "state"]);
        let state = rows.tinted("ready", Tint::Good);
        rows.add(vec![Cell::new("worker-1"), state]);
        let state = rows.tinted("lost", Tint::Bad);
        rows.add(vec![Cell::new("w"), state]);
        rows.add(vec![Cell::new("\u{1b}[2J\nw1 ready"), Cell::new("\u{202e}")]);
        let shown = rows.text();
        let (last, rest) = (shown.lines().last().unwrap(), shown.rsplit_once('\n').unwrap().0);
        assert_eq!(last.split_whitespace().collect::<String>(), r"\u{1b}[2J\nw1ready\u{202e}");
        let columns =
            rest.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("  "));
        let columns = columns.collect::<Vec<_>>().join("\n");
        assert_eq!(columns, "ID  STATE\nworker-1  ready\nw  lost");
    }
}
