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
//! [`Dissection`] keeps the reason for every single entry, also when the image as a whole is refused.
//!
//! Two rules are stricter than systemd's and can be widened: a table that overlaps itself or leaves the disk is
//! refused as a whole (ddi-gpt), and partitions labelled `PRT#…` or `PND#…` are skipped, as the Discoverable
//! Partitions Specification demands ([`DissectOptions::transient`]).
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use core::cmp::Ordering;
use core::fmt;

use ddi_gpt::{Architecture, Attributes, ByteRange, Designator, Guid, PartitionType};
use ddi_verity::RootHash;

use crate::error::Error;
use crate::filter::ImageFilter;
use crate::finding::Severity;
use crate::fs::{self, FsKind, Usage};
use crate::image::{Image, Looked, Table};
use crate::mbr;
use crate::policy::{Decision, Encryption, Facts, ImagePolicy, Presence, Reading};
use crate::source::Sidecars;
use crate::trust::{KnownRootHash, Role, RootHashOrigin, TrustedRootHash};

/// What is known about verity before the image is looked at (systemd's `VeritySettings`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VeritySettings {
    /// The root hash. Only partitions with its GUIDs are considered then.
    pub root_hash: Option<KnownRootHash>,
    /// There is a signature for it in a file.
    pub signature: bool,
    /// The hash tree is in a file beside the image, which then must not have a partition table.
    pub external: bool,
}

