//! Patterns of names with a version in them (sysupdate.d(5), *Match patterns*; `sysupdate-pattern.c`).
//!
//! ```text
//!   os_@v/usr_@h.raw  =  [ "os_" @v ] / [ "usr_" @h ".raw" ]: no marker holds a slash, so a path matches part by part
//! ```

use std::fmt;

use ddi_gpt::Guid;

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    Literal(String),
    Marker(char),
}

/// Markers, and the literal text between them; with a `/`, those of a path.
///
/// ```
/// use ddi_os::sysupdate::Pattern;
/// let pattern: Pattern = "os_@v_@u.root.xz".parse().unwrap();
/// let fields = pattern.fields("os_7.1_4f68bce3e8cd4db196e7fbcaf984b709.root.xz").unwrap();
/// assert_eq!(fields.version, "7.1");
/// assert!(pattern.fields("os_7.1.root.xz").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// What the parts of a path are, one for a name without a `/`.
    parts: Vec<Vec<Element>>,
}

/// What a name says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Fields {
    /// `@v`.
    pub version: String,
    /// `@u`: unique GUID of the partition.
    pub uuid: Option<Guid>,
    /// `@f`: attribute bits of the partition.
    pub flags: Option<u64>,
    /// `@a`: the attribute no-auto.
    pub no_auto: Option<bool>,
    /// `@g`: the attribute grow-file-system.
    pub grow_file_system: Option<bool>,
    /// `@r`: the attribute read-only.
    pub read_only: Option<bool>,
    /// `@t`: time of the last change, in microseconds since 1970.
    pub mtime: Option<u64>,
    /// `@m`: access mode.
    pub mode: Option<u32>,
    /// `@s`: bytes, unpacked.
    pub size: Option<u64>,
    /// `@d`: tries done.
    pub tries_done: Option<u64>,
    /// `@l`: tries left.
    pub tries_left: Option<u64>,
    /// `@h`: SHA-256 of the file, as it is.
    pub sha256: Option<[u8; 32]>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty.
    Empty,
    /// `@` and something that is no marker, or nothing.
    UnknownMarker {
        /// What follows.
        found: Option<char>,
    },
    /// A marker twice.
    MarkerTwice {
        /// Which one.
        marker: char,
    },
    /// Two markers with nothing between them: nobody could tell where one ends.
    AdjacentMarkers,
    /// A character that must not be in a pattern.
    Character {
        /// Which one.
        found: char,
    },
    /// No `@v`.
    NoVersion,
}

impl PatternError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            PatternError::Empty => "pattern-empty",
            PatternError::UnknownMarker { .. } => "pattern-unknown-marker",
            PatternError::MarkerTwice { .. } => "pattern-marker-twice",
            PatternError::AdjacentMarkers => "pattern-adjacent-markers",
            PatternError::Character { .. } => "pattern-character",
            PatternError::NoVersion => "pattern-no-version",
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Empty => f.write_str("an empty pattern"),
            PatternError::UnknownMarker { found: Some(found) } => write!(f, "@{found} is no marker"),
            PatternError::UnknownMarker { found: None } => f.write_str("an @ at the end"),
            PatternError::MarkerTwice { marker } => write!(f, "@{marker} twice"),
            PatternError::AdjacentMarkers => f.write_str("two markers with nothing between them"),
            PatternError::Character { found } => write!(f, "character {found:?} is not allowed"),
            PatternError::NoVersion => f.write_str("no @v"),
        }
    }
}

impl core::error::Error for PatternError {}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut seen = Vec::new();
        let parts = text.split('/').map(|part| part_of(part, &mut seen)).collect::<Result<_, _>>()?;
        if !seen.contains(&'v') {
            return Err(PatternError::NoVersion);
        }
        Ok(Pattern { text: text.to_owned(), parts })
    }
}

/// What is between two slashes. `seen`: the markers of those before.
fn part_of(text: &str, seen: &mut Vec<char>) -> Result<Vec<Element>, PatternError> {
    let mut elements = Vec::new();
    let mut literal = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '@' => match chars.next() {
                Some('@') => literal.push('@'),
                Some(marker) if MARKERS.contains(marker) => {
                    if seen.contains(&marker) {
                        return Err(PatternError::MarkerTwice { marker });
                    }
                    if !literal.is_empty() {
                        elements.push(Element::Literal(std::mem::take(&mut literal)));
                    } else if !elements.is_empty() {
                        return Err(PatternError::AdjacentMarkers);
                    }
                    seen.push(marker);
                    elements.push(Element::Marker(marker));
                }
                found => return Err(PatternError::UnknownMarker { found }),
            },
            _ if !c.is_ascii() || c.is_ascii_control() || "$*?[]!\\|".contains(c) => {
                return Err(PatternError::Character { found: c });
            }
            _ => literal.push(c),
        }
    }
    if !literal.is_empty() {
        elements.push(Element::Literal(literal));
    }
    Ok(elements)
}

