//! The attribute bits of a partition and what each kind of partition makes of them.

use core::fmt;
use core::ops::{BitAnd, BitOr, Not};

use crate::{Designator, PartitionType};

/// The attribute bits of a partition (UEFI 2.10, 5.3.3; DPS, *Partition Flags*).
///
/// Bits 0 to 2 are the same for every type, 48 to 63 belong to the type. See [`PartitionType::known_attributes`] for which of
/// them a type gives a meaning, and [`Attributes::effect`] for what they come to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub u64);

impl Attributes {
    /// Bit 0: the platform needs the partition.
    pub const REQUIRED: Self = Self(1);
    /// Bit 1: firmware shall not offer the partition as a block device. An ESP with it is left alone.
    pub const NO_BLOCK_IO: Self = Self(1 << 1);
    /// Bit 2: a legacy BIOS may start from it.
    pub const LEGACY_BIOS_BOOTABLE: Self = Self(1 << 2);
    /// Bit 59: the file system shall grow to the size of the partition.
    pub const GROW_FILE_SYSTEM: Self = Self(1 << 59);
    /// Bit 60: mounted read-only.
    pub const READ_ONLY: Self = Self(1 << 60);
    /// Bit 63: not to be discovered.
    pub const NO_AUTO: Self = Self(1 << 63);

    /// All flags with a name, in bit order, with the name that the Discoverable Partitions Specification and UEFI use.
    pub const NAMED: [(Self, &'static str); 6] = [
        (Self::REQUIRED, "required"),
        (Self::NO_BLOCK_IO, "no-block-io"),
        (Self::LEGACY_BIOS_BOOTABLE, "legacy-bios-bootable"),
        (Self::GROW_FILE_SYSTEM, "grow-file-system"),
        (Self::READ_ONLY, "read-only"),
        (Self::NO_AUTO, "no-auto"),
    ];

    /// True if no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if all bits of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// [`Attributes::REQUIRED`] is set.
    pub const fn required(self) -> bool {
        self.contains(Self::REQUIRED)
    }

    /// [`Attributes::NO_BLOCK_IO`] is set.
    pub const fn no_block_io(self) -> bool {
        self.contains(Self::NO_BLOCK_IO)
    }

    /// [`Attributes::LEGACY_BIOS_BOOTABLE`] is set.
    pub const fn legacy_bios_bootable(self) -> bool {
        self.contains(Self::LEGACY_BIOS_BOOTABLE)
    }

    /// [`Attributes::GROW_FILE_SYSTEM`] is set.
    pub const fn grow_file_system(self) -> bool {
        self.contains(Self::GROW_FILE_SYSTEM)
    }

    /// [`Attributes::READ_ONLY`] is set.
    pub const fn read_only(self) -> bool {
        self.contains(Self::READ_ONLY)
    }

    /// [`Attributes::NO_AUTO`] is set.
    pub const fn no_auto(self) -> bool {
        self.contains(Self::NO_AUTO)
    }

    /// What the bits mean on a partition of this type, as systemd's dissection reads them.
    pub fn effect(self, partition_type: PartitionType) -> AttributeEffect {
        let known = partition_type.known_attributes();
        let designator = partition_type.designator();
        let skipped = if designator == Some(Designator::Esp) { self.no_block_io() } else { self.no_auto() };
        // nothing writes to a verity tree or a signature
        let forced = designator.is_some_and(|d| d.data_of().is_some());
        AttributeEffect {
            skipped,
            read_only: forced || (self & known).read_only(),
            grow_file_system: (self & known).grow_file_system(),
        }
    }

    /// The bits that neither UEFI nor the type gives a meaning.
    pub fn unknown_to(self, partition_type: PartitionType) -> Self {
        let uefi = Self::REQUIRED | Self::NO_BLOCK_IO | Self::LEGACY_BIOS_BOOTABLE;
        self & !(uefi | partition_type.known_attributes())
    }
}

impl PartitionType {
    /// The attribute bits that a partition of this type gives a meaning when an image is dissected.
    ///
    /// Tools that *write* tables know fewer for some types (systemd-repart sets no `no-auto` on signatures). Swap heeds
    /// `no-auto` alone. The ESP heeds `no-block-io` in its stead. Of an unknown type nothing is known.
    pub fn known_attributes(self) -> Attributes {
        use Designator as D;
        let (no_auto, read_only) = (Attributes::NO_AUTO, Attributes::READ_ONLY);
        match self {
            Self::Designated(D::Esp, _) => Attributes::NO_BLOCK_IO,
            Self::Designated(D::Swap, _) => no_auto,
            Self::Designated(D::RootVerity | D::UsrVerity | D::RootVeritySig | D::UsrVeritySig, _) => {
                no_auto | read_only
            }
            Self::Designated(..) | Self::LinuxGeneric => no_auto | read_only | Attributes::GROW_FILE_SYSTEM,
            Self::UserHome | Self::Unknown(_) => Attributes::default(),
        }
    }
}

/// What the attribute bits of a partition come to: see [`Attributes::effect`].
///
/// The file system and verity have a word in it too: what is inherently read-only, or verified, is never written, and what is
/// not written does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeEffect {
    /// Treated as if it were not there.
    pub skipped: bool,
    /// Never written.
    pub read_only: bool,
    /// The file system is to be grown to the partition's size.
    pub grow_file_system: bool,
}