impl VeritySettings {
    /// What systemd makes of the caller's word and of what lies beside the image: the caller's root hash, else the
    /// first one that is found.
    pub fn new(trusted: Option<&TrustedRootHash>, sidecars: &Sidecars) -> Self {
        let root_hash =
            trusted.map(|&trusted| trusted.into()).or_else(|| sidecars.root_hashes.first().copied());
        let signature = root_hash.is_some_and(|known: KnownRootHash| {
            sidecars.signatures.iter().any(|signature| signature.role == known.role)
        });
        VeritySettings { root_hash, signature, external: sidecars.verity.is_some() }
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
    /// See [`Assessment::violations`](crate::Assessment::violations) for the other reading.
    pub policy: Option<ImagePolicy>,
    /// Which labels are considered.
    pub filter: ImageFilter,
}

impl DissectOptions {
    /// As `systemd-dissect` does, for the machine that we were compiled for, with these verity settings.
    pub fn new(verity: VeritySettings) -> Self {
        DissectOptions {
            native: Architecture::NATIVE,
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

/// What became of an entry of the partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// It is used for this.
    Chosen(Designator),
    /// It is not used.
    Skipped(Skipped),
}

/// Why a partition is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skipped {
    /// Its type is unknown, or one that nobody mounts from an image.
    NotDiscoverable,
    /// The label `_empty` marks a free slot for updates.
    EmptySlot,
    /// The label begins with `PRT#` or `PND#`: half written, or not yet in use. systemd would consider it.
    Transient,
    /// The no-auto attribute.
    NoAuto,
    /// The attribute of an EFI system partition that the firmware must not use.
    NoBlockIo,
    /// The caller has nothing to do with verity.
    VerityNotWanted,
    /// The root hash is for the other one of root and usr.
    OtherRole(Role),
    /// The root hash wants another GUID.
    OtherGuid {
        /// Which one.
        expected: Guid,
    },
    /// The signature is for another root hash.
    OtherSignature {
        /// For which one.
        found: RootHash,
    },
    /// `/var` of another machine.
    OtherMachine {
        /// The GUID that it has on this machine.
        expected: Guid,
    },
    /// Another partition with the same purpose is better.
    Worse {
        /// Its number.
        than: u32,
        /// Why.
        because: Better,
    },
    /// A generic Linux partition, and there is one that says what it is for.
    NotNeeded,
    /// Not the active partition of an MBR, or of a type that means nothing here.
    Mbr,
    /// The image is a bare file system; its table counts for nothing.
    BareImage,
    /// The caller's filter does not match its label.
    Filter,
    /// The policy says to ignore it.
    Policy,
    /// The image was refused before it was this one's turn.
    NotReached,
}

/// Why one candidate is better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Its architecture fits this machine better.
    Architecture,
    /// Its label is the newer version.
    Version,
    /// It comes first in the table.
    First,
}

impl Skipped {
    /// How much a person should care.
    pub fn severity(&self) -> Severity {
        match self {
            // two readers may take two partitions
            Skipped::Transient => Severity::Warning,
            _ => Severity::Note,
        }
    }

    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Skipped::NotDiscoverable => "not-discoverable",
            Skipped::EmptySlot => "empty-slot",
            Skipped::Transient => "transient",
            Skipped::NoAuto => "no-auto",
            Skipped::NoBlockIo => "no-block-io",
            Skipped::VerityNotWanted => "verity-not-wanted",
            Skipped::OtherRole(_) => "other-role",
            Skipped::OtherGuid { .. } => "other-guid",
            Skipped::OtherSignature { .. } => "other-signature",
            Skipped::OtherMachine { .. } => "other-machine",
            Skipped::Worse { because: Better::Architecture, .. } => "worse-architecture",
            Skipped::Worse { because: Better::Version, .. } => "older-version",
            Skipped::Worse { because: Better::First, .. } => "not-first",
            Skipped::NotNeeded => "not-needed",
            Skipped::Mbr => "mbr",
            Skipped::BareImage => "bare-image",
            Skipped::Filter => "filter",
            Skipped::Policy => "policy",
            Skipped::NotReached => "not-reached",
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skipped::NotDiscoverable => f.write_str("not used: nothing mounts a partition of this type"),
            Skipped::EmptySlot => f.write_str("not used: a free slot for updates"),
            Skipped::Transient => {
                f.write_str("not used: labelled as half written or pending, though systemd would consider it")
            }
            Skipped::NoAuto => f.write_str("not used: it has the no-auto attribute"),
            Skipped::NoBlockIo => f.write_str("not used: it has the no-block-io attribute"),
            Skipped::VerityNotWanted => f.write_str("not used: verity is not asked for"),
            Skipped::OtherRole(role) => write!(f, "not used: the root hash is for {role}"),
            Skipped::OtherGuid { expected } => {
                write!(f, "not used: by the root hash its GUID would have to be {expected}")
            }
            Skipped::OtherSignature { found } => {
                write!(f, "not used: the signature is for the root hash {found}")
            }
            Skipped::OtherMachine { expected } => {
                write!(f, "not used: on this machine its GUID would have to be {expected}")
            }
            Skipped::Worse { than, because: Better::Architecture } => {
                write!(f, "not used: partition {than} is for a better architecture")
            }
            Skipped::Worse { than, because: Better::Version } => {
                write!(f, "not used: partition {than} is a newer version")
            }
            Skipped::Worse { than, because: Better::First } => {
                write!(f, "not used: partition {than} comes first")
            }
            Skipped::NotNeeded => {
                f.write_str("not used: of the generic type, which counts only if it is alone and nothing else is the root")
            }
            Skipped::Mbr => f.write_str("not used: not the active Linux partition"),
            Skipped::BareImage => f.write_str("not used: the image as a whole is a file system"),
            Skipped::Filter => f.write_str("not used: the image filter does not match its label"),
            Skipped::Policy => f.write_str("not used: the image policy says so"),
            Skipped::NotReached => f.write_str("not used: the image was refused before"),
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
    /// systemd could set up verity: root hash and hash tree are known.
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
        let external = self.bare && self.external_verity;
        Facts {
            presence: Presence::Present,
            hash_tree: has(Role::hash) || external,
            signature: has(Role::signature) || (external && self.signature_ready),
            encryption: partition.file_system.encryption(),
            read_only: partition.attributes.is_some_and(Attributes::read_only),
            grow_file_system: partition.attributes.is_some_and(Attributes::grow_file_system),
            ..Facts::PRESENT
        }
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
pub struct Dissection {
    /// What became of each entry of the table, in its order, by number.
    pub selections: Vec<(u32, Selection)>,
    /// The image, or why systemd would refuse it.
    pub outcome: Result<DissectedImage, Error>,
}

/// Dissects an image.
///
/// # Errors
/// One variant of [`Error`] for each line of systemd's error table; see there.
pub fn dissect(image: &Image, options: &DissectOptions) -> Result<DissectedImage, Error> {
    Dissection::new(image, options).outcome
}

impl Dissection {
    /// Dissects an image and keeps what became of each partition.
    pub fn new(image: &Image, options: &DissectOptions) -> Self {
        let mut dissector = Dissector::new(image, options);
        let outcome = dissector.run();
        Dissection { selections: dissector.selections, outcome }
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

/// A candidate that is the best so far.
#[derive(Debug, Clone)]
struct Pick {
    number: u32,
    range: ByteRange,
    architecture: Option<Architecture>,
    guid: Option<Guid>,
    label: Option<String>,
    attributes: Option<Attributes>,
    rw: bool,
    growfs: bool,
}

struct Dissector<'a> {
    image: &'a Image,
    options: &'a DissectOptions,
    picks: [Option<Pick>; Designator::ALL.len()],
    /// The first partition of the generic type, and the second.
    generic: (Option<Pick>, Option<u32>),
    /// Designators that the policy says to leave alone although they are there.
    ignored: Vec<Designator>,
    selections: Vec<(u32, Selection)>,
    /// GUIDs of data and hash partition that follow from the root hash.
    expected: Option<(Role, Guid, Guid)>,
}

/// Not every designator has an entry: then there is nothing.
fn index(designator: Designator) -> usize {
    Designator::ALL.iter().position(|other| *other == designator).unwrap_or(usize::MAX)
}

impl<'a> Dissector<'a> {
    fn new(image: &'a Image, options: &'a DissectOptions) -> Self {
        Dissector {
            image,
            options,
            picks: [const { None }; Designator::ALL.len()],
            generic: (None, None),
            ignored: Vec::new(),
            selections: image
                .partition_numbers()
                .map(|n| (n, Selection::Skipped(Skipped::NotReached)))
                .collect(),
            expected: None,
        }
    }

