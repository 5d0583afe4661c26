//! `SHA256SUMS`, with the grammar of systemd-sysupdate (`resource_load_from_web`).

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest manifest that is read: ten thousand files.
pub const MAX_MANIFEST: u64 = 1 << 20;
/// The name of an entry that is no file but a date (systemd 258).
const BEST_BEFORE: &str = "BEST-BEFORE-";
/// Longest path of a file: that of Linux.
const MAX_PATH: usize = 4095;
/// Digits, a space, a mark.
const PREFIX: usize = 66;

/// A file in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, or its path below the directory: no control characters, no part that is empty, `.` or `..`.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: u16,
    /// Month, from 1.
    pub month: u8,
    /// Day, from 1.
    pub day: u8,
}

impl Date {
    /// From `YYYY-MM-DD`, or with one digit for month or day, as systemd takes it (`strptime`, `%Y-%m-%d`).
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = |text: &&str, digits: std::ops::RangeInclusive<usize>| {
            digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut parts = text.split('-');
        let year = parts.next().filter(|text| is_number(text, 4..=4))?.parse().ok()?;
        let mut short = || parts.next().filter(|text| is_number(text, 1..=2))?.parse().ok();
        let (month, day): (u8, u8) = (short()?, short()?);
        if parts.next().is_some() {
            return None;
        }
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28_u8.saturating_add(u8::from(is_leap)),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (year >= 1970 && (1..=days).contains(&day)).then_some(Date { year, month, day })
    }

    /// Days from 1970-01-01 to this one.
    fn number(self) -> u64 {
        // years that begin in March, so that the leap day is the last one
        let (year, month) = match self.month {
            1 | 2 => (u64::from(self.year).saturating_sub(1), u64::from(self.month).saturating_add(9)),
            month => (u64::from(self.year), u64::from(month).saturating_sub(3)),
        };
        let leap_days = (year / 4).saturating_sub(year / 100).saturating_add(year / 400);
        let months = month.saturating_mul(153).saturating_add(2) / 5;
        let days = year.saturating_mul(365).saturating_add(leap_days).saturating_add(months);
        // 1970-01-01 is day 719468 of this calendar, whose days begin with 0
        days.saturating_add(u64::from(self.day)).saturating_sub(719_469)
    }

    /// Returns true if the day has begun, in UTC. From then on, what is best before it is out of date.
    pub fn has_begun(self, now: SystemTime) -> bool {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        seconds / 86_400 >= self.number()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// What a `SHA256SUMS` says. Whoever wrote it says so.
///
/// ```
/// use ddi_os::sysupdate::Manifest;
/// let text = format!("{} *os_7.raw\n", "ab".repeat(32));
/// assert_eq!(Manifest::parse(text.as_bytes()).unwrap().files[0].name, "os_7.raw");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Manifest {
    /// The files, in the order of the manifest. A name may come twice, with the same sum.
    pub files: Vec<Listed>,
    /// The day from which on it should not be used any more: the first one of several.
    pub best_before: Option<Date>,
    /// Names that begin as those of dates do and have none: systemd passes over them.
    pub odd_best_before: Vec<String>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// A NUL.
    Nul,
    /// Not UTF-8.
    NotUtf8,
    /// No newline at its end.
    Truncated,
    /// A backslash first: sha256sum escapes the name.
    Escaped,
    /// No 64 hexadecimal digits first.
    Digest,
    /// Behind them neither two spaces nor a space and `*`.
    Separator,
    /// CR and LF at its end.
    CarriageReturn,
    /// A name that is empty or too long, has control characters in it, is absolute, or has a part that is empty, `.` or `..`.
    Name,
    /// The same name with another sum.
    Contradiction,
}

/// A line that is not understood; systemd-sysupdate refuses the whole manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: ManifestProblem,
}

impl ManifestError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self.problem {
            ManifestProblem::Nul => "manifest-nul",
            ManifestProblem::NotUtf8 => "manifest-not-utf-8",
            ManifestProblem::Truncated => "manifest-truncated",
            ManifestProblem::Escaped => "manifest-escaped-name",
            ManifestProblem::Digest => "manifest-digest",
            ManifestProblem::Separator => "manifest-separator",
            ManifestProblem::Name => "manifest-name",
            ManifestProblem::CarriageReturn => "manifest-crlf",
            ManifestProblem::Contradiction => "manifest-contradiction",
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.problem {
            ManifestProblem::Nul => "a NUL byte",
            ManifestProblem::NotUtf8 => "not UTF-8",
            ManifestProblem::Truncated => "no newline at the end",
            ManifestProblem::Escaped => "an escaped file name",
            ManifestProblem::Digest => "does not begin with 64 hexadecimal digits",
            ManifestProblem::Separator => "no space and no space or * behind the digits",
            ManifestProblem::CarriageReturn => {
                "it ends in CR and LF, and systemd takes the CR for a part of the name"
            }
            ManifestProblem::Name => "neither a file name nor a plain path below the directory",
            ManifestProblem::Contradiction => "a file that is there already, with another sum",
        };
        write!(f, "line {}: {what}", self.line)
    }
}

