//! Columns of text, made to fit.

use std::fmt::Display;

use super::escape;
use super::term::{Style, Term, term};
use super::width::{cut, width, wrap};

/// Text that is fit for a terminal.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Takes text whose `Display` has already seen to that.
    pub(super) fn shown(text: impl Display) -> Self {
        Cell { text: text.to_string(), style: Style::Plain }
    }

    /// Our own word in a colour.
    pub(super) fn styled(style: Style, word: impl Display) -> Self {
        Cell { text: word.to_string(), style }
    }
}

impl<S: AsRef<str>> From<S> for Cell {
    /// Escapes text of any origin.
    fn from(text: S) -> Self {
        Cell { text: escape(text.as_ref()), style: Style::Plain }
    }
}

/// Rows of cells under a heading, each column as wide as its widest cell, or as wide as there is room for.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    right: Vec<bool>,
    /// Columns that may be cut, each to so many columns of the terminal at least.
    least: Vec<Option<usize>>,
    /// Columns that are left out if there is no room, in this order.
    order: Vec<usize>,
    gap: usize,
}

/// A column takes no less when it is cut.
const LEAST: usize = 8;

impl Table {
    /// With these column titles; those that begin with `>` have numbers, which stand to the right.
    pub(super) fn new(titles: &[&str]) -> Self {
        let right = titles.iter().map(|title| title.starts_with('>')).collect();
        let title = |title: &&str| Cell::styled(Style::Faint, title.trim_start_matches('>'));
        Table {
            rows: vec![titles.iter().map(title).collect()],
            right,
            least: vec![None; titles.len()],
            order: Vec::new(),
            gap: 1,
        }
    }

    /// Where there is no room, these columns are cut first, and then left out, in the order in which they are named.
    pub(super) fn dropping(mut self, titles: &[&str]) -> Self {
        let heads = self.rows.first().map(Vec::as_slice).unwrap_or_default();
        self.order = titles
            .iter()
            .filter_map(|title| heads.iter().position(|head| head.text.trim() == *title))
            .collect();
        self
    }

    /// Where there is no room, these columns are cut.
    pub(super) fn cutting(mut self, titles: &[&str]) -> Self {
        let heads = self.rows.first().map(Vec::as_slice).unwrap_or_default();
        for (least, head) in self.least.iter_mut().zip(heads) {
            if titles.contains(&head.text.trim()) {
                *least = Some(LEAST.max(width(&head.text)));
            }
        }
        self
    }

    /// With so many blanks between columns.
    pub(super) fn gap(mut self, blanks: usize) -> Self {
        self.gap = blanks;
        self
    }

    /// Adds a row; an empty cell becomes `-`.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let shown = |cell: Cell| if cell.text.is_empty() { "-".into() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The lines, each ended with a newline and without blanks at its end; if they are too long for the terminal, each row as a
    /// list, so that nothing is missing.
    pub(super) fn render(&self) -> String {
        self.render_on(term())
    }

    fn render_on(&self, term: &Term) -> String {
        let widths = self.natural();
        match self.total(&widths, &self.all()) <= term.columns {
            true => self.lines(&widths, &self.all(), term),
            false => self.lists(term),
        }
    }

    /// The lines, as long as the terminal is wide: cells are cut and columns left out.
    pub(super) fn fitted(&self, term: &Term) -> String {
        let natural = self.natural();
        let mut columns = self.all();
        let mut order = self.order.iter();
        loop {
            let mut widths = natural.clone();
            // the widest that can be cut, one by one
            while self.total(&widths, &columns) > term.columns {
                let can_be_cut = |column: &&usize| {
                    let least = self.least.get(**column).copied().flatten();
                    least.is_some_and(|least| widths[**column] > least)
                };
                let Some(widest) = columns.iter().filter(can_be_cut).max_by_key(|column| widths[**column])
                else {
                    break;
                };
                widths[*widest] -= 1;
            }
            let fits = self.total(&widths, &columns) <= term.columns;
            match order.next().filter(|_| !fits) {
                Some(dropped) => columns.retain(|column| column != dropped),
                None => return self.lines(&widths, &columns, term),
            }
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.right.len()).collect()
    }

    fn natural(&self) -> Vec<usize> {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        self.all()
            .into_iter()
            .map(|column| cells(column).map(|cell| width(&cell.text)).max().unwrap_or(0))
            .collect()
    }