    fn run(&mut self) -> Result<DissectedImage, Error> {
        let verity = self.options.verity.unwrap_or_default();
        // A2
        if let Some(known) = verity.root_hash {
            let (data, hash) =
                ddi_gpt::verity_guids(known.hash.as_bytes()).map_err(Error::UnusableRootHash)?;
            self.expected = Some((known.role, data, hash));
        }
        // A1, as far as it is about the table
        if let Table::Broken(error @ ddi_gpt::Error::AmbiguousBlockSize { .. }) = self.image.table() {
            return Err(Error::Table(error.clone()));
        }
        // A3, B
        if (self.options.generic_root && !self.options.gpt_only) || verity.external {
            match self.image.whole().candidate() {
                Ok(Some(probe)) if matches!(probe.kind.usage(), Usage::Filesystem | Usage::Crypto) => {
                    self.skip_all(Skipped::BareImage);
                    return self.bare(probe.clone(), verity);
                }
                Ok(_) => {}
                Err(error) => return Err(Error::AmbiguousImage(error.clone())),
            }
        }
        match self.image.table() {
            Table::None => return Err(Error::NothingRecognised),
            Table::Broken(error) => return Err(Error::Table(error.clone())),
            Table::Mbr(..) | Table::BrokenMbr(..) if self.options.gpt_only => {
                return Err(Error::NothingRecognised);
            }
            Table::BrokenMbr(_, error) => return Err(Error::Mbr(*error)),
            _ if verity.external => return Err(Error::ExternalVerityWithTable),
            Table::Gpt(gpt) => {
                for partition in gpt.partitions() {
                    let selection = self.consider(partition)?;
                    self.set(partition.number, selection);
                }
            }
            Table::Mbr(_, partitions) => self.consider_mbr(partitions),
        }
        self.check(verity)?;
        self.finish(verity)
    }

    fn set(&mut self, number: u32, selection: Selection) {
        if let Some(entry) = self.selections.iter_mut().find(|(n, _)| *n == number) {
            entry.1 = selection;
        }
    }

    fn skip_all(&mut self, why: Skipped) {
        for (_, selection) in &mut self.selections {
            *selection = Selection::Skipped(why);
        }
    }

    fn pick(&self, designator: Designator) -> Option<&Pick> {
        self.picks.get(index(designator)).and_then(Option::as_ref)
    }