impl core::error::Error for ManifestError {}

impl Manifest {
    /// Reads all of it.
    ///
    /// # Errors
    /// [`ManifestError`] of the first line that is no good.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut manifest = Manifest::default();
        let mut sums = std::collections::HashMap::new();
        let mut rest = bytes;
        let mut number: usize = 0;
        while !rest.is_empty() {
            number = number.saturating_add(1);
            let at = |problem| ManifestError { line: number, problem };
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = end.and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, &[]));
            if line.contains(&0) {
                return Err(at(ManifestProblem::Nul));
            }
            if end.is_none() {
                return Err(at(ManifestProblem::Truncated));
            }
            rest = after.strip_prefix(b"\n").unwrap_or_default();
            let listed = parse_line(line).map_err(at)?;
            if let Some(date) = listed.name.strip_prefix(BEST_BEFORE) {
                match Date::parse(date) {
                    Some(date) => {
                        let first = manifest.best_before.map_or(date, |known| known.min(date));
                        manifest.best_before = Some(first);
                    }
                    None => manifest.odd_best_before.push(listed.name),
                }
                continue;
            }
            if sums.insert(listed.name.clone(), listed.sha256).is_some_and(|known| known != listed.sha256) {
                return Err(at(ManifestProblem::Contradiction));
            }
            manifest.files.push(listed);
        }
        Ok(manifest)
    }
}

fn parse_line(line: &[u8]) -> Result<Listed, ManifestProblem> {
    if line.first() == Some(&b'\\') {
        return Err(ManifestProblem::Escaped);
    }
    let sha256 = line.get(..64).and_then(super::parse_sha256).ok_or(ManifestProblem::Digest)?;
    if !matches!(line.get(64..PREFIX), Some(b"  " | b" *")) {
        return Err(ManifestProblem::Separator);
    }
    let name =
        std::str::from_utf8(line.get(PREFIX..).unwrap_or_default()).map_err(|_| ManifestProblem::NotUtf8)?;
    if name.strip_suffix('\r').is_some_and(is_plain_path) {
        return Err(ManifestProblem::CarriageReturn);
    }
    if !is_plain_path(name) {
        return Err(ManifestProblem::Name);
    }
    Ok(Listed { name: name.to_owned(), sha256 })
}

