//! The values of settings.

use ddi_gpt::Guid;

use crate::error::ValueFault;

/// Suffixes of sizes, the largest first, as a sum must have them.
const SUFFIXES: [(char, u64); 7] = [
    ('E', 1 << 60),
    ('P', 1 << 50),
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
    ('B', 1),
];

const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// A size: `10M`, `1.5G`, `1G 512M`, bytes without a suffix (systemd, `parse_size`, base 1024).
pub(crate) fn size(text: &str) -> Result<u64, ValueFault> {
    let mut rest = text.trim_start_matches(WHITE_SPACE);
    let mut sum: u64 = 0;
    let mut suffixes = &SUFFIXES[..];
    loop {
        let (whole, fraction);
        (whole, rest) = digits(rest);
        if whole.is_empty() {
            return Err(ValueFault::NotASize);
        }
        (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        rest = rest.trim_start_matches(WHITE_SPACE);
        let found = match rest.chars().next() {
            None => suffixes.last().map(|(_, factor)| (suffixes.len(), *factor)),
            Some(letter) => suffixes.iter().position(|(known, _)| *known == letter).map(|at| {
                rest = rest.strip_prefix(letter).unwrap_or(rest);
                (at.saturating_add(1), suffixes.get(at).map_or(1, |(_, factor)| *factor))
            }),
        };
        let (used, factor) = found.ok_or(ValueFault::NotASize)?;
        suffixes = suffixes.get(used..).unwrap_or_default();
        let part = scaled(whole, fraction, factor)?;
        sum = sum.checked_add(part).ok_or(ValueFault::TooLarge)?;
        rest = rest.trim_start_matches(WHITE_SPACE);
        if rest.is_empty() {
            return Ok(sum);
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `whole.fraction × factor`, rounded down.
fn scaled(whole: &str, fraction: &str, factor: u64) -> Result<u64, ValueFault> {
    let whole: u64 = whole.parse().map_err(|_| ValueFault::TooLarge)?;
    let whole = whole.checked_mul(factor).ok_or(ValueFault::TooLarge)?;
    // what comes behind these digits is less than a byte
    let (mut part, mut unit) = (0_u128, u128::from(factor));
    let mut scale = 1_u128;
    for digit in fraction.chars().take(18).filter_map(|digit| digit.to_digit(10)) {
        scale = scale.saturating_mul(10);
        part = part.saturating_mul(10).saturating_add(u128::from(digit));
    }
    unit = unit.saturating_mul(part).checked_div(scale).unwrap_or_default();
    let part = u64::try_from(unit).map_err(|_| ValueFault::TooLarge)?;
    whole.checked_add(part).ok_or(ValueFault::TooLarge)
}

pub(crate) fn boolean(text: &str) -> Result<bool, ValueFault> {
    ddi_os::metadata::parse_boolean(text).ok_or(ValueFault::NotABoolean)
}

/// A number within bounds.
pub(crate) fn number(text: &str, min: i64, max: i64) -> Result<i64, ValueFault> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || digits.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(ValueFault::NotANumber);
    }
    let number: i64 = text.parse().map_err(|_| ValueFault::OutOfRange { min, max })?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(ValueFault::OutOfRange { min, max }) }
}

/// A number as C writes it: `0x…`, `0…` or decimal.
pub(crate) fn c_number(text: &str) -> Result<u64, ValueFault> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..), 16),
        [b'0', b'b' | b'B', ..] => (text.get(2..), 2),
        [b'0', b'o' | b'O', ..] => (text.get(2..), 8),
        [b'0', _, ..] => (text.get(1..), 8),
        _ => (Some(text), 10),
    };
    let digits = digits.unwrap_or_default();
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(ValueFault::NotANumber);
    }
    u64::from_str_radix(digits, base).map_err(|_| ValueFault::TooLarge)
}

/// A power of two from 512 to 4096.
pub(crate) fn block_size(text: &str) -> Result<u32, ValueFault> {
    let size = size(text)?;
    match u32::try_from(size) {
        Ok(size @ (512 | 1024 | 2048 | 4096)) => Ok(size),
        _ => Err(ValueFault::NotABlockSize),
    }
}