    fn total(&self, widths: &[usize], columns: &[usize]) -> usize {
        columns.iter().map(|column| widths[*column] + self.gap).sum::<usize>().saturating_sub(self.gap)
    }

    fn lines(&self, widths: &[usize], columns: &[usize], term: &Term) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let (mut line, mut blanks, mut left) = (String::new(), 0, term.columns);
            for &column in columns {
                let Some(cell) = row.get(column) else { continue };
                // what does not fit into the line is cut with it
                let width_here = widths[column].min(left.saturating_sub(blanks));
                let shown = cut(&cell.text, width_here, term);
                let rest = width_here - width(&shown);
                let before = blanks + if self.right[column] { rest } else { 0 };
                if !shown.is_empty() {
                    line.push_str(&" ".repeat(before));
                    line.push_str(&term.paint(cell.style, &shown));
                    left -= before + width(&shown);
                    blanks = 0;
                } else {
                    blanks = before;
                }
                blanks += self.gap + if self.right[column] { 0 } else { rest };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Each row as a list of titles and cells; what says nothing is left out.
    fn lists(&self, term: &Term) -> String {
        let mut text = String::new();
        let Some((titles, rows)) = self.rows.split_first() else { return text };
        let indent = titles.first().map_or(0, |title| title.text.len() - title.text.trim_start().len());
        for row in rows {
            let said = |(title, cell): (&Cell, &Cell)| {
                let is_said = cell.text.trim() != "-";
                is_said.then(|| format!("{}: {}", title.text.trim().to_lowercase(), cell.text.trim()))
            };
            // pairs stay together as long as one fits into a line
            let (mut lines, mut line) = (Vec::new(), " ".repeat(indent));
            for pair in titles.iter().zip(row).filter_map(said) {
                if line.trim().is_empty() {
                    line.push_str(&pair);
                } else if width(&line) + 2 + width(&pair) <= term.columns {
                    line.push_str("  ");
                    line.push_str(&pair);
                } else {
                    lines.push(std::mem::replace(&mut line, " ".repeat(indent + 3) + &pair));
                }
            }
            lines.push(line);
            for line in lines.iter().flat_map(|line| wrap(line, term.columns, indent + 5)) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new(&["NAME", ">SIZE", "FS", "LABEL"]).cutting(&["LABEL", "FS"]).dropping(&["FS", "SIZE"]);
        table.row(["root".into(), Cell::shown(1024), "".into(), "日本語日本語日本語".into()]);
        table.row(["a\nb".into(), Cell::shown(5), "erofs".into(), "x".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_stay_on_their_line() {
        assert_eq!(
            table().render_on(&Term::plain(80)),
            "NAME    SIZE FS    LABEL\n\
             root    1024 -     日本語日本語日本語\n\
             a\\u{a}b    5 erofs x\n"
        );
    }

    #[test]
    fn columns_are_cut_and_left_out_in_their_order() {
        assert_eq!(
            table().fitted(&Term::plain(30)),
            "NAME    SIZE FS    LABEL\n\
             root    1024 -     日本語日本…\n\
             a\\u{a}b    5 erofs x\n"
        );
        assert_eq!(
            table().fitted(&Term::plain(24)),
            "NAME    SIZE LABEL\n\
             root    1024 日本語日本…\n\
             a\\u{a}b    5 x\n"
        );
        assert_eq!(table().fitted(&Term::plain(20)), "NAME    LABEL\nroot    日本語日本…\na\\u{a}b x\n");
        for columns in 4..60 {
            let text = table().fitted(&Term::plain(columns));
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}: {text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_a_list() {
        assert_eq!(
            table().render_on(&Term::plain(30)),
            "name: root  size: 1024\n   label: 日本語日本語日本語\nname: a\\u{a}b  size: 5\n   fs: erofs  label: x\n"
        );
        for columns in 20..60 {
            let text = table().render_on(&Term::plain(columns));
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}: {text}");
        }
    }

    #[test]
    fn colour_takes_no_column() {
        let term = Term { has_color: true, ..Term::plain(80) };
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::styled(Style::Good, "ok"), "x".into()]);
        assert_eq!(
            table.render_on(&term),
            "\u{1b}[2mA\u{1b}[0m  \u{1b}[2mB\u{1b}[0m\n\u{1b}[32mok\u{1b}[0m x\n"
        );
    }
}