impl BitOr for Attributes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Attributes {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Attributes {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The names of the set bits and the numbers of those without a name, with commas: `read-only,no-auto,bit-48`.
impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for bit in 0..u64::BITS {
            let flag = Self(1_u64.checked_shl(bit).unwrap_or_default());
            if !self.contains(flag) {
                continue;
            }
            match Self::NAMED.iter().find(|(named, _)| *named == flag) {
                Some((_, name)) => write!(f, "{comma}{name}")?,
                None => write!(f, "{comma}bit-{bit}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attributes({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const ALL: Attributes = Attributes(u64::MAX);

    #[test]
    fn bits_have_the_values_of_the_specification() {
        assert_eq!(Attributes::GROW_FILE_SYSTEM.0, 0x0800_0000_0000_0000);
        assert_eq!(Attributes::READ_ONLY.0, 0x1000_0000_0000_0000);
        assert_eq!(Attributes::NO_AUTO.0, 0x8000_0000_0000_0000);
        let some = Attributes::READ_ONLY | Attributes::NO_AUTO | Attributes(1 << 48) | Attributes::REQUIRED;
        assert_eq!(some.to_string(), "required,bit-48,read-only,no-auto");
        assert_eq!(Attributes::default().to_string(), "");
    }

    #[test]
    fn each_designator_heeds_its_own() {
        use Designator as D;
        for designator in D::ALL {
            let partition_type = PartitionType::Designated(designator, None);
            let effect = ALL.effect(partition_type);
            let none = Attributes::default().effect(partition_type);
            let verity =
                matches!(designator, D::RootVerity | D::UsrVerity | D::RootVeritySig | D::UsrVeritySig);
            let plain = !verity && !matches!(designator, D::Esp | D::Swap);
            assert!(effect.skipped && !none.skipped, "{designator}");
            assert_eq!(effect.grow_file_system, plain, "{designator}");
            assert_eq!(effect.read_only, plain || verity, "{designator}");
            assert_eq!(none.read_only, verity, "{designator}");
        }
        let esp = PartitionType::Designated(D::Esp, None);
        assert!(!Attributes::NO_AUTO.effect(esp).skipped);
        assert!(Attributes::NO_BLOCK_IO.effect(esp).skipped);
        let root = PartitionType::Designated(D::Root, None);
        assert!(!Attributes::NO_BLOCK_IO.effect(root).skipped);
        assert_eq!((ALL.unknown_to(root) & Attributes::READ_ONLY), Attributes::default());
        assert_eq!(Attributes(1 << 48).unknown_to(root), Attributes(1 << 48));
        assert_eq!(Attributes::READ_ONLY.unknown_to(esp), Attributes::READ_ONLY);
        for partition_type in [PartitionType::Unknown(crate::Guid::NIL), PartitionType::LinuxGeneric] {
            assert!(ALL.effect(partition_type).skipped);
            assert!(!Attributes::default().effect(partition_type).read_only, "{partition_type:?}");
        }
    }

    #[test]
    fn one_bit_at_a_time() {
        type Ask = fn(Attributes) -> bool;
        let questions: [(Attributes, Ask); 6] = [
            (Attributes::REQUIRED, Attributes::required),
            (Attributes::NO_BLOCK_IO, Attributes::no_block_io),
            (Attributes::LEGACY_BIOS_BOOTABLE, Attributes::legacy_bios_bootable),
            (Attributes::GROW_FILE_SYSTEM, Attributes::grow_file_system),
            (Attributes::READ_ONLY, Attributes::read_only),
            (Attributes::NO_AUTO, Attributes::no_auto),
        ];
        for (i, (flag, ask)) in questions.into_iter().enumerate() {
            assert_eq!(Attributes::NAMED[i].0, flag);
            assert!(ask(flag) && !ask(!flag) && ask(flag | flag));
            assert!(!flag.is_empty() && flag.unknown_to(PartitionType::LinuxGeneric).is_empty());
        }
        assert!(Attributes::default().is_empty());
        assert_eq!(std::format!("{:?}", Attributes::READ_ONLY), "Attributes(0x1000000000000000)");
    }

    #[test]
    fn bits_without_a_meaning() {
        use Designator as D;
        let uefi = Attributes(7);
        for (designator, known) in [
            (D::Root, 0x9800_0000_0000_0000),
            (D::RootVerity, 0x9000_0000_0000_0000),
            (D::UsrVeritySig, 0x9000_0000_0000_0000),
            (D::Swap, 0x8000_0000_0000_0000),
        ] {
            let partition_type = PartitionType::Designated(designator, None);
            assert_eq!(partition_type.known_attributes(), Attributes(known), "{designator}");
            assert_eq!(ALL.unknown_to(partition_type), !(uefi | Attributes(known)), "{designator}");
        }
        assert_eq!(ALL.unknown_to(PartitionType::UserHome), !uefi);
    }
}
