//! The lines of systemd's configuration files: units, definitions of partitions and of transfers.
//!
//! Source: systemd.syntax(7); systemd, `src/shared/conf-parser.c:config_parse`.

/// What systemd takes for white space.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `[Name]`
    Section(&'a str),
    /// `Key=value`, without the white space around both.
    Setting(&'a str, &'a str),
    /// Neither of them.
    Other,
}

/// Gives `each` the lines of a file that say something, and the number that each begins at, from 1.
///
/// A line that ends in a backslash goes on in the next one, with a blank in between; comments are passed over there too. Two
/// backslashes are an escaped one, and a blank behind a backslash makes it the end.
///
/// # Errors
/// The first one of `each`.
pub fn each_line<E>(text: &str, mut each: impl FnMut(usize, Line<'_>) -> Result<(), E>) -> Result<(), E> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut joined = String::new();
    let mut begin = None;
    for (index, line) in text.split(['\n', '\r', '\0']).enumerate() {
        if line.trim_start_matches(WHITE_SPACE).starts_with(['#', ';']) {
            continue;
        }
        let number = *begin.get_or_insert(index.saturating_add(1));
        let backslashes = line.len().saturating_sub(line.trim_end_matches('\\').len());
        match line.strip_suffix('\\') {
            Some(part) if backslashes % 2 == 1 => {
                joined.push_str(part);
                joined.push(' ');
                continue;
            }
            _ => joined.push_str(line),
        }
        say(number, &joined, &mut each)?;
        joined.clear();
        begin = None;
    }
    say(begin.unwrap_or_default(), &joined, &mut each)
}

fn say<E>(
    number: usize,
    line: &str,
    each: &mut impl FnMut(usize, Line<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let line = line.trim_matches(WHITE_SPACE);
    if line.is_empty() {
        return Ok(());
    }
    let said = match (line.strip_prefix('['), line.split_once('=')) {
        (Some(name), _) => name.strip_suffix(']').map_or(Line::Other, Line::Section),
        (None, Some((key, value))) => {
            Line::Setting(key.trim_matches(WHITE_SPACE), value.trim_matches(WHITE_SPACE))
        }
        (None, None) => Line::Other,
    };
    each(number, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_lines(text: &str, expected: &[(usize, Line<'_>)]) {
        let mut found = Vec::new();
        each_line::<()>(text, |number, line| {
            found.push((number, format!("{line:?}")));
            Ok(())
        })
        .unwrap();
        let expected: Vec<_> = expected.iter().map(|(number, line)| (*number, format!("{line:?}"))).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines() {
        use Line::{Other, Section, Setting};
        assert_lines("", &[]);
        assert_lines("\n \t\n# a=b\n  ; a=b\n", &[]);
        assert_lines("\u{feff}[A]\r\na = b = c \r\n", &[(1, Section("A")), (2, Setting("a", "b = c"))]);
        assert_lines("a\n[b\n=c", &[(1, Other), (2, Other), (3, Setting("", "c"))]);
        assert_lines("[a=b\n[c=d]", &[(1, Other), (2, Section("c=d"))]);
        assert_lines(
            "a=b\0c=d\re=f",
            &[(1, Setting("a", "b")), (2, Setting("c", "d")), (3, Setting("e", "f"))],
        );
    }

    /// As systemd joins them.
    #[test]
    fn lines_that_go_on() {
        use Line::Setting;
        assert_lines("a=b\\\n  c\nd=e", &[(1, Setting("a", "b   c")), (3, Setting("d", "e"))]);
        assert_lines("a=b\\\r\nc", &[(1, Setting("a", "b c"))]);
        assert_lines("a=\\\n# d=e\n ; f\nb\\\nc", &[(1, Setting("a", "b c"))]);
        // what follows a comment's backslash is no comment
        assert_lines("# a \\\nb=c", &[(2, Setting("b", "c"))]);
        assert_lines("a=b\\\\\nc=d", &[(1, Setting("a", "b\\\\")), (2, Setting("c", "d"))]);
        assert_lines("a=b\\\\\\\nc", &[(1, Setting("a", "b\\\\ c"))]);
        assert_lines("a=b\\ \nc=d", &[(1, Setting("a", "b\\")), (2, Setting("c", "d"))]);
        // an empty line is the end, and so is that of the file
        assert_lines("a=b\\\n\nc=d", &[(1, Setting("a", "b")), (3, Setting("c", "d"))]);
        assert_lines("a=b\\", &[(1, Setting("a", "b"))]);
    }

    #[test]
    fn the_first_problem_is_the_end() {
        let mut seen = 0;
        let result = each_line("a=b\nc\nd\n", |number, line| {
            seen += 1;
            if line == Line::Other { Err(number) } else { Ok(()) }
        });
        assert_eq!((result, seen), (Err(2), 2));
    }
}