    fn put(&mut self, designator: Designator, pick: Pick) {
        if let Some(place) = self.picks.get_mut(index(designator)) {
            *place = Some(pick);
        }
    }

    /// B: the whole image is one file system, and that is the root.
    fn bare(&mut self, probe: fs::Probe, verity: VeritySettings) -> Result<DissectedImage, Error> {
        // it has no label
        if !self.options.filter.matches(Designator::Root, "") {
            return Err(Error::ExcludedByFilter);
        }
        if self.admit(Designator::Root)? == Decision::Ignore {
            return Err(Error::NothingRecognised);
        }
        let covered = verity.external && verity.root_hash.is_none_or(|known| known.role == Role::Root);
        let uuid = match &probe.uuid {
            Some(fs::FsUuid::Uuid(uuid)) => Some(Guid::from_uuid(*uuid)),
            _ => None,
        };
        let protection = match (verity.external, verity.signature) {
            (false, _) => Protection::Unprotected,
            (true, false) => Protection::Verity,
            (true, true) => Protection::SignaturePresent,
        };
        let rw = !covered && !probe.kind.is_read_only();
        let root = Partition {
            designator: Designator::Root,
            architecture: None,
            number: None,
            range: ByteRange { offset: 0, size: self.image.source().size() },
            guid: None,
            label: None,
            attributes: None,
            rw,
            growfs: false,
            file_system: FileSystem::Probed(Some(Box::new(probe))),
            protection,
        };
        let dissected = DissectedImage {
            partitions: vec![root],
            ignored: Vec::new(),
            bare: true,
            uuid,
            root_hash: verity.root_hash,
            external_verity: verity.external,
            verity_ready: verity.external && verity.root_hash.is_some(),
            signature_ready: verity.external && verity.signature,
        };
        if let Some(policy) = &self.options.policy {
            let facts = dissected.facts(Designator::Root);
            policy.check_table(Designator::Root, &facts, Reading::Presence).map_err(Error::Policy)?;
        }
        self.check_content(&dissected)?;
        Ok(dissected)
    }

    /// D: one entry of a GPT.
    fn consider(&mut self, partition: &ddi_gpt::Partition) -> Result<Selection, Error> {
        let skip = |why| Ok(Selection::Skipped(why));
        let (designator, architecture) = match partition.partition_type() {
            PartitionType::Designated(designator, architecture) => (Some(designator), architecture),
            PartitionType::LinuxGeneric => (None, None),
            _ => return skip(Skipped::NotDiscoverable),
        };
        let attributes = partition.attributes;
        if partition.name.is_empty_slot() {
            return skip(Skipped::EmptySlot);
        }
        let filtered = designator.unwrap_or(Designator::Root);
        if !self.options.filter.matches(filtered, &partition.name.label().unwrap_or_default()) {
            return skip(Skipped::Filter);
        }
        if self.options.transient == Transient::Skip
            && (partition.name.is_partial() || partition.name.is_pending())
        {
            return skip(Skipped::Transient);
        }
        let effect = attributes.effect(partition.partition_type());
        if effect.skipped {
            let is_esp = designator == Some(Designator::Esp);
            return skip(if is_esp { Skipped::NoBlockIo } else { Skipped::NoAuto });
        }
        let Some(designator) = designator else {
            return Ok(self.consider_generic(partition));
        };
        if let Some(why) = self.foreign(partition, designator)? {
            return skip(why);
        }
        if self.admit(designator)? == Decision::Ignore {
            return skip(Skipped::Policy);
        }

        let pick = Pick {
            number: partition.number,
            range: partition.range,
            architecture,
            guid: Some(partition.guid),
            label: partition.name.label(),
            attributes: Some(attributes),
            rw: !effect.read_only,
            growfs: effect.grow_file_system,
        };
        let Some(old) = self.pick(designator) else {
            self.put(designator, pick);
            return Ok(Selection::Chosen(designator));
        };
        let old_number = old.number;
        match self.compare(designator, &pick, old) {
            (Ordering::Greater, because) => {
                let why = Skipped::Worse { than: pick.number, because };
                self.set(old_number, Selection::Skipped(why));
                self.put(designator, pick);
                Ok(Selection::Chosen(designator))
            }
            (_, because) => skip(Skipped::Worse { than: old_number, because }),
        }
    }

