//! The steps of the dissection, in their order. See the parent module for the map.

use core::cmp::Ordering;
use std::sync::Arc;

use ddi_gpt::{Architecture, Attributes, ByteRange, Designator, Guid, PartitionType};
use ddi_verity::RootHash;

use super::{
    Better, DissectOptions, DissectedImage, FileSystem, Partition, Protection, Selection, Skipped, Transient,
    VeritySettings,
};
use crate::error::Error;
use crate::image::mbr;
use crate::image::{Image, ProbeResult, Table};
use crate::policy::{Decision, Facts, Presence, Reading};
use crate::trust::{KnownRootHash, Role, RootHashOrigin};
use ddi_fs::{FsKind, Usage, probe as fs};

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

pub(super) struct Dissector<'a> {
    image: &'a Image,
    options: &'a DissectOptions,
    picks: [Option<Pick>; Designator::ALL.len()],
    /// The first partition of the generic type, and the second.
    generic: (Option<Pick>, Option<u32>),
    /// Designators that the policy says to leave alone although they are there.
    ignored: Vec<Designator>,
    pub(super) selections: Vec<(u32, Selection)>,
    /// GUIDs of data and hash partition that follow from the root hashes.
    expected: Vec<(Role, Guid, Guid)>,
    /// In what root and usr do not go together, though each can be judged by itself.
    pub(super) discord: Vec<Error>,
}

/// Returns true if that can, without a partition table, be taken for a root file system. A hash tree cannot, though
/// earlier versions of systemd took one as they did LUKS.
fn is_bare_image(kind: FsKind) -> bool {
    kind.usage() == Usage::Filesystem || kind == FsKind::CryptoLuks
}

/// Not every designator has an entry: then there is nothing.
fn index(designator: Designator) -> usize {
    Designator::ALL.iter().position(|other| *other == designator).unwrap_or(usize::MAX)
}