pub(crate) fn uuid(text: &str) -> Result<Guid, ValueFault> {
    match text {
        "null" => Ok(Guid::NIL),
        _ => Guid::parse(text).ok_or(ValueFault::NotAUuid),
    }
}

/// An absolute path, without doubled slashes, `.` and one at the end.
pub(crate) fn path(text: &str) -> Result<String, ValueFault> {
    if !text.starts_with('/') || text.contains('\0') || text.len() > 4096 {
        return Err(ValueFault::NotAPath);
    }
    let mut path = String::with_capacity(text.len());
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(ValueFault::NotAPath),
            name => {
                path.push('/');
                path.push_str(name);
            }
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// Parts between colons; a backslash takes the meaning of what follows.
pub(crate) fn colon_parts(text: &str) -> Result<Vec<String>, ValueFault> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ':' => parts.push(String::new()),
            _ => {
                let letter = match letter {
                    '\\' => letters.next().ok_or(ValueFault::Quoting)?,
                    letter => letter,
                };
                if let Some(part) = parts.last_mut() {
                    part.push(letter);
                }
            }
        }
    }
    Ok(parts)
}

/// Words between white space; quotes hold one together.
pub(crate) fn words(text: &str) -> Result<Vec<String>, ValueFault> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if WHITE_SPACE.contains(&letter) => words.extend(word.take()),
            (_, '\\') => word.get_or_insert_default().push(letters.next().ok_or(ValueFault::Quoting)?),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(ValueFault::Quoting);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("10M", 10 << 20),
            ("1.5G", 3 << 29),
            ("1G 512M", 3 << 29),
            ("1G512M1B", (3 << 29) + 1),
            (" 4 K", 4096),
            ("1K 1", 1025),
            ("10.M", 10 << 20),
            ("15E", 15 << 60),
            ("18446744073709551615", u64::MAX),
            ("0.0009765625K", 1),
            ("0.9999999999999999999999B", 0),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in ["", "M", "1X", "-1", "+1", "1M 1G", "1M 1M", "1 1", "1.M.", "0x10", "1 K B"] {
            assert_eq!(size(text), Err(ValueFault::NotASize), "{text}");
        }
        for text in ["16E", "18446744073709551616", "15E 1024P", "99999999999999999999999"] {
            assert_eq!(size(text), Err(ValueFault::TooLarge), "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(c_number("0x8000000000000004"), Ok(0x8000_0000_0000_0004));
        assert_eq!((c_number("010"), c_number("0"), c_number("12")), (Ok(8), Ok(0), Ok(12)));
        assert_eq!(c_number("0x"), Err(ValueFault::NotANumber));
        assert_eq!(c_number("08"), Err(ValueFault::NotANumber));
        assert_eq!(c_number("18446744073709551616"), Err(ValueFault::TooLarge));
        assert_eq!(number("-5", -10, 10), Ok(-5));
        assert_eq!(number("11", 0, 10), Err(ValueFault::OutOfRange { min: 0, max: 10 }));
        assert_eq!(number("1.0", 0, 10), Err(ValueFault::NotANumber));
        assert_eq!(number("9".repeat(30).as_str(), 0, 10), Err(ValueFault::OutOfRange { min: 0, max: 10 }));
        assert_eq!(block_size("4K"), Ok(4096));
        assert_eq!(block_size("8K"), Err(ValueFault::NotABlockSize));
    }

    #[test]
    fn paths_and_words() {
        assert_eq!(path("//a/./b/"), Ok("/a/b".into()));
        assert_eq!(path("/"), Ok("/".into()));
        for bad in ["a", "", "/a/../b", "/..", "/a\0"] {
            assert_eq!(path(bad), Err(ValueFault::NotAPath), "{bad}");
        }
        assert_eq!(colon_parts(r"/a\:b:/c"), Ok(vec!["/a:b".into(), "/c".into()]));
        assert_eq!(colon_parts("a\\"), Err(ValueFault::Quoting));
        assert_eq!(
            words(r#" a "b c" d\ e '' "#),
            Ok(vec!["a".into(), "b c".into(), "d e".into(), "".into()])
        );
        assert_eq!(words("\"a"), Err(ValueFault::Quoting));
    }
}
