//! The grammar of os-release and its relatives.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;

const WHITESPACE: &[u8] = b" \t\n\r";
const NEWLINE: &[u8] = b"\n\r";
/// What a backslash takes its meaning from between double quotes.
const ESCAPABLE: &[u8] = b"\"\\`$";

/// `KEY=value` lines, as `os-release` has them.
///
/// ```
/// use ddi_os::metadata::EnvFile;
/// let file = EnvFile::parse(b"ID=debian\n# a comment\nNAME=\"Debian \\\"GNU\\\"\"\nID='other'\n").unwrap();
/// assert_eq!(file.get("NAME"), Some("Debian \"GNU\""));
/// assert_eq!(file.to_string(), "ID=other\nNAME=Debian \"GNU\"\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvFile {
    fields: Vec<(String, String)>,
}

/// Why systemd refuses the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvFileError {
    /// A key or a value is not UTF-8.
    NotUtf8 {
        /// Line number, from 1.
        line: usize,
    },
    /// There is a NUL: what is behind it is there for some readers and not for others.
    Nul {
        /// Line number, from 1.
        line: usize,
    },
}

impl EnvFileError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            EnvFileError::NotUtf8 { .. } => "env-file-not-utf-8",
            EnvFileError::Nul { .. } => "env-file-nul",
        }
    }

    /// The number of the line, from 1.
    pub fn line(&self) -> usize {
        match self {
            EnvFileError::NotUtf8 { line } | EnvFileError::Nul { line } => *line,
        }
    }
}

impl fmt::Display for EnvFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvFileError::NotUtf8 { line } => write!(f, "line {line} is not UTF-8"),
            EnvFileError::Nul { line } => write!(f, "line {line} has a NUL"),
        }
    }
}

impl core::error::Error for EnvFileError {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    SingleQuote,
    DoubleQuote,
    DoubleQuoteEscape,
    Comment,
    CommentEscape,
}

/// Text that grows, and how much of it is left if it ends here.
#[derive(Default)]
struct Growing {
    text: Vec<u8>,
    /// Where the white space at the end begins.
    trimmed: Option<usize>,
}

impl Growing {
    fn push(&mut self, byte: u8) {
        self.text.push(byte);
    }

    fn push_trimming(&mut self, byte: u8) {
        if !WHITESPACE.contains(&byte) {
            self.trimmed = None;
        } else if self.trimmed.is_none() {
            self.trimmed = Some(self.text.len());
        }
        self.text.push(byte);
    }

    fn take(&mut self, trim: bool) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.text);
        if let Some(len) = self.trimmed.take().filter(|_| trim) {
            text.truncate(len);
        }
        text
    }
}

impl EnvFile {
    /// Reads the text as systemd's `parse_env_file` does.
    ///
    /// Lines without `=` are passed over, as are comments (`#` or `;` first). Of a key that comes more than once the
    /// first place and the last value count.
    ///
    /// # Errors
    /// [`EnvFileError`] if a key or a value is not UTF-8, or if there is a NUL anywhere.
    pub fn parse(text: &[u8]) -> Result<Self, EnvFileError> {
        let mut before_nul = text.split(|byte| *byte == 0);
        if let (Some(before), Some(_)) = (before_nul.next(), before_nul.next()) {
            let lines = before.split(|byte| *byte == b'\n').count();
            return Err(EnvFileError::Nul { line: lines });
        }
        let mut pairs = Vec::new();
        let mut state = State::PreKey;
        let mut key = Growing::default();
        let mut value = Growing::default();
        let mut line: usize = 1;
        for byte in text.iter().copied() {
            let newline = NEWLINE.contains(&byte);
            match state {
                State::PreKey if matches!(byte, b'#' | b';') => state = State::Comment,
                State::PreKey => {
                    if !WHITESPACE.contains(&byte) {
                        state = State::Key;
                        key = Growing::default();
                        key.push(byte);
                    }
                }
                State::Key if newline => state = State::PreKey,
                State::Key if byte == b'=' => {
                    state = State::PreValue;
                    value = Growing::default();
                }
                State::Key => key.push_trimming(byte),
                State::PreValue | State::Value if newline => {
                    pairs.push(pair(&mut key, &mut value, state == State::Value, line)?);
                    state = State::PreKey;
                }
                State::PreValue => match byte {
                    b'\'' => state = State::SingleQuote,
                    b'"' => state = State::DoubleQuote,
                    b'\\' => state = State::ValueEscape,
                    _ if WHITESPACE.contains(&byte) => {}
                    _ => {
                        state = State::Value;
                        value.push(byte);
                    }
                },
                State::Value if byte == b'\\' => {
                    state = State::ValueEscape;
                    value.trimmed = None;
                }
                State::Value => value.push_trimming(byte),
                State::ValueEscape => {
                    state = State::Value;
                    // a line that goes on in the next one
                    if !newline {
                        value.push(byte);
                    }
                }
                State::SingleQuote if byte == b'\'' => state = State::PreValue,
                State::SingleQuote => value.push(byte),
                State::DoubleQuote if byte == b'"' => state = State::PreValue,
                State::DoubleQuote if byte == b'\\' => state = State::DoubleQuoteEscape,
                State::DoubleQuote => value.push(byte),
                State::DoubleQuoteEscape => {
                    state = State::DoubleQuote;
                    if ESCAPABLE.contains(&byte) {
                        value.push(byte);
                    } else if byte != b'\n' {
                        // as in a shell, it is just a backslash
                        value.push(b'\\');
                        value.push(byte);
                    }
                }
                State::Comment if byte == b'\\' => state = State::CommentEscape,
                State::Comment => {
                    if newline {
                        state = State::PreKey;
                    }
                }
                State::CommentEscape => state = if newline { State::PreKey } else { State::Comment },
            }
            if byte == b'\n' {
                line = line.saturating_add(1);
            }
        }
        // the file may end in the middle of a value
        if !matches!(state, State::PreKey | State::Key | State::Comment | State::CommentEscape) {
            pairs.push(pair(&mut key, &mut value, state == State::Value, line)?);
        }
        Ok(EnvFile { fields: last_values(pairs) })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The value of a key, if it is not empty.
    pub fn get_non_empty(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns true if there is no key.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

fn pair(
    key: &mut Growing,
    value: &mut Growing,
    trim: bool,
    line: usize,
) -> Result<(String, String), EnvFileError> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| EnvFileError::NotUtf8 { line });
    Ok((text(key.take(true))?, text(value.take(trim))?))
}

/// Each key once, where it comes first, with its last value. Keys are compared through a hash of them: 64 KiB can hold
/// twenty thousand.
fn last_values<K: Eq + Hash + Clone, V>(pairs: Vec<(K, V)>) -> Vec<(K, V)> {
    let mut index = HashMap::with_capacity(pairs.len());
    let mut found: Vec<(K, V)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        match index.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(found.len());
                found.push((key, value));
            }
            Entry::Occupied(first) => {
                if let Some((_, old)) = found.get_mut(*first.get()) {
                    *old = value;
                }
            }
        }
    }
    found
}

