//! Texts that people and images write, and what a terminal gets of them.

use std::cmp::Ordering;

use ddi_core::policy::ImagePolicy;
use ddi_gpt::{Designator, Escaped, Guid, Name, compare_version_bytes, compare_versions};
use ddi_os::metadata::{EnvFile, EnvFileError, MachineId, clean_hostname, is_image_name, parse_boolean};
use ddi_verity::{RootHash, Salt};

use super::input::Input;

/// The first character that a terminal would not just show: C0, DEL, C1; what changes the direction or cannot be seen (all
/// that Unicode calls default ignorable, and more); what is for private use, or no character.
pub fn unfit_for_a_terminal(text: &str) -> Option<char> {
    text.chars().find(|c| {
        matches!(*c, '\0'..='\x1f' | '\x7f'..='\u{9f}'
            | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}'
            | '\u{fdd0}'..='\u{fdef}')
            || matches!(u32::from(*c) % 0x1_0000, 0xfffe | 0xffff)
    })
}

pub(crate) fn assert_fit_for_a_terminal(text: &str) {
    assert_eq!(unfit_for_a_terminal(text), None, "{text:?}");
}

/// The UTF-16 units that an escaped text stands for.
fn unescaped(text: &str) -> Vec<u16> {
    let (mut units, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let mut push = |c: char| units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        if c != '\\' {
            push(c);
        } else if let Some(after) = rest.strip_prefix('\\') {
            push('\\');
            rest = after;
        } else {
            let (digits, after) =
                rest.strip_prefix("u{").and_then(|rest| rest.split_once('}')).expect("an escape");
            let number = u32::from_str_radix(digits, 16).expect("digits");
            match char::from_u32(number) {
                Some(c) => push(c),
                None => units.push(number.try_into().expect("a surrogate")),
            }
            rest = after;
        }
    }
    units
}

/// Asserts: an escaped text, and a partition name, is fit for a terminal and can be read back, so that no two look alike.
pub fn escape(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let shown = Escaped::new(&text).to_string();
    assert_fit_for_a_terminal(&shown);
    assert_eq!(unescaped(&shown), text.encode_utf16().collect::<Vec<_>>());

    let mut units = [0; Name::UNITS];
    for (unit, bytes) in units.iter_mut().zip(input.chunks_exact(2)) {
        *unit = u16::from_le_bytes([bytes[0], bytes[1]]);
    }
    let name = Name::from_units(units);
    let shown = name.to_string();
    assert_fit_for_a_terminal(&shown);
    assert_eq!(unescaped(&shown), name.text_units().collect::<Vec<_>>());
    if let Ok(again) = text.parse::<Name>() {
        assert_eq!(again.to_string(), Escaped::new(&text).to_string());
    }
    drop((name.label(), name.is_empty(), name.has_lone_surrogates(), name.has_hidden_text()));
}

/// Asserts: with a NUL it is refused; keys come once, in `get` as in the order of the file; the file written anew,
/// with quotes, is read as the same.
pub fn env_file(input: &[u8]) {
    let file = EnvFile::parse(input);
    assert_eq!(input.contains(&0), matches!(file, Err(EnvFileError::Nul { .. })));
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            assert!((1..=1 + input.iter().filter(|byte| **byte == b'\n').count()).contains(&error.line()));
            return;
        }
    };
    assert_eq!(file.len(), file.iter().count());
    let mut written = String::new();
    for (key, value) in file.iter() {
        assert_eq!(file.get(key), Some(value));
        assert!(!key.is_empty() && !key.contains(['\n', '\r', '\0']));
        // a key may begin with what would be a comment, if that is what a line before it went on with
        written.push_str(key);
        written.push_str("=\"");
        for c in value.chars() {
            if matches!(c, '"' | '\\' | '`' | '$') {
                written.push('\\');
            }
            written.push(c);
        }
        written.push_str("\"\n");
    }
    assert_eq!(EnvFile::parse(written.as_bytes()).as_ref(), Ok(&file), "{written}");
}

