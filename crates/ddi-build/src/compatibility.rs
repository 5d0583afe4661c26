//! Whose numbers a plan follows.

use std::fmt;
use std::str::FromStr;

/// Whose layout a plan follows to the byte, where versions of systemd-repart differ among themselves or are wrong.
///
/// | | `Repart257` | `Repart262` | `Current` |
/// | --- | --- | --- | --- |
/// | least sizes are rounded | down | up | up |
/// | greatest sizes are rounded | up | down | down |
/// | `--size=auto`: the table takes | 1044 KiB | 1 MiB, 16 KiB and a sector | as 262, rounded up to 4 KiB |
/// | space that nobody can take | before new partitions | behind them | behind them |
/// | numbers, order | lowest free; definitions | behind those of the type; disk | as 262 |
/// | signature partition | no attributes | read-only | read-only |
/// | vfat on ESP and XBOOTLDR at least | 10 MiB | 100 or 260 MiB | as 262 |
/// | `Flags=` with bits 0 to 47 | all attributes are lost | all attributes are lost | as asked for |
/// | `GrowFileSystem=no` | not heeded | not heeded | heeded |
/// | data that ends within a verity block | the rest is not protected | the rest is not protected | padded with zeros |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compatibility {
    /// Version 257.
    Repart257,
    /// Version 262.
    Repart262,
    /// The rules of the newest version, without its faults.
    #[default]
    Current,
}

impl Compatibility {
    /// Rules as of 258 and later.
    pub(crate) fn is_new(self) -> bool {
        self != Self::Repart257
    }

    /// Faults are kept.
    pub(crate) fn is_exact(self) -> bool {
        self != Self::Current
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Repart257 => "257",
            Self::Repart262 => "262",
            Self::Current => "current",
        })
    }
}

/// There is no such version to be compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCompatibility;

impl fmt::Display for UnknownCompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither 257, 262 nor current")
    }
}

impl std::error::Error for UnknownCompatibility {}

impl FromStr for Compatibility {
    type Err = UnknownCompatibility;
    fn from_str(text: &str) -> Result<Self, UnknownCompatibility> {
        match text {
            "257" => Ok(Self::Repart257),
            "262" => Ok(Self::Repart262),
            "current" => Ok(Self::Current),
            _ => Err(UnknownCompatibility),
        }
    }
}