const MARKERS: &str = "vufagrtmsdlh";

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// What `name` says, if it matches; with a `/` in it, the path of a file. The text of a marker ends where the next
    /// literal text is found first.
    pub fn fields(&self, name: &str) -> Option<Fields> {
        let mut fields = Fields::default();
        let mut names = name.split('/');
        for elements in &self.parts {
            fields.take(elements, names.next()?)?;
        }
        names.next().is_none().then_some(fields)
    }

    /// Returns true if there can be files in this directory that match.
    pub fn leads_into(&self, directory: &str) -> bool {
        let mut fields = Fields::default();
        let mut parts = self.parts.iter();
        directory.split('/').all(|name| parts.next().is_some_and(|part| fields.take(part, name).is_some()))
            && parts.next().is_some()
    }

    /// Returns true if the name of a directory ends in a marker. Systemd 257 aborts when it compares such a pattern
    /// with a name.
    pub fn has_marker_before_slash(&self) -> bool {
        let directories = self.parts.iter().rev().skip(1);
        directories.into_iter().any(|part| matches!(part.last(), Some(Element::Marker(_))))
    }
}

impl Fields {
    /// What a part of a path says, if all of it matches.
    fn take(&mut self, elements: &[Element], name: &str) -> Option<()> {
        let mut rest = name;
        let mut elements = elements.iter().peekable();
        while let Some(element) = elements.next() {
            match element {
                Element::Literal(literal) => rest = rest.strip_prefix(&**literal)?,
                Element::Marker(marker) => {
                    let end = match elements.peek() {
                        Some(Element::Literal(literal)) => rest.find(&**literal)?,
                        _ => rest.len(),
                    };
                    let (text, after) = rest.split_at_checked(end)?;
                    self.set(*marker, text)?;
                    rest = after;
                }
            }
        }
        rest.is_empty().then_some(())
    }

    fn set(&mut self, marker: char, text: &str) -> Option<()> {
        match marker {
            'v' => self.version = Some(text).filter(|text| is_version(text))?.to_owned(),
            // with dashes or without
            'u' => self.uuid = Some(text.parse().ok()?),
            'f' => self.flags = Some(number(text, 16)?),
            'a' => self.no_auto = Some(bit(text)?),
            'g' => self.grow_file_system = Some(bit(text)?),
            'r' => self.read_only = Some(bit(text)?),
            't' => self.mtime = Some(number(text, 10)?),
            'm' => {
                let mode = u32::try_from(number(text, 8)?).ok()?;
                self.mode = Some(mode).filter(|mode| mode & !0o775 == 0);
                self.mode?;
            }
            's' => self.size = Some(number(text, 10)?),
            'd' => self.tries_done = Some(number(text, 10)?),
            'l' => self.tries_left = Some(number(text, 10)?),
            'h' => self.sha256 = Some(super::parse_sha256(text.as_bytes())?),
            _ => return None,
        }
        Some(())
    }
}

/// Returns true if it is a version to systemd-sysupdate (`version_is_valid`). UAPI.10 allows `~` and `^` too, which
/// sysupdate refuses.
pub fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".,_-+".contains(&byte))
}

fn number(text: &str, radix: u32) -> Option<u64> {
    // from_str_radix takes a sign
    text.chars().all(|c| c.is_digit(radix)).then(|| u64::from_str_radix(text, radix).ok())?
}

