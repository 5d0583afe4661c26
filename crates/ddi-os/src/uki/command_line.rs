//! The words of a kernel command line.

/// A kernel command line, as systemd reads it (`proc_cmdline_parse`).
///
/// Words are separated by white space; quotes, single and double, hold words together and go away; a backslash is
/// nothing special. A quote that nobody closes ends with the text.
///
/// ```
/// use ddi_os::uki::CommandLine;
/// let line = CommandLine::parse(b"quiet root-hash=1 title='a b' roothash=2 roothash=3");
/// assert_eq!(line.value("roothash"), Some("3"));
/// assert_eq!(line.value("title"), Some("a b"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    words: Vec<String>,
}

impl CommandLine {
    /// Splits the text, up to the first NUL.
    pub fn parse(text: &[u8]) -> Self {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        for c in String::from_utf8_lossy(text).chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, ' ' | '\t' | '\n' | '\r') => words.extend(word.take()),
                (_, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        CommandLine { words }
    }

    /// The words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| &**word)
    }

    /// The value of the last `key=value`, also under the name `rd.key`, which counts in the initrd, where such keys are
    /// read. `-` and `_` in keys are the same.
    pub fn value(&self, key: &str) -> Option<&str> {
        let dashed = |text: &str| text.replace('_', "-");
        let key = dashed(key);
        let is_it = |name: &str| dashed(name.strip_prefix("rd.").unwrap_or(name)) == key;
        let mut pairs = self.words.iter().rev().filter_map(|word| word.split_once('='));
        pairs.find(|(name, _)| is_it(name)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, expected) in [
            ("", &[][..]),
            (" a  b\tc\n", &["a", "b", "c"]),
            ("a='b c' d", &["a=b c", "d"]),
            ("\"a b\"c 'd\"e'", &["a bc", "d\"e"]),
            ("'' x", &["", "x"]),
            ("a\\ b", &["a\\", "b"]),
            ("a 'open b", &["a", "open b"]),
            ("a\0b", &["a"]),
        ] {
            assert_eq!(CommandLine::parse(text.as_bytes()).words().collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        for (text, value) in [
            ("roothash=1", Some("1")),
            ("roothash=1 roothash=2", Some("2")),
            ("roothash=1 rd.roothash=2", Some("2")),
            ("roothash=1 roothash", Some("1")),
            ("roothash=1 roothash=", Some("")),
            ("\"roothash=1 2\"", Some("1 2")),
            ("xroothash=1", None),
            ("roothash", None),
            ("'a roothash=1'", None),
        ] {
            assert_eq!(CommandLine::parse(text.as_bytes()).value("roothash"), value, "{text:?}");
        }
        let line = CommandLine::parse(b"systemd.verity_root-data=x");
        assert_eq!(line.value("systemd.verity_root_data"), Some("x"));
    }
}
