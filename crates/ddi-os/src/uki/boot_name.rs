//! Boot counting in file names (UAPI.1, *Boot counting*).

use std::fmt;

/// Largest counter that is taken: C's `INT_MAX`.
const MAX_TRIES: u64 = 0x7fff_ffff;

/// The counters of an entry that has not yet booted well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Tries left: 1 less after each.
    pub left: u32,
    /// Tries done: 1 more after each; not there before the first.
    pub done: Option<u32>,
}

/// What is known about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BootState {
    /// No counters: it booted well, or nobody counts.
    Good,
    /// It may be tried.
    Indeterminate,
    /// No tries left: it comes after all others.
    Bad,
}

impl BootState {
    /// `good`, `indeterminate`, `bad`.
    pub fn name(self) -> &'static str {
        match self {
            BootState::Good => "good",
            BootState::Indeterminate => "indeterminate",
            BootState::Bad => "bad",
        }
    }
}

/// A counter above 2³¹-1. Programs of systemd refuse the name (`boot_filename_extract_tries`); its boot loader takes it
/// for one without counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountersTooLarge;

impl fmt::Display for CountersTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot counter above {MAX_TRIES}")
    }
}

impl core::error::Error for CountersTooLarge {}

/// The file name of a boot entry: `NAME+LEFT-DONE.efi`.
///
/// ```
/// use ddi_os::uki::{BootName, BootState};
/// let name = BootName::parse(b"os_7+2-1.efi").unwrap();
/// assert_eq!((name.id(), name.state()), (b"os_7.efi".to_vec(), BootState::Indeterminate));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootName {
    /// What comes before the counters.
    pub stem: Vec<u8>,
    /// The counters, if there are any.
    pub counters: Option<Counters>,
    /// From the last dot, which is with it; empty without one.
    pub suffix: Vec<u8>,
}

impl BootName {
    /// As systemd's `boot_filename_extract_tries`: counters are what is between the last `+` and the last dot, and
    /// nothing else there; otherwise it is just a name.
    ///
    /// The specification wants the number of digits kept (`+10`, `+09`), which the code does not do. Read here is either.
    ///
    /// # Errors
    /// [`CountersTooLarge`].
    pub fn parse(name: &[u8]) -> Result<Self, CountersTooLarge> {
        let plain = || {
            let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(name.len());
            let (stem, suffix) = name.split_at_checked(dot).unwrap_or((name, &[]));
            BootName { stem: stem.to_vec(), counters: None, suffix: suffix.to_vec() }
        };
        let named = plain();
        if named.suffix.is_empty() {
            return Ok(named);
        }
        let Some(plus) = named.stem.iter().rposition(|byte| *byte == b'+') else { return Ok(named) };
        let (stem, counters) = named.stem.split_at_checked(plus).unwrap_or_default();
        let counters = counters.strip_prefix(b"+").unwrap_or_default();
        let mut numbers = counters.splitn(2, |byte| *byte == b'-');
        let is_number = |text: &&[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let (left, done) = (numbers.next().filter(is_number), numbers.next());
        let (Some(left), true) = (left, done.is_none_or(|done| is_number(&done))) else { return Ok(named) };
        let counters = Counters { left: number(left)?, done: done.map(number).transpose()? };
        Ok(BootName { stem: stem.to_vec(), counters: Some(counters), suffix: named.suffix })
    }

    /// The name without counters: what the entry is known by, and sorted by.
    pub fn id(&self) -> Vec<u8> {
        [&self.stem[..], &self.suffix].concat()
    }

    /// Whether it may be tried.
    pub fn state(&self) -> BootState {
        match self.counters {
            None => BootState::Good,
            Some(Counters { left: 0, .. }) => BootState::Bad,
            Some(_) => BootState::Indeterminate,
        }
    }
}

fn number(digits: &[u8]) -> Result<u32, CountersTooLarge> {
    let mut value: u64 = 0;
    for digit in digits {
        value = value.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')));
        if value > MAX_TRIES {
            return Err(CountersTooLarge);
        }
    }
    u32::try_from(value).map_err(|_| CountersTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let counters = |left, done| Some(Counters { left, done });
        for (name, stem, expected, state) in [
            ("a.efi", "a", None, BootState::Good),
            ("a+3.efi", "a", counters(3, None), BootState::Indeterminate),
            ("a+3-0.conf", "a", counters(3, Some(0)), BootState::Indeterminate),
            ("a+0.efi", "a", counters(0, None), BootState::Bad),
            ("a+0-3.efi", "a", counters(0, Some(3)), BootState::Bad),
            ("a+00-03.efi", "a", counters(0, Some(3)), BootState::Bad),
            ("+1.efi", "", counters(1, None), BootState::Indeterminate),
            // the last plus, the last dot
            ("a+1+2.efi", "a+1", counters(2, None), BootState::Indeterminate),
            ("a+1.x.efi", "a+1.x", None, BootState::Good),
            ("a.1+2.efi", "a.1", counters(2, None), BootState::Indeterminate),
            ("a+2147483647.efi", "a", counters(2_147_483_647, None), BootState::Indeterminate),
            // nothing but counters
            ("a+.efi", "a+", None, BootState::Good),
            ("a+x.efi", "a+x", None, BootState::Good),
            ("a+1-.efi", "a+1-", None, BootState::Good),
            ("a+-1.efi", "a+-1", None, BootState::Good),
            ("a+1-2-3.efi", "a+1-2-3", None, BootState::Good),
            ("a+1 .efi", "a+1 ", None, BootState::Good),
        ] {
            let parsed = BootName::parse(name.as_bytes()).unwrap();
            assert_eq!((&parsed.stem[..], parsed.counters), (stem.as_bytes(), expected), "{name}");
            assert_eq!(parsed.state(), state, "{name}");
        }
        let bare = BootName::parse(b"a+1").unwrap();
        assert_eq!((bare.counters, bare.id()), (None, b"a+1".to_vec()));
        for name in ["a+2147483648.efi", "a+1-99999999999999999999999.efi"] {
            assert_eq!(BootName::parse(name.as_bytes()), Err(CountersTooLarge), "{name}");
        }
    }
}
