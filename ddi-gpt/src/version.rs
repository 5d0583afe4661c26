//! Version comparison (UAPI.10), as systemd does it.

use core::cmp::Ordering;

/// Compares two versions, or two names that end in one, as systemd's `strverscmp_improved()` does (UAPI.10).
///
/// This is the order in which the newest of several root partitions is found. Where code and specification differ (a missing
/// number: `123.a` and `123.0a`) this follows the code.
///
/// ```
/// use core::cmp::Ordering;
/// use ddi_gpt::compare_versions;
///
/// assert_eq!(compare_versions("os_123~rc1", "os_123"), Ordering::Less);
/// assert_eq!(compare_versions("os_9", "os_10"), Ordering::Less);
/// ```
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    compare_version_bytes(a.as_bytes(), b.as_bytes())
}

/// [`compare_versions`] for bytes that need not be UTF-8. Only letters, digits and `-.~^` count.
pub fn compare_version_bytes(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        (a, b) = (skip_separators(a), skip_separators(b));
        // a pre-release: older than what it precedes, and than nothing at all
        if let Some(decided) = lower_with(&mut a, &mut b, b'~') {
            return decided;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        for separator in [b'-', b'^', b'.'] {
            if let Some(decided) = lower_with(&mut a, &mut b, separator) {
                return decided;
            }
        }
        let numeric = starts_with_digit(a) || starts_with_digit(b);
        let in_run = if numeric { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
        let (run_a, rest_a) = split_run(a, in_run);
        let (run_b, rest_b) = split_run(b, in_run);
        let order = if numeric { compare_numbers(run_a, run_b) } else { run_a.cmp(run_b) };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Drops what is not in the alphabet of versions.
fn skip_separators(text: &[u8]) -> &[u8] {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'~' | b'^');
    text.iter().position(counts).and_then(|at| text.get(at..)).unwrap_or_default()
}

/// Decides if only one of the two starts with `separator`; if both do, drops it from both.
fn lower_with(a: &mut &[u8], b: &mut &[u8], separator: u8) -> Option<Ordering> {
    match (a.strip_prefix(&[separator]), b.strip_prefix(&[separator])) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(rest_a), Some(rest_b)) => {
            (*a, *b) = (rest_a, rest_b);
            None
        }
    }
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn split_run(text: &[u8], in_run: fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !in_run(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// Numbers of any length. No digits at all is less than any number, 0 included.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().skip_while(|digit| **digit == b'0').count();
    let zeros = |digits: &[u8]| digits.len().saturating_sub(significant(digits));
    (!a.is_empty())
        .cmp(&!b.is_empty())
        .then_with(|| significant(a).cmp(&significant(b)))
        .then_with(|| a.get(zeros(a)..).cmp(&b.get(zeros(b)..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// systemd's own list (test-string-util.c), ascending.
    const ASCENDING: [&str; 24] = [
        "~1",
        "",
        "ab",
        "abb",
        "abc",
        "0001",
        "002",
        "12",
        "122",
        "122.9",
        "123~rc1",
        "123",
        "123-a",
        "123-a.1",
        "123-a1",
        "123-a1.1",
        "123-3",
        "123-3.1",
        "123^patch1",
        "123^1",
        "123.a-1",
        "123.1-1",
        "123a-1",
        "124",
    ];

    /// The chain of UAPI.10.
    const CHAIN: [&str; 12] = [
        "122.1",
        "123~rc1-1",
        "123",
        "123-a",
        "123-a.1",
        "123-1",
        "123-1.1",
        "123^post1",
        "123.a-1",
        "123.1-1",
        "123a-1",
        "124-1",
    ];

    #[test]
    fn every_pair_of_the_ascending_lists() {
        for list in [&ASCENDING[..], &CHAIN[..]] {
            for (i, a) in list.iter().enumerate() {
                for (j, b) in list.iter().enumerate() {
                    assert_eq!(compare_versions(a, b), i.cmp(&j), "{a:?} {b:?}");
                    let (a, b) = (std::format!("os_{a}"), std::format!("os_{b}"));
                    if i > 1 && j > 1 {
                        assert_eq!(compare_versions(&a, &b), i.cmp(&j), "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn equal() {
        for (a, b) in [
            ("11", "11"),
            ("11α", "11β"),
            ("1_", "1"),
            ("_1", "1"),
            ("1+", "1"),
            ("+1", "1"),
            ("0_", "0"),
            ("_", ""),
            ("123_aa2-67.89", "123aa+2-67.89"),
        ] {
            assert_eq!(compare_versions(a, b), Ordering::Equal, "{a:?} {b:?}");
        }
    }

    #[test]
    fn greater() {
        for (a, b) in [
            ("123.", "123"),
            ("123.0", "123"),
            ("123_0", "123"),
            ("123", "12_3"),
            ("12_3", "12"),
            ("12_3", "12.3"),
            ("", "~"),
            ("0", ""),
            ("0", "~"),
            ("foo-123", "bar-123"),
            // letters by their order, not by how many there are
            ("b", "aa"),
            ("1.b", "1.aa"),
            ("123a", "123.a"),
            ("123.b", "123.a"),
            ("a", "B"),
            ("1_2_3", "1.3.3"),
            ("1+2+3", "1.3.3"),
            ("6.0.rc1", "6.0"),
            ("10xyz", "10.1xyz"),
            ("8", "xyz.4"),
            // where the code leaves the specification
            ("123.0a", "123.a"),
            ("1.0", "1.a"),
            ("0", "a"),
            ("123.0", "123..0"),
            // numbers of any length
            ("10", "9"),
            ("1.10", "1.9"),
            ("v10", "v9"),
            ("99999999999999999999999999", "99999999999999999999999998"),
            ("100000000000000000000000000", "0099999999999999999999999999"),
        ] {
            assert_eq!(compare_versions(a, b), Ordering::Greater, "{a:?} {b:?}");
            assert_eq!(compare_versions(b, a), Ordering::Less, "{b:?} {a:?}");
        }
    }

    proptest! {
        #[test]
        fn swapping_reverses(a in "[-a-c0-2.~^_é]{0,8}", b in "[-a-c0-2.~^_é]{0,8}") {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
            prop_assert_eq!(compare_versions(&a, &a), Ordering::Equal);
        }
    }
}
