//! The machine ID of an image: it should have none of its own.

use std::fmt;

/// What `/etc/machine-id` holds; see machine-id(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineId {
    /// There is no such file: the first boot makes an ID.
    Missing,
    /// It says `uninitialized`: the first boot makes an ID.
    Uninitialized,
    /// It is empty: an ID is made, but this is not taken for the first boot.
    Empty,
    /// An ID: 32 hexadecimal digits and the end of the line.
    Id([u8; 16]),
    /// Anything else, 32 digits without the end of the line among it.
    Invalid,
}

impl MachineId {
    /// Judges the content of the file, as `systemd-dissect` does.
    pub fn parse(content: &[u8]) -> Self {
        let end = content.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0));
        let line = content.get(..end.unwrap_or(content.len())).unwrap_or_default();
        match line {
            [] if content.is_empty() => MachineId::Empty,
            b"uninitialized" => MachineId::Uninitialized,
            _ if end != Some(32) || two_bytes_end(content.get(32..)) => MachineId::Invalid,
            _ => parse_id(line).map_or(MachineId::Invalid, MachineId::Id),
        }
    }

    /// Returns true if systemd will take the next boot for the first one.
    pub fn is_first_boot(self) -> bool {
        matches!(self, MachineId::Missing | MachineId::Uninitialized)
    }

    /// The ID, if there is one.
    pub fn id(self) -> Option<[u8; 16]> {
        match self {
            MachineId::Id(id) => Some(id),
            _ => None,
        }
    }
}

/// A line may end in two bytes, and then it is one byte too long.
fn two_bytes_end(end: Option<&[u8]>) -> bool {
    matches!(end, Some([b'\n', b'\r', ..] | [b'\r', b'\n', ..]))
}

/// 32 digits, not all of them zero.
fn parse_id(line: &[u8]) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    for (byte, digits) in id.iter_mut().zip(line.as_chunks::<2>().0) {
        let mut value: u32 = 0;
        for digit in digits {
            value = value << 4 | char::from(*digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    (id != [0; 16]).then_some(id)
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineId::Missing => f.write_str("missing"),
            MachineId::Uninitialized => f.write_str("uninitialized"),
            MachineId::Empty => f.write_str("empty"),
            MachineId::Id(id) => id.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            MachineId::Invalid => f.write_str("invalid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let hex = "0123456789abcdef0123456789ABCDEF";
        let id = MachineId::Id(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");
        for (content, state) in [
            (String::new(), MachineId::Empty),
            ("uninitialized\n".to_owned(), MachineId::Uninitialized),
            ("uninitialized".to_owned(), MachineId::Uninitialized),
            (format!("{hex}\n"), id),
            (format!("{hex}\nmore"), id),
            (hex.to_owned(), MachineId::Invalid),
            (format!("{hex}\r\n"), MachineId::Invalid),
            (format!("{hex}0\n"), MachineId::Invalid),
            (format!("{}\n", &hex[1..]), MachineId::Invalid),
            (format!("{}\n", "0".repeat(32)), MachineId::Invalid),
            (format!("{}\n", "g".repeat(32)), MachineId::Invalid),
            ("\n".to_owned(), MachineId::Invalid),
        ] {
            assert_eq!(MachineId::parse(content.as_bytes()), state, "{content:?}");
        }
        assert_eq!(id.to_string(), hex.to_lowercase());
        assert!(MachineId::Missing.is_first_boot() && !MachineId::Empty.is_first_boot());
    }
}
