//! Tables: aligned columns without lines, that `awk` and people can read.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

use super::Output;

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

    pub(crate) fn add(&mut self, cells: Vec<Cell>) {
        self.table.add_row(cells);
    }

    /// A cell in the colour of what it says: well, on the way, or wrong.
    pub(crate) fn tinted(&self, text: impl ToString, tint: Tint) -> Cell {
        let cell = Cell::new(text);
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
        assert_eq!(rows.text(), "ID        STATE\nworker-1  ready\nw         lost");
    }
}
