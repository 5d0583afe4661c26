//! Pictures that a terminal can show: a disk to scale, and which blocks of a tree are good.

use std::ops::Range;

use super::term::{Style, Term};
use super::width::{cut, width, wrap};

/// What a piece of a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// A copy of the partition table.
    Table,
    /// A partition that is used.
    Used,
    /// A partition that is not.
    Unused,
    /// The end of a partition, which its hash tree does not cover.
    Tail,
    /// In no partition.
    Free,
    /// Behind the end of the file.
    Missing,
}

impl Fill {
    const ALL: [Fill; 6] = [Fill::Table, Fill::Used, Fill::Unused, Fill::Tail, Fill::Free, Fill::Missing];

    /// Two marks that take turns, so that neighbours are told apart.
    fn marks(self, term: &Term) -> [&'static str; 2] {
        match (self, term.is_unicode) {
            (Fill::Table, true) => ["╫"; 2],
            (Fill::Table, false) => ["|"; 2],
            (Fill::Used, true) => ["█", "▓"],
            (Fill::Used, false) => ["#", "="],
            (Fill::Unused, true) => ["▒", "░"],
            (Fill::Unused, false) => ["-", "+"],
            (Fill::Tail, _) => ["~"; 2],
            (Fill::Free, true) => ["·"; 2],
            (Fill::Free, false) => ["."; 2],
            (Fill::Missing, true) => ["×"; 2],
            (Fill::Missing, false) => ["x"; 2],
        }
    }

    fn style(self) -> Style {
        match self {
            Fill::Used | Fill::Unused => Style::Plain,
            Fill::Table | Fill::Free => Style::Faint,
            Fill::Tail => Style::Doubtful,
            Fill::Missing => Style::Bad,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Fill::Table => "table",
            Fill::Used => "used",
            Fill::Unused => "not used",
            Fill::Tail => "not in the tree",
            Fill::Free => "free",
            Fill::Missing => "missing",
        }
    }

    /// Returns true if a piece is shown however small it is.
    fn is_always_shown(self) -> bool {
        matches!(self, Fill::Used | Fill::Unused | Fill::Missing)
    }
}

/// A piece of a disk, in order of place.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) fill: Fill,
    /// Bytes.
    pub(super) size: u64,
    /// What stands above it where there is room, fit for a terminal: the number of a partition.
    pub(super) label: String,
}

/// Columns of a disk: more show no more.
const MAX_DISK: usize = 160;

/// The disk as a line to scale, under the labels of its pieces and over its size, with a legend of what is in it. Pieces that
/// matter take a column at least, as long as there are columns for all of them.
pub(super) fn disk(pieces: &[Piece], size: &str, indent: usize, term: &Term) -> String {
    let columns = term.columns.saturating_sub(indent).clamp(8, MAX_DISK);
    let cells = cells(pieces, columns);
    let (mut labels, mut bar) = (String::new(), String::new());
    let mut turns = [0_usize; Fill::ALL.len()];
    // where the next label may begin
    let (mut at, mut free_from) = (0, 0);
    for (piece, cells) in pieces.iter().zip(cells) {
        if cells == 0 {
            continue;
        }
        let turn = &mut turns[piece.fill as usize];
        bar.push_str(&term.paint(piece.fill.style(), &piece.fill.marks(term)[*turn % 2].repeat(cells)));
        *turn += 1;
        let needed = width(&piece.label);
        if needed > 0 && at >= free_from && at + needed <= columns {
            labels.push_str(&" ".repeat(at - width(&labels)));
            labels.push_str(&piece.label);
            free_from = at + needed + 1;
        }
        at += cells;
    }
    let shown = |fill: &Fill| turns[*fill as usize] > 0;
    let legend: Vec<_> = (Fill::ALL.iter().filter(|fill| shown(fill)))
        .map(|fill| {
            let marks = fill.marks(term);
            let marks = if marks[0] == marks[1] || turns[*fill as usize] < 2 {
                marks[0].into()
            } else {
                marks.concat()
            };
            format!("{marks} {}", fill.name())
        })
        .collect();
    let scale = format!("0{}{size}", " ".repeat(columns.saturating_sub(1 + width(size))));
    let legend = wrap(&legend.join("  "), columns, 0);
    lines([labels, bar, scale].into_iter().chain(legend), indent, columns, term)
}

