//! Host names as systemd cleans them.

/// Longest host name of Linux.
const MAX: usize = 64;

/// What is left of `line` once everything is left out that cannot be in a host name; `None` if nothing is.
///
/// systemd's `hostname_cleanup`: letters, digits, `-` and `.` stay, and `?`, which later versions fill in; no `.`
/// after `.` or `-`, no `-` after `.`, neither at the start or the end.
pub fn clean_hostname(line: &[u8]) -> Option<String> {
    let mut name = String::new();
    for byte in line.iter().copied() {
        if name.len() >= MAX {
            break;
        }
        let after = name.chars().next_back();
        let keep = match byte {
            b'.' => !matches!(after, None | Some('.' | '-')),
            b'-' => !matches!(after, None | Some('.')),
            _ => byte.is_ascii_alphanumeric() || byte == b'?',
        };
        if keep {
            name.push(char::from(byte));
        }
    }
    name.truncate(name.trim_end_matches(['-', '.']).len());
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::clean_hostname;

    #[test]
    fn what_is_left() {
        let long = "x".repeat(80);
        for (line, name) in [
            ("demo", Some("demo")),
            ("Demo.example.org.", Some("Demo.example.org")),
            ("-a..b-.c", Some("a.b-c")),
            (".x_y z-", Some("xyz")),
            ("a--b", Some("a--b")),
            ("node-????", Some("node-????")),
            ("ä", None),
            ("..-", None),
            (&long, Some(&long[..64])),
        ] {
            assert_eq!(clean_hostname(line.as_bytes()).as_deref(), name, "{line}");
        }
    }
}