/// Returns true if it is the name of a file, or a path that does not lead out of its directory, fit to be shown.
pub(super) fn is_plain_path(path: &str) -> bool {
    path.len() <= MAX_PATH
        && !path.contains(char::is_control)
        && path.split('/').all(|name| !matches!(name, "" | "." | "..") && name.len() <= 255)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(name: &str) -> String {
        format!("{} *{name}\n", "0a".repeat(32))
    }

    #[test]
    fn good() {
        let text =
            line("a_1.raw") + &line("ä b").replace(" *", "  ") + &line("a_1.raw") + &line("x").to_uppercase();
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let names: Vec<_> = manifest.files.iter().map(|file| &*file.name).collect();
        assert_eq!(names, ["a_1.raw", "ä b", "a_1.raw", "X"]);
        assert!(manifest.files.iter().all(|file| file.sha256 == [0x0a; 32]));
        assert_eq!(Manifest::parse(b"").unwrap(), Manifest::default());
    }

    /// Each rule broken once.
    #[test]
    fn refused() {
        let good = line("a");
        for (text, problem) in [
            (good.replace('a', "\0"), ManifestProblem::Nul),
            (good.trim_end().to_owned(), ManifestProblem::Truncated),
            (format!("\\{good}"), ManifestProblem::Escaped),
            (good.replacen('0', "g", 1), ManifestProblem::Digest),
            (good.replacen('0', "", 1), ManifestProblem::Digest),
            ("\n".to_owned(), ManifestProblem::Digest),
            ("# comment\n".to_owned(), ManifestProblem::Digest),
            (good.replacen('0', "00", 1), ManifestProblem::Separator),
            (good.replace(" *", "\t*"), ManifestProblem::Separator),
            (good.replace(" *", " ?"), ManifestProblem::Separator),
            (line(""), ManifestProblem::Name),
            (line(".."), ManifestProblem::Name),
            (line("./a"), ManifestProblem::Name),
            (line("/a"), ManifestProblem::Name),
            (line("a/../b"), ManifestProblem::Name),
            (line("a//b"), ManifestProblem::Name),
            (line("a/"), ManifestProblem::Name),
            (line("a\rb"), ManifestProblem::Name),
            (line("\r"), ManifestProblem::Name),
            (line("a\r"), ManifestProblem::CarriageReturn),
            (line(&"a".repeat(256)), ManifestProblem::Name),
            (good.clone() + &good.replacen('0', "1", 1), ManifestProblem::Contradiction),
        ] {
            let line = if problem == ManifestProblem::Contradiction { 2 } else { 1 };
            assert_eq!(Manifest::parse(text.as_bytes()), Err(ManifestError { line, problem }), "{text:?}");
        }
        let mut bytes = line("ab").into_bytes();
        bytes[66] = 0xff;
        let error = Manifest::parse(&bytes).unwrap_err();
        assert_eq!(error.problem, ManifestProblem::NotUtf8);
    }

    #[test]
    fn f11_files_in_directories() {
        let long = format!("{}/x", "a".repeat(255));
        for name in ["a/b", "a/b.c/d", "..a/b", &long] {
            assert_eq!(Manifest::parse(line(name).as_bytes()).unwrap().files[0].name, name);
        }
        let deep = "a/".repeat(2047) + "a";
        assert!(is_plain_path(&deep) && !is_plain_path(&(deep + "aa")));
    }

    /// systemd warns, and goes on.
    #[test]
    fn f11_a_best_before_that_is_no_date() {
        let text = line("BEST-BEFORE-2026-02-29") + &line("BEST-BEFORE-tomorrow") + &line("a_1.raw");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.odd_best_before, ["BEST-BEFORE-2026-02-29", "BEST-BEFORE-tomorrow"]);
        assert_eq!((manifest.best_before, manifest.files.len()), (None, 1));
    }

    #[test]
    fn best_before() {
        let text = line("BEST-BEFORE-2027-01-01") + &line("BEST-BEFORE-2026-12-31");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let date = manifest.best_before.unwrap();
        assert_eq!((date.to_string(), manifest.files.len()), ("2026-12-31".to_owned(), 0));
        // date -u -d 2026-12-31 +%s
        let begin = UNIX_EPOCH + std::time::Duration::from_secs(1_798_675_200);
        assert!(date.has_begun(begin) && !date.has_begun(begin - std::time::Duration::from_secs(1)));
        assert!(date.has_begun(begin + std::time::Duration::from_secs(1 << 30)));
    }

    #[test]
    fn dates() {
        // date -u -d ... +%s, divided by 86400
        for (text, number) in [
            ("1970-01-01", 0),
            ("1970-03-01", 59),
            ("2000-02-29", 11016),
            ("2024-02-29", 19_782),
            ("2024-12-31", 20088),
            ("9999-12-31", 2_932_896),
            // a century without a leap day, and one with
            ("2099-12-31", 47_481),
            ("2100-03-01", 47_541),
            ("2400-02-29", 157_113),
            ("2400-03-01", 157_114),
            ("2024-3-1", 19_783),
            ("2024-03-1", 19_783),
        ] {
            assert_eq!(Date::parse(text).unwrap().number(), number, "{text}");
        }
        for text in [
            "",
            "2026-001-01",
            "226-01-01",
            "20260-01-01",
            "2023-02-29",
            "2100-02-29",
            "2026-01",
            "2026-01-",
            "+026-01-01",
            "2026-01-01-01",
            "2026-13-01",
            "2026-+1-01",
            "2026-01-32",
            "2026-12-00",
            "2026-00-01",
            "2026-04-31",
            "1900-02-29",
            "2026-01-01x",
            "20260101--",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn damaged(edits in proptest::collection::vec((0_usize..150, any::<u8>()), 0..5), cut in 0_usize..150) {
            let mut bytes = (line("a_1.raw") + &line("a_2.raw")).into_bytes();
            for (at, byte) in edits {
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            bytes.truncate(cut);
            if let Ok(manifest) = Manifest::parse(&bytes) {
                prop_assert!(manifest.files.iter().all(|file| is_plain_path(&file.name)));
            }
        }
    }
}
