//! Processor architectures, with systemd's names.

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use crate::Error;

/// A processor architecture for which the specification has partition types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Architecture {
    Alpha,
    Arc,
    Arm,
    Arm64,
    Ia64,
    Loongarch64,
    Mips,
    Mips64,
    MipsLe,
    Mips64Le,
    Parisc,
    Ppc,
    Ppc64,
    Ppc64Le,
    Riscv32,
    Riscv64,
    S390,
    S390x,
    Tilegx,
    X86,
    X86_64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Alpha,
        Self::Arc,
        Self::Arm,
        Self::Arm64,
        Self::Ia64,
        Self::Loongarch64,
        Self::Mips,
        Self::Mips64,
        Self::MipsLe,
        Self::Mips64Le,
        Self::Parisc,
        Self::Ppc,
        Self::Ppc64,
        Self::Ppc64Le,
        Self::Riscv32,
        Self::Riscv64,
        Self::S390,
        Self::S390x,
        Self::Tilegx,
        Self::X86,
        Self::X86_64,
    ];

    /// The architecture this code was compiled for, if it is one of them. What an image is judged by is always a parameter;
    /// this is a default for it.
    pub const NATIVE: Option<Self> = native();

    /// The name that systemd gives it, as `x86-64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Arc => "arc",
            Self::Arm => "arm",
            Self::Arm64 => "arm64",
            Self::Ia64 => "ia64",
            Self::Loongarch64 => "loongarch64",
            Self::Mips => "mips",
            Self::Mips64 => "mips64",
            Self::MipsLe => "mips-le",
            Self::Mips64Le => "mips64-le",
            Self::Parisc => "parisc",
            Self::Ppc => "ppc",
            Self::Ppc64 => "ppc64",
            Self::Ppc64Le => "ppc64-le",
            Self::Riscv32 => "riscv32",
            Self::Riscv64 => "riscv64",
            Self::S390 => "s390",
            Self::S390x => "s390x",
            Self::Tilegx => "tilegx",
            Self::X86 => "x86",
            Self::X86_64 => "x86-64",
        }
    }

    /// The other names that systemd takes for it.
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Arm => &["armv7l"],
            Self::Arm64 => &["aarch64"],
            Self::Loongarch64 => &["loong64"],
            Self::MipsLe => &["mipsel"],
            Self::Mips64Le => &["mips64el"],
            Self::Parisc => &["hppa"],
            Self::Ppc64Le => &["ppc64le", "ppc64el"],
            Self::X86 => &["i386", "i486", "i586", "i686"],
            Self::X86_64 => &["x86_64", "amd64"],
            _ => &[],
        }
    }

    /// The architecture whose programs a machine of this one runs too, second to its own.
    pub const fn secondary(self) -> Option<Self> {
        match self {
            Self::X86_64 => Some(Self::X86),
            Self::Arm64 => Some(Self::Arm),
            Self::Ppc64 => Some(Self::Ppc),
            Self::S390x => Some(Self::S390),
            // little-endian 32-bit PowerPC has no partition types
            _ => None,
        }
    }
}

const fn native() -> Option<Architecture> {
    use Architecture as A;
    Some(if cfg!(target_arch = "x86_64") {
        A::X86_64
    } else if cfg!(target_arch = "x86") {
        A::X86
    } else if cfg!(target_arch = "aarch64") {
        A::Arm64
    } else if cfg!(target_arch = "arm") {
        A::Arm
    } else if cfg!(target_arch = "loongarch64") {
        A::Loongarch64
    } else if cfg!(all(target_arch = "mips", target_endian = "big")) {
        A::Mips
    } else if cfg!(all(target_arch = "mips64", target_endian = "big")) {
        A::Mips64
    } else if cfg!(target_arch = "mips") {
        A::MipsLe
    } else if cfg!(target_arch = "mips64") {
        A::Mips64Le
    } else if cfg!(all(target_arch = "powerpc", target_endian = "big")) {
        A::Ppc
    } else if cfg!(all(target_arch = "powerpc64", target_endian = "big")) {
        A::Ppc64
    } else if cfg!(target_arch = "powerpc64") {
        A::Ppc64Le
    } else if cfg!(target_arch = "riscv32") {
        A::Riscv32
    } else if cfg!(target_arch = "riscv64") {
        A::Riscv64
    } else if cfg!(target_arch = "s390x") {
        A::S390x
    } else {
        return None;
    })
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = Error;

    /// Reads a [name](Architecture::name) or one of the [aliases](Architecture::aliases).
    ///
    /// # Errors
    /// [`Error::UnknownArchitecture`]
    fn from_str(name: &str) -> Result<Self, Error> {
        let is = |a: &Self| a.name() == name || a.aliases().contains(&name);
        Self::ALL.into_iter().find(is).ok_or(Error::UnknownArchitecture)
    }
}

