//! Image filters: which partitions are considered, by their label (systemd 258 and newer, `image_filter_test()`).

use ddi_gpt::Designator;

/// Patterns for labels, by designator: a partition whose label does not match the pattern of its designator is as if it
/// were not there. Without a pattern, every label matches.
///
/// Patterns are those of `fnmatch(3)` with `FNM_NOESCAPE`: `*`, `?`, `[a-z]`, `[!a-z]`; no character classes by name.
///
/// ```
/// use ddi_core::steps::ImageFilter;
/// use ddi_gpt::Designator;
///
/// let filter = ImageFilter::new().only(Designator::Usr, "myos_1.*");
/// assert!(filter.matches(Designator::Usr, "myos_1.2"));
/// assert!(!filter.matches(Designator::Usr, "myos_2.0"));
/// assert!(filter.matches(Designator::Home, ""));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFilter {
    patterns: Vec<(Designator, String)>,
}

impl ImageFilter {
    /// Every label of every designator.
    pub fn new() -> Self {
        Self::default()
    }

    /// For `designator`, only labels that match `pattern`. The last pattern for a designator counts.
    #[must_use]
    pub fn only(mut self, designator: Designator, pattern: impl Into<String>) -> Self {
        self.patterns.retain(|(other, _)| *other != designator);
        self.patterns.push((designator, pattern.into()));
        self
    }

    /// Returns true if a partition of `designator` with this label may be considered. A partition without a label has
    /// the empty one.
    pub fn matches(&self, designator: Designator, label: &str) -> bool {
        let pattern = self.patterns.iter().find(|(other, _)| *other == designator);
        pattern.is_none_or(|(_, pattern)| matches(pattern, label))
    }
}

/// One piece of a pattern.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    Any,
    One,
    Literal(char),
    /// The inside of a bracket expression, without the negation.
    Set(&'a str, bool),
}

/// The first piece of a pattern, and the rest.
fn next_piece(pattern: &str) -> Option<(Piece<'_>, &str)> {
    let mut chars = pattern.chars();
    let first = chars.next()?;
    let rest = chars.as_str();
    Some(match first {
        '*' => (Piece::Any, rest),
        '?' => (Piece::One, rest),
        '[' => bracket(rest).unwrap_or((Piece::Literal('['), rest)),
        c => (Piece::Literal(c), rest),
    })
}

/// A bracket expression behind its `[`; `None` if it does not end.
fn bracket(text: &str) -> Option<(Piece<'_>, &str)> {
    let inside = text.strip_prefix(['!', '^']);
    let negated = inside.is_some();
    let inside = inside.unwrap_or(text);
    // a `]` that comes first is one of the set
    let (end, _) = inside.char_indices().skip(1).find(|(_, c)| *c == ']')?;
    let (set, rest) = inside.split_at_checked(end)?;
    Some((Piece::Set(set, negated), rest.strip_prefix(']')?))
}

fn in_set(set: &str, c: char) -> bool {
    let mut rest = set.chars();
    while let Some(low) = rest.next() {
        let mut range = rest.clone();
        match (range.next(), range.next()) {
            (Some('-'), Some(high)) => {
                if (low..=high).contains(&c) {
                    return true;
                }
                rest = range;
            }
            _ if low == c => return true,
            _ => {}
        }
    }
    false
}

/// Goes back to the last `*` only, which is enough: time is pattern × label at worst.
fn matches(pattern: &str, label: &str) -> bool {
    let (mut pattern, mut label) = (pattern, label);
    let mut star: Option<(&str, &str)> = None;
    loop {
        let mut after = label.chars();
        let c = after.next();
        let step = match (next_piece(pattern), c) {
            (None, None) => return true,
            (Some((Piece::Any, rest)), _) => {
                star = Some((rest, label));
                pattern = rest;
                continue;
            }
            (Some((Piece::One, rest)), Some(_)) => Some(rest),
            (Some((Piece::Literal(wanted), rest)), Some(c)) if c == wanted => Some(rest),
            (Some((Piece::Set(set, negated), rest)), Some(c)) if in_set(set, c) != negated => Some(rest),
            _ => None,
        };
        match (step, star) {
            (Some(rest), _) => (pattern, label) = (rest, after.as_str()),
            (None, None) => return false,
            (None, Some((behind, from))) => {
                // the star takes one character more
                let mut from = from.chars();
                if from.next().is_none() {
                    return false;
                }
                star = Some((behind, from.as_str()));
                (pattern, label) = (behind, from.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (pattern, label, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("os_*", "os_1", true),
            ("os_*", "os", false),
            ("*_1", "a_1_1", true),
            ("*a*b", "xaybzb", true),
            ("*a*b", "xayb_", false),
            ("?", "", false),
            ("?", "ü", true),
            ("[0-9]", "5", true),
            ("[0-9]", "x", false),
            ("[!0-9]", "x", true),
            ("[^0-9]", "5", false),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("\\*", "\\x", true),
            ("a.b", "axb", false),
        ] {
            assert_eq!(matches(pattern, label), expected, "{pattern} {label}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let label = "a".repeat(36);
        assert!(!matches(&"*a".repeat(1000), &label));
        assert!(!matches(&format!("{}b", "*a".repeat(30)), &label));
    }
}