fn lines(lines: impl IntoIterator<Item = String>, indent: usize, columns: usize, term: &Term) -> String {
    let blanks = " ".repeat(indent);
    let fit = |line: String| if line.contains('\x1b') { line } else { cut(line.trim_end(), columns, term) };
    lines
        .into_iter()
        .map(fit)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{blanks}{line}\n"))
        .collect()
}

/// How many columns each piece takes: together all there are.
fn cells(pieces: &[Piece], columns: usize) -> Vec<usize> {
    let total: u128 = pieces.iter().map(|piece| u128::from(piece.size)).sum();
    if total == 0 {
        return vec![0; pieces.len()];
    }
    let least = |piece: &Piece| usize::from(piece.fill.is_always_shown() && piece.size > 0);
    if pieces.iter().map(least).sum::<usize>() > columns {
        // too many: each column belongs to what is in its middle
        let (mut cells, mut number, mut end) = (vec![0; pieces.len()], 0, 0_u128);
        for column in 0..columns as u128 {
            let middle = (2 * column + 1) * total / (2 * columns as u128);
            while number < pieces.len() && end + u128::from(pieces[number].size) <= middle {
                end += u128::from(pieces[number].size);
                number += 1;
            }
            if let Some(cells) = cells.get_mut(number) {
                *cells += 1;
            }
        }
        return cells;
    }
    let exact = |piece: &Piece| u128::from(piece.size) * columns as u128;
    let mut cells: Vec<usize> =
        pieces.iter().map(|piece| least(piece).max((exact(piece) / total) as usize)).collect();
    // what a piece has less, or more, than its share
    let lack = |piece: &Piece, cells: usize| exact(piece) as i128 - (cells as u128 * total) as i128;
    loop {
        let taken: usize = cells.iter().sum();
        let numbered = || pieces.iter().zip(&cells).enumerate();
        let next = match taken.cmp(&columns) {
            std::cmp::Ordering::Equal => return cells,
            std::cmp::Ordering::Less => numbered()
                .max_by_key(|(_, (piece, cells))| lack(piece, **cells))
                .map(|(number, _)| (number, 1)),
            std::cmp::Ordering::Greater => numbered()
                .filter(|(_, (piece, cells))| **cells > least(piece))
                .min_by_key(|(_, (piece, cells))| lack(piece, **cells))
                .map(|(number, _)| (number, usize::MAX)),
        };
        let Some((number, step)) = next else { return cells };
        cells[number] = cells[number].wrapping_add(step);
    }
}

/// Which blocks are not as they should be, each list in ascending order.
pub(super) struct Blocks<'a> {
    pub(super) count: u64,
    /// Of the blocks from here on, it is not told how they are.
    pub(super) told: u64,
    pub(super) corrupt: &'a [Range<u64>],
    /// Those that cannot be judged.
    pub(super) unproven: &'a [Range<u64>],
    /// Returns true if nothing is stored for all of these blocks.
    pub(super) is_hole: &'a dyn Fn(Range<u64>) -> bool,
}

/// Rows of a map of blocks.
const ROWS: u64 = 8;
/// Columns of a map of blocks, but for the numbers in front.
const MAX_ROW: usize = 64;
/// Parts of a braille character, in the order in which they are blocks: down the left side, then down the right.
const DOTS: [u32; 8] = [0x01, 0x02, 0x04, 0x40, 0x08, 0x10, 0x20, 0x80];