/// Which of two partitions of one designator fits the machine better: `Greater` if `new` does.
///
/// Native beats all, its secondary beats what is foreign; two foreign ones are equal, so that their labels decide (systemd,
/// `dissect-image.c`, `compare_arch`).
pub fn compare_architectures(
    new: Option<Architecture>,
    old: Option<Architecture>,
    native: Option<Architecture>,
) -> Ordering {
    let rank = |architecture: Option<Architecture>| match architecture {
        Some(a) if native == Some(a) => 2,
        Some(a) if native.and_then(Architecture::secondary) == Some(a) => 1,
        _ => 0,
    };
    rank(new).cmp(&rank(old))
}

#[cfg(test)]
mod tests {
    use super::Architecture as A;
    use super::*;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for architecture in A::ALL {
            for name in architecture.aliases().iter().chain([&architecture.name()]) {
                assert_eq!(name.parse(), Ok(architecture));
                assert!(seen.insert(*name));
            }
        }
        assert_eq!("vax".parse::<A>(), Err(Error::UnknownArchitecture));
        assert_eq!("X86-64".parse::<A>(), Err(Error::UnknownArchitecture));
    }

    /// Rust has other words for some.
    #[test]
    fn native_is_that_of_this_program() {
        let little = cfg!(target_endian = "little");
        let expected = match (std::env::consts::ARCH, little) {
            ("x86_64", _) => "x86-64",
            ("aarch64", true) => "arm64",
            ("loongarch64", _) => "loongarch64",
            ("powerpc64", true) => "ppc64-le",
            ("mips", true) => "mips-le",
            ("mips64", true) => "mips64-le",
            ("powerpc", false) => "ppc",
            ("powerpc64", false) => "ppc64",
            (name, _) => name,
        };
        assert_eq!(native(), A::NATIVE);
        assert_eq!(native(), expected.parse().ok());
    }

    #[test]
    fn native_then_secondary_then_a_tie() {
        use Ordering::{Equal, Greater, Less};
        let compare = |new, old| compare_architectures(Some(new), Some(old), Some(A::X86_64));
        assert_eq!(compare(A::X86_64, A::X86_64), Equal);
        assert_eq!(compare(A::X86_64, A::X86), Greater);
        assert_eq!(compare(A::X86, A::X86_64), Less);
        assert_eq!(compare(A::X86, A::Arm64), Greater);
        assert_eq!(compare(A::Arm, A::X86), Less);
        assert_eq!(compare(A::Arm, A::Riscv64), Equal);
        assert_eq!(compare_architectures(None, None, Some(A::X86_64)), Equal);
    }

    #[test]
    fn other_names() {
        for (name, architecture) in [
            ("armv7l", A::Arm),
            ("aarch64", A::Arm64),
            ("loong64", A::Loongarch64),
            ("mipsel", A::MipsLe),
            ("mips64el", A::Mips64Le),
            ("hppa", A::Parisc),
            ("ppc64el", A::Ppc64Le),
            ("i686", A::X86),
            ("amd64", A::X86_64),
        ] {
            assert_eq!(name.parse(), Ok(architecture), "{name}");
        }
    }

    #[test]
    fn pairs_of_one_machine() {
        let pairs: std::vec::Vec<_> = A::ALL.into_iter().filter_map(|a| Some((a, a.secondary()?))).collect();
        let expected = [(A::Arm64, A::Arm), (A::Ppc64, A::Ppc), (A::S390x, A::S390), (A::X86_64, A::X86)];
        assert_eq!(pairs, expected);
    }
}
