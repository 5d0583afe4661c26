//! How many columns text takes on a terminal, and text that is cut and wrapped to fit.
//!
//! Takes text that is fit for a terminal already: what is left has no control characters.

use unicode_width::UnicodeWidthChar;

use super::term::{Mark, Term};

/// Columns that `text` takes, counted character by character as terminals do: wide characters take two, combining ones none, and
/// so do our colours. There are no others: what could begin one is escaped.
pub(super) fn width(text: &str) -> usize {
    let mut is_color = false;
    let columns = |c: char| {
        let was_color = is_color;
        is_color = c == '\x1b' || is_color && c != 'm';
        if was_color || is_color { 0 } else { char_width(c) }
    };
    text.chars().map(columns).sum()
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// The end of the longest beginning of `text` that takes no more than so many columns. What combines with its last character
/// belongs to it.
fn fitting(text: &str, columns: usize) -> usize {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += char_width(c);
        if taken > columns {
            return at;
        }
    }
    text.len()
}

/// `text`, or as much of it as fits with the mark that something is missing.
pub(super) fn cut(text: &str, columns: usize, term: &Term) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mark = term.mark(Mark::Cut);
    let end = fitting(text, columns.saturating_sub(width(mark)));
    let mut shown = text[..end].trim_end().to_owned();
    shown.push_str(&mark[..fitting(mark, columns)]);
    shown
}

/// `text` in lines of so many columns at most, broken between words, and inside a word only if it does not fit into a line.
/// Lines after the first begin with `indent` blanks, which count.
pub(super) fn wrap(text: &str, columns: usize, indent: usize) -> Vec<String> {
    // a line always takes one wide character
    let columns = columns.max(indent + 2);
    let mut lines = Vec::new();
    let (mut line, mut taken, mut is_empty) = (String::new(), 0, true);
    let mut next = |line: &mut String, taken: &mut usize| {
        lines.push(std::mem::replace(line, " ".repeat(indent)).trim_end().to_owned());
        *taken = indent;
    };
    let leading = text.len() - text.trim_start_matches(' ').len();
    for (number, word) in text[leading..].split(' ').enumerate() {
        if number == 0 {
            line.push_str(&" ".repeat(leading.min(columns - 2)));
            taken = leading.min(columns - 2);
        }
        let needed = width(word);
        let gap = usize::from(!is_empty);
        if !is_empty && taken + gap + needed > columns {
            next(&mut line, &mut taken);
        } else if gap > 0 {
            line.push(' ');
            taken += 1;
        }
        let mut rest = word;
        while taken + width(rest) > columns {
            let end = match fitting(rest, columns - taken) {
                // not even one character fits behind what is there
                0 if taken > indent => 0,
                0 => rest.chars().next().map_or(0, char::len_utf8),
                end => end,
            };
            line.push_str(&rest[..end]);
            rest = &rest[end..];
            next(&mut line, &mut taken);
        }
        line.push_str(rest);
        taken += width(rest);
        is_empty = false;
    }
    if !line.trim().is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Each line of `text` that is too long, wrapped under the column where its value begins: behind its first run of two or more
/// blanks or its first `: `, or else two columns further in.
pub(super) fn fold(text: &str, columns: usize) -> String {
    let mut folded = String::new();
    for line in text.lines() {
        if width(line) <= columns {
            folded.push_str(line);
            folded.push('\n');
            continue;
        }
        let start = line.len() - line.trim_start().len();
        let body = &line[start..];
        let value = match (body.find("  "), body.find(": ")) {
            (Some(at), _) => at + body[at..].len() - body[at..].trim_start().len(),
            (None, Some(at)) => at + 2,
            (None, None) => 2,
        };
        let hang = start + width(&body[..value.min(body.len())]);
        let hang = if hang > columns / 2 { start + 2 } else { hang };
        for line in wrap(line, columns, hang.min(columns / 2)) {
            folded.push_str(&line);
            folded.push('\n');
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_a_terminal() {
        for (text, columns) in [
            ("", 0),
            ("abc", 3),
            ("日本語", 6),
            ("e\u{301}", 1),
            ("😀", 2),
            ("ｱ", 1),
            ("Ａ", 2),
            ("…", 1),
            ("\x1b[31mm\x1b[0m", 1),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn what_is_cut_fits() {
        let term = Term::plain(80);
        for (text, columns, shown) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("ab  cdef", 5, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, columns, &term), shown);
            assert!(width(&cut(text, columns, &term)) <= columns);
        }
        assert_eq!(cut("abcdef", 5, &Term::ascii(80)), "ab...");
    }

    #[test]
    fn long_lines_are_wrapped() {
        assert_eq!(wrap("one two three", 7, 2), ["one two", "  three"]);
        assert_eq!(wrap("abcdefgh", 4, 1), ["abcd", " efg", " h"]);
        assert_eq!(wrap("  key value", 80, 4), ["  key value"]);
        assert_eq!(wrap("", 10, 2), [""]);
        assert_eq!(fold("name:  one two three\n", 14), "name:  one two\n       three\n");
        assert_eq!(fold("    Inside: from it\n", 16), "    Inside: from\n      it\n");
    }

    proptest::proptest! {
        /// No line is too long, and nothing is lost.
        #[test]
        fn wrapped_lines_fit(text in "[ a-z日e\u{301}😀]{0,80}", columns in 4_usize..50, indent in 0_usize..10) {
            let lines = wrap(&text, columns, indent);
            let columns = columns.max(indent + 2);
            for line in &lines {
                proptest::prop_assert!(width(line) <= columns, "{:?}", lines);
            }
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            proptest::prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