fn bit(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, code) in [
            ("", "pattern-empty"),
            ("abc", "pattern-no-version"),
            ("@@v", "pattern-no-version"),
            ("@v@u", "pattern-adjacent-markers"),
            ("@v_@v", "pattern-marker-twice"),
            ("@x_@v", "pattern-unknown-marker"),
            ("@v@", "pattern-unknown-marker"),
            ("a*@v", "pattern-character"),
            ("ä@v", "pattern-character"),
            ("a\t@v", "pattern-character"),
            ("@v/@v", "pattern-marker-twice"),
            ("a/b", "pattern-no-version"),
            ("a/b*@v", "pattern-character"),
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap_err().code(), code, "{text:?}");
        }
        assert_eq!("a_@v.xz".parse::<Pattern>().unwrap().to_string(), "a_@v.xz");
    }

    #[test]
    fn versions() {
        for (pattern, name, version) in [
            ("os_@v.raw", "os_7.raw", Some("7")),
            ("os_@v.raw", "os_7.1-2+a,b.raw", Some("7.1-2+a,b")),
            ("@v", "7", Some("7")),
            ("a@@_@v", "a@_7", Some("7")),
            // the first place counts, and then the rest must be that
            ("os_@v.raw", "os_7.raw.raw", None),
            ("@v_x_@s", "1_x_2_x_3", None),
            ("os_@v.raw", "os_.raw", None),
            ("os_@v.raw", "os_7", None),
            ("os_@v.raw", "xos_7.raw", None),
            ("os_@v.raw", "os_7~1.raw", None),
            ("os_@v.raw", "os_7^1.raw", None),
            ("os_@v.raw", "os_ä.raw", None),
        ] {
            let fields = pattern.parse::<Pattern>().unwrap().fields(name);
            assert_eq!(fields.map(|fields| fields.version).as_deref(), version, "{pattern} {name}");
        }
    }

    /// As systemd after 257 has it: 257 itself aborts on a marker before a slash.
    #[test]
    fn f11_a_pattern_may_be_a_path() {
        for (pattern, name, version) in [
            ("os_@v/bar.efi", "os_7/bar.efi", Some("7")),
            ("@v/os.raw", "7/os.raw", Some("7")),
            ("a/b/os_@v.raw", "a/b/os_7.raw", Some("7")),
            ("@v/@s", "7/4096", Some("7")),
            ("os_@v/bar.efi", "os_7", None),
            ("os_@v/bar.efi", "os_7/bar.efi/x", None),
            ("os_@v/bar.efi", "os_7/x/bar.efi", None),
            ("os_@v/bar.efi", "os_7//bar.efi", None),
            ("os_@v/bar.efi", "x/os_7/bar.efi", None),
            ("os_@v.raw", "os_7/x.raw", None),
            ("os_@v", "os_7/", None),
        ] {
            let fields = pattern.parse::<Pattern>().unwrap().fields(name);
            assert_eq!(fields.map(|fields| fields.version).as_deref(), version, "{pattern} {name}");
        }
        let pattern: Pattern = "a/os_@v/bar.efi".parse().unwrap();
        for (directory, leads) in [
            ("a", true),
            ("a/os_7", true),
            ("a/os_~", false),
            ("b", false),
            ("a/os_7/bar.efi", false),
            ("", false),
        ] {
            assert_eq!(pattern.leads_into(directory), leads, "{directory}");
        }
        for (pattern, has) in
            [("a/os_@v/b", true), ("@v/b", true), ("a/os_@v", false), ("a@v.d/b", false), ("@v", false)]
        {
            assert_eq!(pattern.parse::<Pattern>().unwrap().has_marker_before_slash(), has, "{pattern}");
        }
        assert!(!"os_@v".parse::<Pattern>().unwrap().leads_into("os_7"));
    }

    #[test]
    fn fields() {
        let sum = "ab".repeat(32);
        let all: Pattern = "@v_@u_@f_@a_@g_@r_@t_@m_@s_@d_@l_@h".parse().unwrap();
        let name =
            format!("7_4f68bce3e8cd4db196e7fbcaf984b709_1F_1_0_1_1700000000000000_0755_4096_3_0_{sum}");
        let fields = all.fields(&name).unwrap();
        let expected = Fields {
            version: "7".to_owned(),
            uuid: Some("4f68bce3-e8cd-4db1-96e7-fbcaf984b709".parse().unwrap()),
            flags: Some(0x1f),
            no_auto: Some(true),
            grow_file_system: Some(false),
            read_only: Some(true),
            mtime: Some(1_700_000_000_000_000),
            mode: Some(0o755),
            size: Some(4096),
            tries_done: Some(3),
            tries_left: Some(0),
            sha256: Some([0xab; 32]),
        };
        assert_eq!(fields, expected);
        for (pattern, name) in [
            ("@v_@u", "1_4f68bce3"),
            ("@v_@f", "1_0x1"),
            ("@v_@f", "1_+1"),
            ("@v_@a", "1_2"),
            ("@v_@t", "1_18446744073709551616"),
            ("@v_@m", "1_1755"),
            ("@v_@m", "1_0777"),
            ("@v_@m", "1_8"),
            ("@v_@s", "1_"),
            ("@v_@f", "1_g"),
            ("@v_@t", "1_a"),
            ("@v_@s", "1_a"),
            ("@v_@d", "1_a"),
            ("@v_@l", "1_a"),
            ("@v_@h", "1_abcd"),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().fields(name), None, "{pattern} {name}");
        }
        let dashed: Pattern = "@v_@u".parse().unwrap();
        assert!(dashed.fields("1_4f68bce3-e8cd-4db1-96e7-fbcaf984b709").is_some());
    }
}
