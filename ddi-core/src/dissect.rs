//! Which partition is for what: the decisions of systemd's `dissect_image()`, version 261, without a kernel.
//!
//! The steps and their letters are those of `docs/formats.md`; in short:
//!
//! ```text
//! A, B  a file system over the whole image wins over any partition table
//! C     GPT, else MBR, else nothing
//! D     each entry in order: is its type known, may it be used, is it better than the one before it?
//! E     MBR: the active Linux partition is the root file system
//! F     do root, usr and their hash trees go together?
//! G, H  policy; is there anything at all?
//! I     file systems
//! ```
//!
//! [`DissectionRecord`] keeps the reason for every single entry, also when the image as a whole is refused.
//!
//! Two rules are stricter than systemd's and can be widened: a table that overlaps itself or leaves the disk is
//! refused as a whole (ddi-gpt), and partitions labelled `PRT#…` or `PND#…` are skipped, as the Discoverable
//! Partitions Specification demands ([`DissectOptions::transient`]).

mod filter;
mod selection;
mod steps;

use ddi_gpt::{Architecture, Attributes, ByteRange, Designator, Guid};

use crate::error::Error;
use crate::image::Image;
use crate::image::file::Sidecars;
use crate::policy::{Encryption, Facts, ImagePolicy, Presence};
use crate::report::finding::Sidecar;
use crate::trust::{KnownRootHash, Role, TrustedRootHash};
use ddi_fs::{FsKind, probe as fs};

pub use filter::ImageFilter;
pub use selection::{Better, Selection, Skipped};
use steps::Dissector;

/// What is known about verity before the image is looked at (systemd's `VeritySettings`).
///
/// systemd knows one root hash. A caller can have two here, one for root and one for usr: then the partitions of both
/// must have the GUIDs that follow, as with `roothash=` and `usrhash=` on the command line of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VeritySettings {
    /// One for each role at most, in the order in which they came.
    root_hashes: [Option<KnownRootHash>; Role::ALL.len()],
    /// There is a signature for the first root hash in a file.
    pub signature: bool,
    /// The hash tree is in a file beside the image, which then must not have a partition table.
    pub external: bool,
    /// What systemd would read beside the image, and is malformed.
    malformed: Option<Sidecar>,
}

impl VeritySettings {
    /// What systemd makes of the caller's word and of what lies beside the image: the caller's root hashes, else the
    /// first one that is found.
    pub fn new<'t>(trusted: impl IntoIterator<Item = &'t TrustedRootHash>, sidecars: &Sidecars) -> Self {
        let given = trusted.into_iter().fold(Self::default(), |settings, &trusted| settings.with(trusted));
        let mut settings = match (given.first(), sidecars.root_hashes.first()) {
            (None, Some(&found)) => given.with(found),
            _ => given,
        };
        settings.signature = settings
            .first()
            .is_some_and(|known| sidecars.signatures.iter().any(|signature| signature.role == known.role));
        settings.external = sidecars.has_verity;
        let is_read = |(role, what): &&(Role, Sidecar)| match what {
            Sidecar::RootHashSignature | Sidecar::UsrHashSignature => {
                settings.first().is_some_and(|known| known.role == *role)
            }
            _ => given.first().is_none(),
        };
        settings.malformed = sidecars.malformed.iter().find(is_read).map(|(_, what)| *what);
        settings
    }

    /// A file or attribute beside the image that counts, and is malformed: that is an error of its own, and no reason to look
    /// for something else.
    pub fn malformed(&self) -> Option<Sidecar> {
        self.malformed
    }

    /// The same with one more root hash, unless there is one for that role already. Only partitions with its GUIDs are
    /// considered then.
    #[must_use]
    pub fn with(mut self, root_hash: impl Into<KnownRootHash>) -> Self {
        let known = root_hash.into();
        if self.root_hash(known.role).is_none()
            && let Some(place) = self.root_hashes.iter_mut().find(|place| place.is_none())
        {
            *place = Some(known);
        }
        self
    }

    /// The root hash for `role`.
    pub fn root_hash(&self, role: Role) -> Option<KnownRootHash> {
        self.root_hashes.into_iter().flatten().find(|known| known.role == role)
    }

    /// The first root hash: the one that systemd would go by.
    pub fn first(&self) -> Option<KnownRootHash> {
        self.root_hashes.into_iter().flatten().next()
    }

    /// Is the hash tree outside of the partition table good for the image, which without one is a root file system? A
    /// root hash for usr says nothing about that, nor does a tree of which nobody knows the root hash
    /// (systemd's `verity_settings_data_covers()`).
    fn covers_bare_image(&self) -> bool {
        self.external && self.root_hash(Role::Root).is_some()
    }
}

/// What to do about partitions that are labelled as half written (`PRT#`) or not yet in use (`PND#`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transient {
    /// Skip them, as the Discoverable Partitions Specification tells readers to.
    #[default]
    Skip,
    /// Take them as any other, as systemd does.
    Consider,
}