impl<'a> Dissector<'a> {
    pub(super) fn new(image: &'a Image, options: &'a DissectOptions) -> Self {
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
            expected: Vec::new(),
            discord: Vec::new(),
        }
    }

    pub(super) fn run(&mut self) -> Result<DissectedImage, Error> {
        let verity = self.options.verity.unwrap_or_default();
        // before the image is opened
        if let Some(what) = verity.malformed() {
            return Err(Error::Malformed { what });
        }
        // A2
        for known in Role::ALL.into_iter().filter_map(|role| verity.root_hash(role)) {
            let (data, hash) =
                ddi_gpt::verity_guids(known.hash.as_bytes()).map_err(Error::UnusableRootHash)?;
            self.expected.push((known.role, data, hash));
        }
        // A1, as far as it is about the table
        if let Table::Broken(error @ ddi_gpt::Error::AmbiguousBlockSize { .. }) = self.image.table() {
            return Err(Error::Table(error.clone()));
        }
        // A3, B
        if (self.options.generic_root && !self.options.gpt_only) || verity.external {
            let whole = self.image.whole();
            // where there is a table, systemd 261 sees those kinds alone that it mounts; earlier versions saw all of them
            let bare = match (whole.candidate(), self.image.table()) {
                (Ok(None), Table::None) => whole.any().map_err(Arc::clone),
                (Ok(None), _) => Ok(None),
                (Ok(Some(_)), _) => whole.agreed(),
                (Err(error), _) => Err(error.clone()),
            };
            match bare.map_err(Error::AmbiguousImage)? {
                Some(probe) if is_bare_image(probe.kind) => {
                    self.skip_all(Skipped::BareImage);
                    return self.bare(probe.clone(), verity);
                }
                _ => {}
            }
        }
        match self.image.table() {
            Table::None => {
                // swap, a hash tree, the member of an array
                let probe = self.image.whole().any().ok().flatten();
                let probe = probe.filter(|probe| !is_bare_image(probe.kind));
                let of = |probe: &fs::Probe| Error::NotMountable {
                    designator: None,
                    partition: None,
                    kind: Some(probe.kind),
                };
                return Err(probe.map_or(Error::NothingRecognised, of));
            }
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
            Table::Mbr(_, partitions) => self.consider_mbr(partitions)?,
        }
        self.check(verity)?;
        self.finish(verity)
    }

    /// Returns true if a partition was left out that systemd would consider.
    pub(super) fn left_out_transient(&self) -> bool {
        self.selections.iter().any(|(_, selection)| *selection == Selection::Skipped(Skipped::Transient))
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
        let covered = verity.covers_bare_image();
        let uuid = match &probe.uuid {
            Some(fs::FsUuid::Uuid(uuid)) => Some(Guid::from_uuid(*uuid)),
            _ => None,
        };
        let protection = match (covered, verity.signature) {
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
            root_hash: verity.root_hash(Role::Root).or(verity.first()),
            external_verity: verity.external,
            verity_ready: covered,
            signature_ready: covered && verity.signature,
        };
        if let Some(policy) = &self.options.policy {
            policy.check_bare(Designator::Root, &dissected.facts(Designator::Root)).map_err(Error::Policy)?;
        }
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
        // in systemd's order; what is skipped before the policy counts as absent, by the policy as unused
        if partition.name.is_empty_slot() {
            return skip(Skipped::EmptySlot);
        }
        // a generic partition can become nothing but root
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

    /// D10: whether `new` is better than `old`, and by what.
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

    /// D9: decides whether it may be used at all.
    fn admit(&mut self, designator: Designator) -> Result<Decision, Error> {
        let Some(policy) = &self.options.policy else { return Ok(Decision::Use) };
        let decision = policy.admit(designator).map_err(Error::Policy)?;
        if decision == Decision::Ignore && !self.ignored.contains(&designator) {
            self.ignored.push(designator);
        }
        Ok(decision)
    }

    /// D4 to D7: why it belongs to something other than what is asked for, or `None` if it does not.
    fn foreign(
        &self,
        partition: &ddi_gpt::Partition,
        designator: Designator,
    ) -> Result<Option<Skipped>, Error> {
        if let Some(role) = Role::of(designator) {
            let is_data = role.data() == designator;
            // only its tree and signature are of no use then: the data may still be used as it is
            if !is_data && self.options.verity.is_none() {
                return Ok(Some(Skipped::VerityNotWanted));
            }
            let own = self.expected.iter().find(|(wanted, ..)| *wanted == role);
            match (own, self.expected.first()) {
                (None, Some((wanted, ..))) if !is_data => return Ok(Some(Skipped::OtherRole(*wanted))),
                (None, _) => {}
                (Some((_, data, hash)), _) => {
                    let expected = match designator {
                        _ if is_data => Some(*data),
                        _ if role.hash() == designator => Some(*hash),
                        _ => None,
                    };
                    if let Some(expected) = expected.filter(|expected| *expected != partition.guid) {
                        return Ok(Some(Skipped::OtherGuid { expected }));
                    }
                }
            }
            if let Some(known) = self.options.verity.and_then(|verity| verity.root_hash(role))
                && role.signature() == designator
            {
                // as since systemd 259: a signature that cannot be read is an error, not one to skip
                let found = self.image.signature(partition.number)?.root_hash;
                if found != known.hash {
                    return Ok(Some(Skipped::OtherSignature { found }));
                }
            }
        }
        // without a machine id `/var` may be anybody's: only who mounts it for a host has to match it
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
    fn consider_mbr(&mut self, partitions: &[mbr::Partition]) -> Result<(), Error> {
        self.skip_all(Skipped::Mbr);
        for partition in partitions {
            let designator = match partition.role() {
                Some(mbr::Role::GenericRoot) => Designator::Root,
                Some(mbr::Role::Xbootldr) => Designator::Xbootldr,
                None => continue,
            };
            // it has no label
            if !self.options.filter.matches(designator, "") {
                self.set(partition.number, Selection::Skipped(Skipped::Filter));
                continue;
            }
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
                    match self.admit(Designator::Xbootldr)? {
                        Decision::Ignore => {
                            self.set(partition.number, Selection::Skipped(Skipped::Policy));
                        }
                        Decision::Use => {
                            self.set(partition.number, Selection::Chosen(Designator::Xbootldr));
                            self.put(Designator::Xbootldr, pick);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// F: checks that it all goes together. What does not, but leaves each part to be judged by itself, is kept as
    /// [`discord`](Self::discord).
    fn check(&mut self, verity: VeritySettings) -> Result<(), Error> {
        let has = |this: &Self, designator| this.pick(designator).is_some();
        for role in Role::ALL {
            if !has(self, role.data()) && (has(self, role.hash()) || has(self, role.signature())) {
                return Err(match verity.root_hash(role) {
                    // it may well be there, under another root hash
                    Some(root_hash) => Error::NoDataForRootHash { role, root_hash },
                    None => Error::DataMissing { role },
                });
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
            self.discord.push(Error::ArchitecturesDiffer { root, usr });
        }
        let only_usr = verity.first().is_some() && verity.root_hash(Role::Root).is_none();
        if !has(self, Designator::Root)
            && !has(self, Designator::Usr)
            && self.options.generic_root
            && !only_usr
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
                self.discord.push(Error::RootAndUsrVerity);
            } else if has(self, Designator::Usr) {
                self.discord.push(Error::RootVerityWithUsr);
            }
        }
        // a signature is reason enough for systemd never to write to what it is for
        let signed = Role::ALL.into_iter().filter(|role| self.pick(role.signature()).is_some());
        for role in signed.collect::<Vec<_>>() {
            if let Some(Some(data)) = self.picks.get_mut(index(role.data())) {
                data.rw = false;
            }
        }
        for root_hash in Role::ALL.into_iter().filter_map(|role| verity.root_hash(role)) {
            let role = root_hash.role;
            if !has(self, role.data()) {
                return Err(Error::NoDataForRootHash { role, root_hash });
            }
            if !has(self, role.hash()) {
                return Err(Error::NoHashForRootHash { role, root_hash });
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
        // systemd sets up one only, and looks for root first
        let role = Role::ALL.into_iter().find(|role| has(role.hash()));
        let mut root_hash = role.and_then(|role| verity.root_hash(role)).or(verity.first());
        let has_signature = verity.signature && verity.first() == root_hash;
        let mut signature = has_signature;
        if let Some(role) = role.filter(|_| self.options.verity.is_some()) {
            let number_of = |designator| partitions.iter().find(|p| p.designator == designator);
            if let Some(found) = number_of(role.signature())
                && let Some(number) = found.number
                && !has_signature
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

    /// I: finds out what is in it.
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
                // systemd 261 looks for few kinds only; earlier versions for all, and saw that there are two
                let probe = self.image.probe(pick.number).map_or(Ok(None), ProbeResult::agreed);
                let partition = Some(pick.number);
                let probe =
                    probe.map_err(|error| Error::AmbiguousFileSystem { designator, partition, error })?;
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