    /// D10: is `new` better than `old`, and by what?
    fn compare(&self, designator: Designator, new: &Pick, old: &Pick) -> (Ordering, Better) {
        if Role::of(designator).is_none() {
            return (Ordering::Less, Better::First);
        }
        let by_architecture =
            ddi_gpt::compare_architectures(new.architecture, old.architecture, self.options.native);
        if by_architecture != Ordering::Equal {
            return (by_architecture, Better::Architecture);
        }
        let label = |pick: &'_ Pick| pick.label.clone().unwrap_or_default();
        match ddi_gpt::compare_versions(&label(new), &label(old)) {
            Ordering::Equal => (Ordering::Less, Better::First),
            other => (other, Better::Version),
        }
    }

    /// D9: may it be used at all?
    fn admit(&mut self, designator: Designator) -> Result<Decision, Error> {
        let Some(policy) = &self.options.policy else { return Ok(Decision::Use) };
        let decision = policy.admit(designator).map_err(Error::Policy)?;
        if decision == Decision::Ignore && !self.ignored.contains(&designator) {
            self.ignored.push(designator);
        }
        Ok(decision)
    }

    /// D4 to D7: does it belong to something else than what is asked for?
    fn foreign(
        &self,
        partition: &ddi_gpt::Partition,
        designator: Designator,
    ) -> Result<Option<Skipped>, Error> {
        if let Some(role) = Role::of(designator) {
            let is_data = role.data() == designator;
            if !is_data && self.options.verity.is_none() {
                return Ok(Some(Skipped::VerityNotWanted));
            }
            if let Some((wanted, data, hash)) = self.expected {
                if wanted != role && !is_data {
                    return Ok(Some(Skipped::OtherRole(wanted)));
                }
                let expected = match designator {
                    _ if wanted != role => None,
                    _ if is_data => Some(data),
                    _ if role.hash() == designator => Some(hash),
                    _ => None,
                };
                if let Some(expected) = expected.filter(|expected| *expected != partition.guid) {
                    return Ok(Some(Skipped::OtherGuid { expected }));
                }
                if wanted == role && role.signature() == designator {
                    let signature = self.image.signature(partition.number)?;
                    if self
                        .options
                        .verity
                        .and_then(|v| v.root_hash)
                        .is_some_and(|k| k.hash != signature.root_hash)
                    {
                        return Ok(Some(Skipped::OtherSignature { found: signature.root_hash }));
                    }
                }
            }
        }
        if let (Designator::Var, Some(machine_id)) = (designator, self.options.machine_id) {
            let expected = ddi_gpt::var_guid(machine_id);
            if expected != partition.guid {
                return Ok(Some(Skipped::OtherMachine { expected }));
            }
        }
        Ok(None)
    }

    /// D8: a partition of the generic Linux type.
    fn consider_generic(&mut self, partition: &ddi_gpt::Partition) -> Selection {
        let attributes = partition.attributes;
        if self.generic.0.is_none() {
            self.generic.0 = Some(Pick {
                number: partition.number,
                range: partition.range,
                architecture: None,
                guid: Some(partition.guid),
                label: None,
                attributes: Some(attributes),
                rw: !attributes.read_only(),
                growfs: attributes.grow_file_system(),
            });
        } else {
            self.generic.1 = self.generic.1.or(Some(partition.number));
        }
        Selection::Skipped(Skipped::NotNeeded)
    }

    /// E: the entries of an MBR.
    fn consider_mbr(&mut self, partitions: &[mbr::Partition]) {
        self.skip_all(Skipped::Mbr);
        for partition in partitions {
            let pick = Pick {
                number: partition.number,
                range: ByteRange { offset: partition.offset, size: partition.size },
                architecture: None,
                guid: None,
                label: None,
                attributes: None,
                rw: true,
                growfs: false,
            };
            match partition.role() {
                Some(mbr::Role::GenericRoot) if self.generic.0.is_none() => self.generic.0 = Some(pick),
                Some(mbr::Role::GenericRoot) => self.generic.1 = self.generic.1.or(Some(partition.number)),
                Some(mbr::Role::Xbootldr) if self.pick(Designator::Xbootldr).is_none() => {
                    self.set(partition.number, Selection::Chosen(Designator::Xbootldr));
                    self.put(Designator::Xbootldr, pick);
                }
                _ => {}
            }
        }
    }