/// A map of the blocks of a tree: one mark for each block, or for as many as needed that it takes no more than eight lines. In a
/// mark for several, each of its eight dots is as many of them.
pub(super) fn blocks(blocks: &Blocks<'_>, block_size: u32, indent: usize, term: &Term) -> String {
    let digits = blocks.count.to_string().len();
    let row = term.columns.saturating_sub(indent + digits + 1).min(MAX_ROW) / 8 * 8;
    let row = (row as u64).max(8);
    let in_mark = match blocks.count.div_ceil(row * ROWS) {
        0 | 1 => 1,
        // so that each dot is as many blocks as the others
        more => more.next_power_of_two().max(8),
    };
    let marks = blocks.count.div_ceil(in_mark);
    let (mut text, mut seen) = (String::new(), Vec::new());
    for first in (0..marks).step_by(row as usize) {
        let line: String = (first..(first + row).min(marks))
            .map(|mark| {
                let range = mark * in_mark..((mark + 1) * in_mark).min(blocks.count);
                let state = State::of(blocks, &range);
                if !seen.contains(&state) {
                    seen.push(state);
                }
                let shown = state.mark(term);
                let shown = match state {
                    State::Corrupt if in_mark > 1 && term.is_unicode => {
                        dots(blocks, &range, in_mark / 8).to_string()
                    }
                    State::Corrupt if in_mark > 1 && !is_all(blocks.corrupt, &range) => "+".into(),
                    _ => shown.to_owned(),
                };
                term.paint(state.style(), &shown)
            })
            .collect();
        text.push_str(&format!("{:indent$}{:>digits$} {line}\n", "", first * in_mark));
    }
    let legend: Vec<_> = (State::ALL.iter().filter(|state| seen.contains(state)))
        .map(|state| format!("{} {}", state.mark(term), state.name()))
        .collect();
    let scale = match in_mark {
        1 => format!("a mark: a block of {block_size} bytes"),
        n => format!("a mark: {n} blocks of {block_size} bytes"),
    };
    for line in wrap(&format!("{}  {scale}", legend.join("  ")), term.columns.saturating_sub(indent), 0) {
        text.push_str(&format!("{:indent$}{line}\n", ""));
    }
    text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Hole,
    Corrupt,
    /// Corrupt, and nothing is stored there.
    Lost,
    Unproven,
    Untold,
}

impl State {
    const ALL: [State; 6] =
        [State::Good, State::Hole, State::Corrupt, State::Lost, State::Unproven, State::Untold];

    /// The worst of what is in this range.
    fn of(blocks: &Blocks<'_>, range: &Range<u64>) -> Self {
        let hole = |range: &Range<u64>| (blocks.is_hole)(range.clone());
        if is_any(blocks.corrupt, range) {
            if hole(range) { State::Lost } else { State::Corrupt }
        } else if is_any(blocks.unproven, range) {
            State::Unproven
        } else if range.end > blocks.told {
            State::Untold
        } else if hole(range) {
            State::Hole
        } else {
            State::Good
        }
    }

    fn mark(self, term: &Term) -> &'static str {
        let (unicode, ascii) = match self {
            State::Good => ("·", "."),
            State::Hole => ("_", "_"),
            State::Corrupt => ("⣿", "#"),
            State::Lost => ("○", "0"),
            State::Unproven => ("▒", "?"),
            State::Untold => (" ", " "),
        };
        if term.is_unicode { unicode } else { ascii }
    }

    fn name(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Hole => "good, a hole",
            State::Corrupt => "corrupt",
            State::Lost => "corrupt, a hole: nothing is stored",
            State::Unproven => "cannot be judged",
            State::Untold => "(blank) not told: too many ranges",
        }
    }

    fn style(self) -> Style {
        match self {
            State::Good | State::Hole => Style::Faint,
            State::Corrupt | State::Lost => Style::Bad,
            State::Unproven | State::Untold => Style::Doubtful,
        }
    }
}

/// Which eighths of these blocks have corrupt ones.
fn dots(blocks: &Blocks<'_>, range: &Range<u64>, in_dot: u64) -> char {
    let dot = |number: usize| {
        let start = range.start + number as u64 * in_dot;
        is_any(blocks.corrupt, &(start..start + in_dot))
    };
    let dots = DOTS.iter().enumerate().filter(|(number, _)| dot(*number)).map(|(_, dot)| dot);
    char::from_u32(0x2800 + dots.sum::<u32>()).unwrap_or('⣿')
}

/// Returns true if some of `range` is in one of these ranges.
fn is_any(ranges: &[Range<u64>], range: &Range<u64>) -> bool {
    let next = ranges.partition_point(|found| found.end <= range.start);
    ranges.get(next).is_some_and(|found| found.start < range.end)
}

