//! The flags of one rule.

use core::fmt;
use core::ops::{BitAnd, BitOr};

use ddi_gpt::Designator;

use ddi_fs::FsKind;

/// A set of policy flags.
///
/// Displayed with every flag, in systemd's order; the empty set as `-`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u32);

/// In the order of printing. Names and bits are ours alone, nothing stores them.
const NAMES: [(&str, Flags); 18] = [
    ("verity", Flags::VERITY),
    ("signed", Flags::SIGNED),
    ("encrypted", Flags::ENCRYPTED),
    ("encryptedwithintegrity", Flags::ENCRYPTED_WITH_INTEGRITY),
    ("unprotected", Flags::UNPROTECTED),
    ("unused", Flags::UNUSED),
    ("absent", Flags::ABSENT),
    ("read-only-on", Flags::READ_ONLY_ON),
    ("read-only-off", Flags::READ_ONLY_OFF),
    ("growfs-off", Flags::GROWFS_OFF),
    ("growfs-on", Flags::GROWFS_ON),
    ("btrfs", Flags::BTRFS),
    ("erofs", Flags::EROFS),
    ("ext4", Flags::EXT4),
    ("f2fs", Flags::F2FS),
    ("squashfs", Flags::SQUASHFS),
    ("vfat", Flags::VFAT),
    ("xfs", Flags::XFS),
];

const FILE_SYSTEMS: [(Flags, FsKind); 7] = [
    (Flags::BTRFS, FsKind::Btrfs),
    (Flags::EROFS, FsKind::Erofs),
    (Flags::EXT4, FsKind::Ext4),
    (Flags::F2FS, FsKind::F2fs),
    (Flags::SQUASHFS, FsKind::Squashfs),
    (Flags::VFAT, FsKind::Vfat),
    (Flags::XFS, FsKind::Xfs),
];

impl Flags {
    /// Nothing.
    pub const EMPTY: Flags = Flags(0);

    /// May be used if protected by verity.
    pub const VERITY: Flags = Flags(1 << 0);
    /// May be used if protected by verity with a signature.
    pub const SIGNED: Flags = Flags(1 << 1);
    /// May be used if encrypted with LUKS.
    pub const ENCRYPTED: Flags = Flags(1 << 2);
    /// May be used if encrypted with LUKS2 and integrity tags in every segment.
    pub const ENCRYPTED_WITH_INTEGRITY: Flags = Flags(1 << 3);
    /// May be used as it is.
    pub const UNPROTECTED: Flags = Flags(1 << 4);
    /// May exist and is left alone.
    pub const UNUSED: Flags = Flags(1 << 5);
    /// May be missing.
    pub const ABSENT: Flags = Flags(1 << 6);

    /// The read-only attribute may be set.
    pub const READ_ONLY_ON: Flags = Flags(1 << 7);
    /// The read-only attribute may be clear.
    pub const READ_ONLY_OFF: Flags = Flags(1 << 8);
    /// The grow-file-system attribute may be set.
    pub const GROWFS_ON: Flags = Flags(1 << 9);
    /// The grow-file-system attribute may be clear.
    pub const GROWFS_OFF: Flags = Flags(1 << 10);

    /// btrfs; a single file system in a rule is assumed without looking.
    pub const BTRFS: Flags = Flags(1 << 11);
    /// erofs.
    pub const EROFS: Flags = Flags(1 << 12);
    /// ext4.
    pub const EXT4: Flags = Flags(1 << 13);
    /// f2fs.
    pub const F2FS: Flags = Flags(1 << 14);
    /// squashfs.
    pub const SQUASHFS: Flags = Flags(1 << 15);
    /// vfat.
    pub const VFAT: Flags = Flags(1 << 16);
    /// xfs.
    pub const XFS: Flags = Flags(1 << 17);