    /// F: does it all go together?
    fn check(&mut self, verity: VeritySettings) -> Result<(), Error> {
        let has = |this: &Self, designator| this.pick(designator).is_some();
        for role in Role::ALL {
            if !has(self, role.data()) && (has(self, role.hash()) || has(self, role.signature())) {
                return Err(Error::DataMissing { role });
            }
        }
        for role in Role::ALL {
            if !has(self, role.hash()) && has(self, role.signature()) {
                return Err(Error::HashMissing { role });
            }
        }
        let architecture = |designator| self.pick(designator).and_then(|pick: &Pick| pick.architecture);
        if let (Some(root), Some(usr)) = (architecture(Designator::Root), architecture(Designator::Usr))
            && root != usr
        {
            return Err(Error::ArchitecturesDiffer { root, usr });
        }
        let role = verity.root_hash.map(|known| known.role);
        if !has(self, Designator::Root)
            && !has(self, Designator::Usr)
            && self.options.generic_root
            && role != Some(Role::Usr)
            && let Some(first) = self.generic.0.take()
        {
            if let Some(second) = self.generic.1 {
                return Err(Error::SeveralGenericRoots { first: first.number, second });
            }
            match self.admit(Designator::Root)? {
                Decision::Ignore => self.set(first.number, Selection::Skipped(Skipped::Policy)),
                Decision::Use => {
                    self.set(first.number, Selection::Chosen(Designator::Root));
                    self.put(Designator::Root, first);
                }
            }
        }
        if self.options.require_root
            && !has(self, Designator::Root)
            && !(self.options.usr_without_root && has(self, Designator::Usr))
        {
            return Err(Error::NoRoot);
        }
        if has(self, Designator::RootVerity) {
            if has(self, Designator::UsrVerity) {
                return Err(Error::RootAndUsrVerity);
            }
            if has(self, Designator::Usr) {
                return Err(Error::RootVerityWithUsr);
            }
        }
        if let Some(role) = role {
            if !has(self, role.data()) {
                return Err(Error::NoDataForRootHash { role });
            }
            if !has(self, role.hash()) {
                return Err(Error::NoHashForRootHash { role });
            }
            if let Some(Some(data)) = self.picks.get_mut(index(role.data())) {
                data.rw = false;
            }
        }
        Ok(())
    }

    /// G to I, and what is known about verity in the end.
    fn finish(&mut self, verity: VeritySettings) -> Result<DissectedImage, Error> {
        self.check_table()?;
        if self.picks.iter().all(Option::is_none) && !self.options.allow_empty {
            return Err(Error::NothingUsable);
        }
        let mut partitions = Vec::new();
        for designator in Designator::ALL {
            let Some(pick) = self.picks.get_mut(index(designator)).and_then(Option::take) else { continue };
            partitions.push(self.finish_partition(designator, pick)?);
        }
        let has = |designator| partitions.iter().any(|p: &Partition| p.designator == designator);
        let mut root_hash = verity.root_hash;
        // systemd sets up one only, and looks for root first
        let role = Role::ALL.into_iter().find(|role| has(role.hash()));
        let mut signature = verity.signature;
        if let Some(role) = role.filter(|_| self.options.verity.is_some()) {
            let number_of = |designator| partitions.iter().find(|p| p.designator == designator);
            if let Some(found) = number_of(role.signature())
                && let Some(number) = found.number
                && !verity.signature
            {
                match self.image.signature(number) {
                    Ok(found) => {
                        let hash = found.root_hash;
                        root_hash = root_hash.or(Some(KnownRootHash {
                            hash,
                            role,
                            origin: RootHashOrigin::SignaturePartition,
                        }));
                        signature = root_hash.is_some_and(|known| known.hash == hash);
                    }
                    // systemd ends here; for us it is one more finding
                    Err(_) => signature = false,
                }
            }
            if root_hash.is_none()
                && let (Some(data), Some(hash)) = (number_of(role.data()), number_of(role.hash()))
                && let (Some(data), Some(hash)) = (data.guid, hash.guid)
                && let Ok(hash) = RootHash::from_bytes(&ddi_gpt::root_hash_from_guids(data, hash))
            {
                root_hash = Some(KnownRootHash { hash, role, origin: RootHashOrigin::PartitionGuids });
            }
        }
        let verity_ready = role.is_some_and(|role| root_hash.is_some_and(|known| known.role == role));
        let signature_ready = verity_ready && signature && role.is_some_and(|role| has(role.signature()));
        if let Some(role) = role {
            for partition in &mut partitions {
                if partition.designator == role.data() {
                    partition.protection =
                        if signature_ready { Protection::SignaturePresent } else { Protection::Verity };
                }
            }
        }
        let uuid = match self.image.table() {
            Table::Gpt(gpt) => Some(gpt.disk_guid()),
            _ => None,
        };
        let ignored = core::mem::take(&mut self.ignored);
        let dissected = DissectedImage {
            partitions,
            ignored,
            bare: false,
            uuid,
            root_hash,
            external_verity: false,
            verity_ready,
            signature_ready,
        };
        self.check_content(&dissected)?;
        Ok(dissected)
    }

