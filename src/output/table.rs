//! Columns of text.

use std::fmt::Display;

use super::escape;

/// Text that is fit for a terminal.
#[derive(Debug)]
pub(super) struct Cell(String);

impl Cell {
    /// Takes text whose `Display` has already seen to that.
    pub(super) fn shown(text: impl Display) -> Self {
        Cell(text.to_string())
    }
}

impl<S: AsRef<str>> From<S> for Cell {
    /// Escapes text of any origin.
    fn from(text: S) -> Self {
        Cell(escape(text.as_ref()))
    }
}

/// Rows of cells under a heading, each column as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    right: Vec<bool>,
}

impl Table {
    /// With these column titles; those that begin with `>` have numbers, which stand to the right.
    pub(super) fn new(titles: &[&str]) -> Self {
        let right = titles.iter().map(|title| title.starts_with('>')).collect();
        let titles = titles.iter().map(|title| title.trim_start_matches('>').into()).collect();
        Table { rows: vec![titles], right }
    }

    /// Adds a row; an empty cell becomes `-`.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let shown = |cell: Cell| if cell.0.is_empty() { "-".into() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The lines, each ended with a newline and without blanks at its end.
    pub(super) fn render(&self) -> String {
        let length = |cell: &Cell| cell.0.chars().count();
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(length).max();
        let widths: Vec<usize> = (0..self.right.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let blanks = " ".repeat(width - length(cell));
                let (before, after) = if *right { (blanks.as_str(), "") } else { ("", blanks.as_str()) };
                line.extend([before, &cell.0, after, " "]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Table};

    #[test]
    fn columns_line_up_and_stay_on_their_line() {
        let mut table = Table::new(&["NAME", ">SIZE", "FS"]);
        table.row(["root".into(), Cell::shown(1024), "".into()]);
        table.row(["a\nb".into(), Cell::shown(5), "erofs".into()]);
        assert_eq!(
            table.render(),
            "NAME    SIZE FS\n\
             root    1024 -\n\
             a\\u{a}b    5 erofs\n"
        );
    }
}
