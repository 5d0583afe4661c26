//! The kinds of superblock, and what libblkid thinks of each.

use core::fmt;

/// What the storage behind a superblock is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Files.
    Filesystem,
    /// Member of something bigger. Hides everything else on the storage, a partition table too.
    Raid,
    /// Encrypted or integrity-protected. Hides every other superblock.
    Crypto,
    /// Swap space, journals and the like.
    Other,
}

impl Usage {
    /// libblkid's `USAGE`.
    pub fn name(self) -> &'static str {
        match self {
            Usage::Filesystem => "filesystem",
            Usage::Raid => "raid",
            Usage::Crypto => "crypto",
            Usage::Other => "other",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $usage:ident;)*) => {
        /// A kind of superblock that is recognised.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FsKind {
            $($(#[$doc])* $kind,)*
        }

        impl FsKind {
            /// All of them.
            pub const ALL: &[FsKind] = &[$(FsKind::$kind),*];

            /// libblkid's `TYPE`.
            pub fn name(self) -> &'static str {
                match self {
                    $(FsKind::$kind => $name,)*
                }
            }

            /// libblkid's `USAGE`.
            pub fn usage(self) -> Usage {
                match self {
                    $(FsKind::$kind => Usage::$usage,)*
                }
            }
        }
    };
}

kinds! {
    /// A member of an array of Adaptec's firmware.
    AdaptecRaidMember = "adaptec_raid_member", Raid;
    /// A device of bcache.
    Bcache = "bcache", Other;
    /// bcachefs.
    Bcachefs = "bcachefs", Filesystem;
    /// The disk encryption of Windows.
    BitLocker = "BitLocker", Crypto;
    /// btrfs.
    Btrfs = "btrfs", Filesystem;
    /// cramfs.
    Cramfs = "cramfs", Filesystem;
    /// LUKS, version 1 or 2.
    CryptoLuks = "crypto_LUKS", Crypto;
    /// A member of an array in the SNIA's disk data format.
    DdfRaidMember = "ddf_raid_member", Raid;
    /// dm-integrity without LUKS.
    DmIntegrity = "DM_integrity", Crypto;
    /// A device-mapper snapshot.
    DmSnapshotCow = "DM_snapshot_cow", Other;
    /// A dm-verity hash tree behind its superblock.
    DmVerityHash = "DM_verity_hash", Crypto;
    /// erofs.
    Erofs = "erofs", Filesystem;
    /// ext2.
    Ext2 = "ext2", Filesystem;
    /// ext3.
    Ext3 = "ext3", Filesystem;
    /// ext4.
    Ext4 = "ext4", Filesystem;
    /// ext4 marked for testing.
    Ext4dev = "ext4dev", Filesystem;
    /// exFAT.
    Exfat = "exfat", Filesystem;
    /// f2fs.
    F2fs = "f2fs", Filesystem;
    /// HFS.
    Hfs = "hfs", Filesystem;
    /// HFS Plus.
    Hfsplus = "hfsplus", Filesystem;
    /// A member of an array of HighPoint's firmware, HPT37x.
    Hpt37xRaidMember = "hpt37x_raid_member", Raid;
    /// A member of an array of HighPoint's firmware, HPT45x.
    Hpt45xRaidMember = "hpt45x_raid_member", Raid;
    /// ISO 9660 and High Sierra.
    Iso9660 = "iso9660", Filesystem;
    /// A member of an array of Intel's firmware.
    IswRaidMember = "isw_raid_member", Raid;
    /// An external journal of ext3 or ext4.
    Jbd = "jbd", Other;
    /// JFS.
    Jfs = "jfs", Filesystem;
    /// A member of an array of JMicron's firmware.
    JmicronRaidMember = "jmicron_raid_member", Raid;
    /// A member of a Linux MD array.
    LinuxRaidMember = "linux_raid_member", Raid;
    /// A member of an array of LSI's firmware.
    LsiMegaRaidMember = "lsi_mega_raid_member", Raid;
    /// A physical volume of LVM 1.
    Lvm1Member = "LVM1_member", Raid;
    /// A physical volume of LVM 2.
    Lvm2Member = "LVM2_member", Raid;
    /// The file system of MINIX.
    Minix = "minix", Filesystem;
    /// NILFS2.
    Nilfs2 = "nilfs2", Filesystem;
    /// NTFS.
    Ntfs = "ntfs", Filesystem;
    /// A member of an array of NVIDIA's firmware.
    NvidiaRaidMember = "nvidia_raid_member", Raid;
    /// A member of an array of Promise's firmware.
    PromiseFasttrackRaidMember = "promise_fasttrack_raid_member", Raid;
    /// Reiser4.
    Reiser4 = "reiser4", Filesystem;
    /// ReiserFS.
    Reiserfs = "reiserfs", Filesystem;
    /// A member of an array of Silicon Image's firmware.
    SiliconMedleyRaidMember = "silicon_medley_raid_member", Raid;
    /// squashfs 4 and newer.
    Squashfs = "squashfs", Filesystem;
    /// squashfs up to 3.
    Squashfs3 = "squashfs3", Filesystem;
    /// Swap space.
    Swap = "swap", Other;
    /// Swap space that holds a hibernated system.
    Swsuspend = "swsuspend", Other;
    /// UDF.
    Udf = "udf", Filesystem;
    /// FAT 12, 16 and 32.
    Vfat = "vfat", Filesystem;
    /// A member of an array of VIA's firmware.
    ViaRaidMember = "via_raid_member", Raid;
    /// xfs.
    Xfs = "xfs", Filesystem;
    /// A device of a ZFS pool.
    ZfsMember = "zfs_member", Filesystem;
}

impl FsKind {
    /// The file systems that systemd mounts from an image. ext2 and ext3 are not among them.
    pub const MOUNTABLE: &[FsKind] = &[
        FsKind::Btrfs,
        FsKind::Erofs,
        FsKind::Ext4,
        FsKind::F2fs,
        FsKind::Squashfs,
        FsKind::Vfat,
        FsKind::Xfs,
    ];

    /// All that systemd 261 looks for in an image: [`MOUNTABLE`](Self::MOUNTABLE), LUKS and swap.
    pub const SYSTEMD_CANDIDATES: &[FsKind] = &[
        FsKind::Btrfs,
        FsKind::Erofs,
        FsKind::Ext4,
        FsKind::F2fs,
        FsKind::Squashfs,
        FsKind::Vfat,
        FsKind::Xfs,
        FsKind::CryptoLuks,
        FsKind::Swap,
    ];

    /// The kind that libblkid calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Returns true if it is in [`MOUNTABLE`](Self::MOUNTABLE).
    pub fn is_mountable(self) -> bool {
        Self::MOUNTABLE.contains(&self)
    }

    /// Cannot be written to, whatever the partition's flags say. systemd's list.
    pub fn is_read_only(self) -> bool {
        matches!(self, FsKind::DmVerityHash | FsKind::Erofs | FsKind::Iso9660 | FsKind::Squashfs)
    }

    /// May stand beside another superblock: hybrid discs are made on purpose.
    pub(super) fn is_tolerant(self) -> bool {
        matches!(self, FsKind::Hfs | FsKind::Iso9660 | FsKind::Udf)
    }
}

impl fmt::Display for FsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
