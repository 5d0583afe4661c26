//! A dissected image, partition by partition.

use ddi_fs::{FsKind, probe as fs};
use ddi_gpt::{Architecture, Attributes, ByteRange, Designator, Guid};

use crate::error::Error;
use crate::policy::{Encryption, Facts, Presence};
use crate::trust::{KnownRootHash, Role};

/// What is in a dissected partition.
#[derive(Debug)]
pub enum FileSystem {
    /// Its type follows from the type of the partition, and was not looked for.
    Preset(&'static str),
    /// What was recognised, if anything.
    Probed(Option<Box<fs::Probe>>),
}

impl FileSystem {
    /// The name that blkid and systemd give it.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            FileSystem::Preset(name) => Some(name),
            FileSystem::Probed(probe) => probe.as_ref().map(|probe| probe.kind.name()),
        }
    }

    /// Whether it is encrypted, and how.
    fn encryption(&self) -> Encryption {
        match self {
            FileSystem::Probed(Some(probe)) if probe.kind == FsKind::CryptoLuks => {
                match probe.luks.as_ref().and_then(|header| header.has_integrity()) {
                    Some(true) => Encryption::LuksWithIntegrity,
                    _ => Encryption::Luks,
                }
            }
            _ => Encryption::None,
        }
    }

    /// systemd's `fstype_is_ro()`.
    pub(super) fn is_read_only(&self) -> bool {
        match self {
            FileSystem::Preset(name) => FsKind::from_name(name).is_some_and(FsKind::is_read_only),
            FileSystem::Probed(probe) => probe.as_ref().is_some_and(|probe| probe.kind.is_read_only()),
        }
    }
}

/// How a partition is protected, by what is there. Says nothing about whether it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// Not at all.
    Unprotected,
    /// There is a hash tree.
    Verity,
    /// There are a hash tree and a signature, which nobody has checked.
    SignaturePresent,
}

/// One partition of a dissected image.
#[derive(Debug)]
#[non_exhaustive]
pub struct Partition {
    /// What it is for.
    pub designator: Designator,
    /// The machine that it is for, if its type says so.
    pub architecture: Option<Architecture>,
    /// Its number; `None` for a bare image.
    pub number: Option<u32>,
    /// Where it is in the image.
    pub range: ByteRange,
    /// Unique GUID.
    pub guid: Option<Guid>,
    /// Label, as libblkid gives it.
    pub label: Option<String>,
    /// Attributes of a GPT entry.
    pub attributes: Option<Attributes>,
    /// True if systemd would mount it for writing.
    pub rw: bool,
    /// True if systemd would grow its file system.
    pub growfs: bool,
    /// What is in it.
    pub file_system: FileSystem,
    /// How it is protected.
    pub protection: Protection,
}

/// An image of which each part is known: at most one partition for each designator.
#[derive(Debug)]
#[non_exhaustive]
pub struct DissectedImage {
    /// In systemd's order of designators.
    pub partitions: Vec<Partition>,
    /// Designators of partitions that are there, and that the policy says to leave alone.
    pub ignored: Vec<Designator>,
    /// The image is one file system, without a table.
    pub bare: bool,
    /// GUID of the disk, or UUID of the bare file system.
    pub uuid: Option<Guid>,
    /// The root hash in force, from wherever systemd takes it. Never trusted because it stands here.
    pub root_hash: Option<KnownRootHash>,
    /// The hash tree is in a file beside the image.
    pub external_verity: bool,
    /// systemd could set up verity: root hash and hash tree are known, and for the same role.
    pub verity_ready: bool,
    /// And there is a signature, which nobody has checked.
    pub signature_ready: bool,
}

impl DissectedImage {
    /// The partition for `designator`.
    pub fn get(&self, designator: Designator) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.designator == designator)
    }

    /// What is known about `designator` for a policy: what is there, with nothing proven.
    pub fn facts(&self, designator: Designator) -> Facts {
        let Some(partition) = self.get(designator) else {
            let presence =
                if self.ignored.contains(&designator) { Presence::Ignored } else { Presence::Absent };
            return Facts { presence, ..Facts::ABSENT };
        };
        let role = Role::of(designator).filter(|role| role.data() == designator);
        let has = |of: fn(Role) -> Designator| role.is_some_and(|role| self.get(of(role)).is_some());
        Facts {
            presence: Presence::Present,
            hash_tree: has(Role::hash) || (self.bare && self.verity_ready),
            signature: has(Role::signature) || (self.bare && self.signature_ready),
            encryption: partition.file_system.encryption(),
            read_only: partition.attributes.is_some_and(Attributes::read_only),
            grow_file_system: partition.attributes.is_some_and(Attributes::grow_file_system),
            ..Facts::PRESENT
        }
    }

    /// What is to be mounted, and systemd would mount from no image: neither one of its file systems nor a LUKS volume.
    /// What the type of the partition says alone was not looked at.
    pub fn not_mountable(&self) -> impl Iterator<Item = Error> + '_ {
        self.partitions.iter().filter_map(|partition| {
            let FileSystem::Probed(probe) = &partition.file_system else { return None };
            let kind = probe.as_ref().map(|probe| probe.kind);
            let is_mounted = partition.designator.mount_point().is_some();
            let is_good = kind.is_some_and(|kind| kind.is_mountable() || kind == FsKind::CryptoLuks);
            let (designator, partition) = (Some(partition.designator), partition.number);
            (is_mounted && !is_good).then_some(Error::NotMountable { designator, partition, kind })
        })
    }

    /// Returns true if a policy applies to this. Of a bare image, it applies to the root file system alone, as in
    /// systemd: where there is no table, no partition is missing.
    pub(crate) fn is_judged(&self, designator: Designator) -> bool {
        !self.bare || designator == Designator::Root
    }

    /// The machine that the image is for: that of root, else that of usr.
    pub fn architecture(&self) -> Option<Architecture> {
        let of = |designator| self.get(designator).and_then(|partition| partition.architecture);
        of(Designator::Root).or_else(|| of(Designator::Usr))
    }
}