/// How to dissect: what distinguishes the callers of systemd's `dissect_image()`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DissectOptions {
    /// The machine that the image is for; partitions for others are taken for want of better ones.
    pub native: Option<Architecture>,
    /// The image is for that machine, and for no other: what others would make of it does not matter.
    pub one_architecture: bool,
    /// Without a partition for root or usr, the only one of the generic Linux type is the root file system.
    pub generic_root: bool,
    /// A bare file system is no image.
    pub gpt_only: bool,
    /// There must be a root partition, or usr with `usr_without_root`.
    pub require_root: bool,
    /// A usr partition does without root.
    pub usr_without_root: bool,
    /// It is all right if there is nothing to be used.
    pub allow_empty: bool,
    /// Take a `/var` partition only if it is that of the machine with this id.
    pub machine_id: Option<[u8; 16]>,
    /// What is known about verity; `None` for a caller that has nothing to do with it.
    pub verity: Option<VeritySettings>,
    /// Partitions labelled as half written or pending.
    pub transient: Transient,
    /// What may be used; `None` allows everything. Read as systemd reads it: by what is *there*, not by what was proven.
    /// See [`PolicyEvaluation`](crate::PolicyEvaluation) for the other reading.
    pub policy: Option<ImagePolicy>,
    /// Which labels are considered.
    pub filter: ImageFilter,
}

impl DissectOptions {
    /// As `systemd-dissect` does, for the machine that we were compiled for, with these verity settings.
    pub fn new(verity: VeritySettings) -> Self {
        DissectOptions {
            native: Architecture::NATIVE,
            one_architecture: false,
            generic_root: true,
            gpt_only: false,
            require_root: false,
            usr_without_root: true,
            allow_empty: false,
            machine_id: None,
            verity: Some(verity),
            transient: Transient::Skip,
            policy: None,
            filter: ImageFilter::new(),
        }
    }

    /// As for `RootImage=`, `ExtensionImages=`, portable services, system extensions and containers: there must be a
    /// root or usr partition.
    pub fn mounting(verity: VeritySettings) -> Self {
        DissectOptions { require_root: true, ..Self::new(verity) }
    }

    /// As for the disk that the system with this machine id was booted from (`systemd-gpt-auto-generator`).
    pub fn host(machine_id: [u8; 16]) -> Self {
        DissectOptions {
            generic_root: false,
            gpt_only: true,
            allow_empty: true,
            machine_id: Some(machine_id),
            verity: None,
            ..Self::new(VeritySettings::default())
        }
    }
}

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

    /// Is it encrypted?
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
    fn is_read_only(&self) -> bool {
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
    /// Would systemd mount it for writing?
    pub rw: bool,
    /// Would systemd grow its file system?
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

    /// Has a policy a say in this? Of a bare image, it is asked about the root file system alone, as by systemd: where
    /// there is no table, no partition is missing.
    pub(crate) fn is_judged(&self, designator: Designator) -> bool {
        !self.bare || designator == Designator::Root
    }

    /// The machine that the image is for: that of root, else that of usr.
    pub fn architecture(&self) -> Option<Architecture> {
        let of = |designator| self.get(designator).and_then(|partition| partition.architecture);
        of(Designator::Root).or_else(|| of(Designator::Usr))
    }
}

/// The whole course of a dissection: what became of every entry, and how it ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct DissectionRecord {
    /// What became of each entry of the table, in its order, by number.
    pub selections: Vec<(u32, Selection)>,
    /// The image, or why it is refused: by systemd too, if that is the error's [`authority`](Error::authority).
    pub outcome: Result<DissectedImage, Error>,
    /// Every reason to refuse it that was found; the first is that of `outcome`. systemd ends at the first, and so do we,
    /// except where root and usr do not go together but can be judged each by itself (see
    /// [`prove`](crate::steps::prove())).
    pub refusals: Vec<Error>,
}

/// Dissects an image.
///
/// # Errors
/// One variant of [`Error`] for each line of systemd's error table; see there.
pub fn dissect(image: &Image, options: &DissectOptions) -> Result<DissectedImage, Error> {
    DissectionRecord::new(image, options).outcome
}

impl DissectionRecord {
    /// Dissects an image and keeps what became of each partition.
    pub fn new(image: &Image, options: &DissectOptions) -> Self {
        let mut dissector = Dissector::new(image, options);
        let outcome = dissector.run();
        let mut refusals = std::mem::take(&mut dissector.discord);
        refusals.extend(outcome.as_ref().err().cloned());
        if !refusals.is_empty() && dissector.left_out_transient() {
            // systemd leaves none of them out, and it may be that nothing else is wrong
            let theirs = DissectOptions { transient: Transient::Consider, ..options.clone() };
            if DissectionRecord::new(image, &theirs).outcome.is_ok() {
                refusals =
                    refusals.into_iter().map(|error| Error::WithoutTransient(Box::new(error))).collect();
            }
        }
        let outcome = refusals.first().map_or(outcome, |first| Err(first.clone()));
        DissectionRecord { selections: dissector.selections, outcome, refusals }
    }

    /// What became of partition `number`.
    pub fn selection(&self, number: u32) -> Option<Selection> {
        self.selections.iter().find(|(n, _)| *n == number).map(|(_, selection)| *selection)
    }

    /// The partition that is the choice for `designator`, also in an image that is refused.
    pub fn chosen(&self, designator: Designator) -> Option<u32> {
        let is_chosen = |(_, selection): &&(u32, Selection)| *selection == Selection::Chosen(designator);
        self.selections.iter().find(is_chosen).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests;