    /// G: what the policy says to what the table has.
    fn check_table(&self) -> Result<(), Error> {
        let Some(policy) = &self.options.policy else { return Ok(()) };
        Designator::ALL.into_iter().try_for_each(|designator| {
            let facts = self.facts(designator);
            policy.check_table(designator, &facts, Reading::Presence).map_err(Error::Policy)
        })
    }

    fn facts(&self, designator: Designator) -> Facts {
        let Some(pick) = self.pick(designator) else {
            let presence =
                if self.ignored.contains(&designator) { Presence::Ignored } else { Presence::Absent };
            return Facts { presence, ..Facts::ABSENT };
        };
        let role = Role::of(designator).filter(|role| role.data() == designator);
        let has = |of: fn(Role) -> Designator| role.is_some_and(|role| self.pick(of(role)).is_some());
        Facts {
            hash_tree: has(Role::hash),
            signature: has(Role::signature),
            read_only: pick.attributes.is_some_and(Attributes::read_only),
            grow_file_system: pick.attributes.is_some_and(Attributes::grow_file_system),
            ..Facts::PRESENT
        }
    }

    /// I: what the policy says to what is in the partitions.
    fn check_content(&self, dissected: &DissectedImage) -> Result<(), Error> {
        let Some(policy) = &self.options.policy else { return Ok(()) };
        Designator::ALL.into_iter().try_for_each(|designator| {
            policy.check_content(designator, &dissected.facts(designator)).map_err(Error::Policy)
        })
    }

    /// I: what is in it?
    fn finish_partition(&self, designator: Designator, pick: Pick) -> Result<Partition, Error> {
        let assumed = self.options.policy.as_ref().and_then(|policy| policy.assumed_file_system(designator));
        let file_system = match designator {
            Designator::Esp | Designator::Xbootldr => FileSystem::Preset("vfat"),
            Designator::RootVerity | Designator::UsrVerity => FileSystem::Preset("DM_verity_hash"),
            Designator::RootVeritySig | Designator::UsrVeritySig => {
                FileSystem::Preset("verity_hash_signature")
            }
            _ if assumed.is_some() => FileSystem::Preset(assumed.map_or("", FsKind::name)),
            _ => {
                let probe = self.image.looked(pick.number).map_or(Ok(None), Looked::candidate);
                let probe = probe.map_err(|error| Error::AmbiguousFileSystem {
                    designator,
                    partition: Some(pick.number),
                    error: error.clone(),
                })?;
                FileSystem::Probed(probe.cloned().map(Box::new))
            }
        };
        let read_only = file_system.is_read_only();
        let rw = pick.rw && !read_only;
        Ok(Partition {
            designator,
            architecture: pick.architecture,
            number: Some(pick.number),
            range: pick.range,
            guid: pick.guid,
            label: pick.label,
            attributes: pick.attributes,
            rw,
            growfs: pick.growfs && rw,
            file_system,
            protection: Protection::Unprotected,
        })
    }
}

#[cfg(test)]
mod tests;