    /// Every use: `open`.
    pub const OPEN: Flags = Flags(0x7f);
    /// Exist or not, and be left alone: `ignore`.
    pub const IGNORE: Flags = Self::UNUSED.or(Self::ABSENT);
    /// Either kind of encryption.
    pub const ANY_ENCRYPTION: Flags = Self::ENCRYPTED.or(Self::ENCRYPTED_WITH_INTEGRITY);
    /// Both states of the read-only attribute.
    pub const READ_ONLY: Flags = Self::READ_ONLY_ON.or(Self::READ_ONLY_OFF);
    /// Both states of the grow-file-system attribute.
    pub const GROWFS: Flags = Self::GROWFS_ON.or(Self::GROWFS_OFF);
    /// All file systems.
    const ALL_FILE_SYSTEMS: Flags = Flags(0x7f << 11);

    /// [`BitOr`] for constants.
    pub(super) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// The flag or alias of that name.
    pub(super) fn from_name(name: &str) -> Option<Flags> {
        match name {
            "open" => Some(Flags::OPEN),
            "ignore" => Some(Flags::IGNORE),
            _ => NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, flag)| flag),
        }
    }

    /// Returns true if there is no flag.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if all flags of `other` are here.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns true if at least one flag of `other` is here.
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// The use flags alone: how the partition may be used, or that it need not be.
    #[must_use]
    pub fn uses(self) -> Flags {
        self & Flags::OPEN
    }

    /// The file system, if exactly one is named.
    pub(super) fn single_file_system(self) -> Option<FsKind> {
        let named = self & Flags::ALL_FILE_SYSTEMS;
        FILE_SYSTEMS.into_iter().find(|(flag, _)| *flag == named).map(|(_, kind)| kind)
    }

    /// Fills in everything where nothing was said.
    pub(super) fn extend(self) -> Flags {
        [Flags::OPEN, Flags::READ_ONLY, Flags::GROWFS]
            .into_iter()
            .fold(self, |flags, part| if flags.intersects(part) { flags } else { flags | part })
    }

    /// The reverse of [`extend`](Self::extend): says nothing where everything is allowed.
    pub(super) fn reduce(self) -> Flags {
        [Flags::OPEN, Flags::READ_ONLY, Flags::GROWFS]
            .into_iter()
            .fold(self, |flags, part| if flags.contains(part) { flags.without(part) } else { flags })
    }

    /// Returns true if there is a part of which nothing is allowed.
    pub(super) fn has_empty_part(self) -> bool {
        [Flags::OPEN, Flags::READ_ONLY, Flags::GROWFS].into_iter().any(|part| !self.intersects(part))
    }

    /// What these flags come to for `designator`: extended, then without what makes no sense there.
    ///
    /// In this order, so that a rule of nothing but nonsense becomes one that cannot be met.
    pub(super) fn normalize(self, designator: Designator) -> Flags {
        let verity = Flags::VERITY | Flags::SIGNED;
        let mut flags = self.extend();
        if designator.data_of().is_some() {
            flags = flags.without(verity | Flags::ANY_ENCRYPTION);
        }
        if designator.verity().is_none() {
            flags = flags.without(verity);
        }
        if flags.uses() == Flags::ABSENT {
            flags = flags.without(Flags::READ_ONLY | Flags::GROWFS);
        }
        flags
    }

    /// For display with aliases, and without attributes of which both states are allowed.
    pub(super) fn short(self) -> Short {
        Short(self)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.or(other)
    }
}

impl BitAnd for Flags {
    type Output = Flags;
    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, None, *self)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

/// [`Flags`], displayed in short.
pub(super) struct Short(Flags);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut flags = self.0;
        for both in [Flags::READ_ONLY, Flags::GROWFS] {
            if flags.contains(both) {
                flags = flags.without(both);
            }
        }
        let alias = match flags.uses() {
            Flags::OPEN => Some("open"),
            Flags::IGNORE => Some("ignore"),
            _ => None,
        };
        if alias.is_some() {
            flags = flags.without(Flags::OPEN);
        }
        write(f, alias, flags)
    }
}

fn write(f: &mut fmt::Formatter<'_>, alias: Option<&str>, flags: Flags) -> fmt::Result {
    let names = NAMES.into_iter().filter(|(_, flag)| flags.contains(*flag)).map(|(name, _)| name);
    let mut names = alias.into_iter().chain(names);
    f.write_str(names.next().unwrap_or("-"))?;
    names.try_for_each(|name| write!(f, "+{name}"))
}