/// Lines of `KEY=value`, without quotes: the pairs of systemd's JSON. Control characters are left as they are.
impl fmt::Display for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(key, value)| writeln!(f, "{key}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hash::Hasher;

    use super::*;

    fn parse(text: &str) -> Vec<(String, String)> {
        EnvFile::parse(text.as_bytes()).unwrap().fields
    }

    #[test]
    fn quoting_and_escapes() {
        for (text, value) in [
            ("a=b", "b"),
            ("a=b\n", "b"),
            ("  a  =  b c  \n", "b c"),
            ("a='b\"\\n$'", "b\"\\n$"),
            ("a=\"b\\\"\\\\\\`\\$\\n\"", "b\"\\`$\\n"),
            ("a=\"x\\\ny\"", "xy"),
            ("a='x\ny'", "x\ny"),
            ("a=x\\\ny", "xy"),
            ("a=x\\ ", "x "),
            ("a=x\\  ", "x "),
            ("a='x'\"y\"z", "xyz"),
            ("a='x' y ", "xy"),
            ("a=b#c", "b#c"),
            ("a=b 'c'", "b 'c'"),
            ("a=", ""),
            ("a=\n", ""),
            ("a==b", "=b"),
            ("a='open", "open"),
            ("a=\"open\\", "open"),
            ("a=b\rc=d", "b"),
        ] {
            assert_eq!(parse(text)[0], ("a".to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn comments_and_lines_without_a_value() {
        assert_eq!(parse("# a=b\n; c=d\n\nno value\n  e=f"), [("e".to_owned(), "f".to_owned())]);
        // since systemd 254 a comment does not go on in the next line
        assert_eq!(parse("# a\\\nb=c"), [("b".to_owned(), "c".to_owned())]);
        assert_eq!(parse("# a\\x\nb=c"), [("b".to_owned(), "c".to_owned())]);
        assert_eq!(parse("key\nb=c").len(), 1);
        assert_eq!(parse("key"), []);
    }

    #[test]
    fn the_last_value_in_the_first_place() {
        let fields = parse("a=1\nb=2\na=3");
        assert_eq!(fields, [("a".to_owned(), "3".to_owned()), ("b".to_owned(), "2".to_owned())]);
    }

    /// A key that counts how often it is compared.
    #[derive(Clone)]
    struct Counted<'a>(u32, &'a Cell<u32>);

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.1.set(self.1.get() + 1);
            self.0 == other.0
        }
    }

    impl Eq for Counted<'_> {}

    impl Hash for Counted<'_> {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    /// As many keys as one file can have, each twice: the work grows with their number, not with its square.
    #[test]
    fn many_keys() {
        const KEYS: u32 = 13_000;
        let comparisons = Cell::new(0);
        let pairs = (0..2 * KEYS).map(|number| (Counted(number % KEYS, &comparisons), number)).collect();
        let found = last_values(pairs);
        assert_eq!(found.len(), KEYS as usize);
        assert!((0..).zip(&found).all(|(at, (key, value))| key.0 == at && *value == at + KEYS));
        // those that share some bits of their hash are compared too
        assert!(comparisons.get() < 4 * KEYS, "{}", comparisons.get());
    }

    #[test]
    fn not_utf_8() {
        assert_eq!(EnvFile::parse(b"a=b\nc=\xff\n"), Err(EnvFileError::NotUtf8 { line: 2 }));
        assert_eq!(EnvFile::parse(b"\xff=b"), Err(EnvFileError::NotUtf8 { line: 1 }));
        // but a comment may be anything else
        assert!(EnvFile::parse(b"# \xff\na=b").is_ok());
    }

    /// systemd 252 says `EBADMSG` for each of them, before it looks at a line.
    #[test]
    fn nul() {
        assert_eq!(EnvFile::parse(b"a=b\0"), Err(EnvFileError::Nul { line: 1 }));
        assert_eq!(EnvFile::parse(b"a=\xff\n# \0\nb=c"), Err(EnvFileError::Nul { line: 2 }));
    }
}
