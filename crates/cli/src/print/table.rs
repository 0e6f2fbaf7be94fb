use anyhow::Result;
use comfy_table::{Attribute, CellAlignment, Color};

use super::{Console, Tone, printable};

/// A column by its heading.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// From the left.
    Text(&'static str),
    /// From the right.
    Number(&'static str),
}

/// What stands in a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// In this tone.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    /// What may be missing.
    pub(crate) fn maybe(text: Option<&str>) -> Self {
        text.map_or_else(|| Self::toned(Tone::Faint, "-"), Self::from)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// Rows without frames, so that the usual text tools can read them too.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes it.
    pub(crate) fn print(&self, console: &Console) -> Result<()> {
        console.line(&self.text(console.colour))
    }

    fn text(&self, colour: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if colour {
            table.enforce_styling();
            table.style_text_only();
        } else {
            table.force_no_tty();
        }
        table.set_header(self.columns.iter().map(|column| {
            let (Column::Text(name) | Column::Number(name)) = column;
            comfy_table::Cell::new(name).add_attribute(Attribute::Bold)
        }));
        for row in &self.rows {
            table.add_row(row.iter().map(styled));
        }
        for (column, kind) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2));
            if matches!(kind, Column::Number(_)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines: Vec<String> = table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        lines.join("\n")
    }
}

fn styled(cell: &Cell) -> comfy_table::Cell {
    let styled = comfy_table::Cell::new(printable(&cell.text));
    match cell.tone {
        Tone::Good => styled.fg(Color::DarkGreen),
        Tone::Notice => styled.fg(Color::DarkYellow),
        Tone::Bad => styled.fg(Color::DarkRed),
        Tone::Strong => styled.add_attribute(Attribute::Bold),
        Tone::Faint => styled.add_attribute(Attribute::Dim),
        Tone::Plain => styled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[Column::Text("NIC"), Column::Number("FLOWS")]);
        table.row(["web-1/eth0".into(), Cell::toned(Tone::Good, "12,000")]);
        table.row(["db/eth0".into(), "7".into()]);
        table
    }

    #[test]
    fn numbers_stand_at_the_right() {
        assert_eq!(
            sample().text(false),
            "NIC          FLOWS\nweb-1/eth0  12,000\ndb/eth0          7"
        );
    }

    #[test]
    fn colours_add_nothing_but_sequences() {
        let coloured = sample().text(true);
        assert!(coloured.contains("12,000\x1b["), "{coloured:?}");
        assert!(!sample().text(false).contains('\x1b'));
    }

    #[test]
    fn what_is_shown_cannot_drive_the_terminal() {
        let mut table = Table::new(&[Column::Text("REASON")]);
        table.row(["\x1b]0;gotcha\x07".into()]);
        assert!(!table.text(true).contains("\x1b]"));
    }
}