/// Asserts of one or two policies, a line each: printed they are read as having the same effect, printed in full as the same;
/// reading gracefully and strictly differ only in what is skipped; combining does not depend on the order, allows no more
/// than each (intersection) and no less (union).
pub fn policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (first, second) = text.split_once('\n').unwrap_or((&text, "-"));
    let policies = [first, second].map(|text| {
        let strict = text.parse::<ImagePolicy>();
        let graceful = ImagePolicy::parse_gracefully(text);
        match (&strict, &graceful) {
            (Ok(strict), Ok((graceful, skipped))) => assert!(skipped.is_empty() && strict == graceful),
            (Err(_), Ok((_, skipped))) => {
                assert!(
                    !skipped.is_empty() && skipped.iter().all(|word| text.get(word.at.clone()).is_some())
                );
            }
            (Err(a), Err(b)) => {
                assert!(text.get(a.at.clone()).is_some() && text.get(b.at.clone()).is_some());
                drop((a.to_string(), a.kind.code(), a.kind.errno_name()));
            }
            (Ok(_), Err(error)) => panic!("{error}"),
        }
        let policy = graceful.map(|(policy, _)| policy).ok()?;
        let short: ImagePolicy = policy.to_string().parse().expect("what is printed can be read");
        assert!(short.is_equivalent(&policy), "{policy}");
        assert_eq!(policy.to_long_string().parse(), Ok(policy));
        Some(policy)
    });
    let [Some(a), Some(b)] = policies else { return };
    // what is implied for hash trees and signatures is implied by the result
    let judged: Vec<Designator> = Designator::ALL
        .into_iter()
        .filter(|d| d.data_of().is_none() || a.rule(*d).is_some() || b.rule(*d).is_some())
        .collect();
    let within = |less: &ImagePolicy, more: &ImagePolicy| {
        judged.iter().all(|d| more.effective(*d).uses().contains(less.effective(*d).uses()))
    };
    match (a.intersect(&b), b.intersect(&a)) {
        (Ok(one), Ok(other)) => assert!(one.is_equivalent(&other)),
        (one, other) => assert_eq!(one, other),
    }
    match (a.union(&b), b.union(&a)) {
        (Ok(one), Ok(other)) => assert!(one.is_equivalent(&other)),
        (one, other) => assert_eq!(one, other),
    }
    if let Ok(both) = a.intersect(&b) {
        assert!(within(&both, &a) && within(&both, &b), "{a} and {b} give {both}");
    }
    if let Ok(either) = a.union(&b) {
        assert!(within(&a, &either) && within(&b, &either), "{a} or {b} gives {either}");
    }
}

/// Asserts of short texts: root hashes, salts and GUIDs are printed as they were written but for the case; a machine ID has 32
/// digits and an end; a host name that was cleaned is clean; versions are in order, any three of them.
pub fn words(input: &[u8]) {
    let mut input = Input(input);
    let which = input.byte();
    let bytes = input.0;
    let text = String::from_utf8_lossy(bytes);
    match which % 6 {
        0 => match text.parse::<RootHash>() {
            Ok(root) => assert_eq!(root.to_string(), text.to_ascii_lowercase()),
            Err(error) => drop((error.to_string(), error.code())),
        },
        1 => {
            if let Ok(salt) = text.parse::<Salt>() {
                let lower = text.to_ascii_lowercase();
                assert_eq!(salt.to_string(), if lower.is_empty() { "-" } else { &lower });
            }
        }
        2 => {
            if let Some(guid) = Guid::parse(&text) {
                let digits = |text: &str| text.replace(['-', '{', '}'], "").to_ascii_lowercase();
                assert_eq!(digits(&guid.to_string()), digits(&text));
                assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
                assert_eq!(Guid::from_disk(guid.to_disk()), guid);
            }
        }
        3 => {
            let id = MachineId::parse(bytes);
            if let Some(id) = id.id() {
                let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(text.to_ascii_lowercase().starts_with(&digits) && bytes.len() > 32);
            }
            let _ = id.to_string();
        }
        4 => {
            if let Some(name) = clean_hostname(bytes) {
                assert!(!name.is_empty() && name.len() <= 64);
                assert_eq!(clean_hostname(name.as_bytes()).as_ref(), Some(&name));
                assert!(is_image_name(&name) || matches!(&*name, "." | ".."));
            }
            let _ = (is_image_name(&text), parse_boolean(&text));
        }
        _ => {
            let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
            let [a, b, c, ..] = parts[..] else { return };
            let order = compare_version_bytes(a, b);
            assert_eq!(compare_version_bytes(b, a), order.reverse());
            assert_eq!(compare_version_bytes(a, a), Ordering::Equal);
            if let (Ok(a), Ok(b)) = (str::from_utf8(a), str::from_utf8(b)) {
                assert_eq!(compare_versions(a, b), order);
            }
            if order != Ordering::Greater && compare_version_bytes(b, c) != Ordering::Greater {
                assert_ne!(compare_version_bytes(a, c), Ordering::Greater, "{a:?} {b:?} {c:?}");
            }
        }
    }
}