/// Returns true if all of `range` is in one of these ranges.
fn is_all(ranges: &[Range<u64>], range: &Range<u64>) -> bool {
    let next = ranges.partition_point(|found| found.end <= range.start);
    ranges.get(next).is_some_and(|found| found.start <= range.start && range.end <= found.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(fill: Fill, size: u64, label: &str) -> Piece {
        Piece { fill, size, label: label.into() }
    }

    #[test]
    fn a_disk_is_to_scale() {
        let pieces = [
            piece(Fill::Table, 1, ""),
            piece(Fill::Used, 40, "1"),
            piece(Fill::Used, 20, "2"),
            piece(Fill::Tail, 10, ""),
            piece(Fill::Unused, 1, "3"),
            piece(Fill::Free, 28, ""),
        ];
        assert_eq!(
            disk(&pieces, "100 MiB", 2, &Term::plain(42)),
            "  1               2           3\n  ████████████████▓▓▓▓▓▓▓▓~~~~▒···········\n  0                                100 MiB\n  █▓ used  ▒ not used  ~ not in the tree\n  · free\n"
        );
        assert_eq!(
            disk(&pieces, "100 MiB", 0, &Term::ascii(20)).lines().nth(1),
            Some("########====~~-.....")
        );
    }

    #[test]
    fn every_partition_is_seen_as_long_as_there_is_room() {
        for (count, columns) in [(1, 8), (10, 40), (40, 40), (128, 40), (5000, 80)] {
            let pieces: Vec<_> = (0..count).map(|n| piece(Fill::Used, 1 + (n % 7) * 1000, "")).collect();
            let cells = cells(&pieces, columns);
            assert_eq!(cells.iter().sum::<usize>(), columns);
            assert_eq!(cells.iter().all(|cells| *cells > 0), count as usize <= columns);
        }
        assert_eq!(
            cells(&[piece(Fill::Used, u64::MAX, ""), piece(Fill::Used, u64::MAX, "")], 1000),
            [500, 500]
        );
        assert_eq!(cells(&[], 10), [0; 0]);
        assert_eq!(cells(&[piece(Fill::Used, 0, "")], 10), [0]);
    }

    fn map(
        count: u64,
        corrupt: &[Range<u64>],
        unproven: &[Range<u64>],
        hole_from: u64,
        term: &Term,
    ) -> String {
        let is_hole = move |range: Range<u64>| range.start >= hole_from;
        blocks(&Blocks { count, told: count, corrupt, unproven, is_hole: &is_hole }, 4096, 2, term)
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of ranges")]
    fn kinds_of_damage_look_different() {
        let term = Term::plain(40);
        assert_eq!(
            map(23, &[3..5, 7..8], &[9..12], 20, &term),
            "   0 ···⣿⣿··⣿·▒▒▒········___\n  · good  _ good, a hole  ⣿ corrupt  ▒\n  cannot be judged  a mark: a block of\n  4096 bytes\n"
        );
        let bad_sectors = map(65536, &[100..116], &[], u64::MAX, &term);
        let shifted = map(65536, &[20000..65536], &[], u64::MAX, &term);
        let cut_short = map(65536, &[20000..65536], &[], 20000, &term);
        assert!(bad_sectors.starts_with("      0 ⡀·······"), "{bad_sectors}");
        assert_eq!(shifted.matches('⣿').count(), 1 + (65536 - 20000) / 256, "{shifted}");
        assert_eq!(cut_short.matches('○').count(), 1 + (65536 - 20000) / 256, "{cut_short}");
        assert_eq!(map(65536, &[100..116], &[], u64::MAX, &Term::ascii(40)).matches('+').count(), 1);
        for text in [bad_sectors, shifted, cut_short] {
            assert!(text.lines().all(|line| width(line) <= 40), "{text}");
            assert!(text.lines().count() <= 12, "{text}");
        }
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of ranges")]
    fn any_number_of_blocks_fits() {
        for count in [0, 1, 2, 511, 512, 513, 4096, 1 << 40, u64::MAX >> 20] {
            let text = map(count, &[0..count / 2], &[], u64::MAX, &Term::plain(20));
            assert!(text.lines().all(|line| width(line) <= 40), "{count}: {text}");
            assert!(text.lines().count() <= 20, "{count}: {text}");
        }
    }
}
