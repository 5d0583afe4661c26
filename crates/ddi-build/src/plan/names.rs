//! Labels, GUIDs, attributes, and names of split files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ddi_gpt::{Attributes, Designator, Guid, PartitionType};

use super::planner::{Part, Planner, type_guid};
use super::{Plan, PlannedPartition};
use crate::definitions::{Definition, Notice, VerityRole};
use crate::error::{Error, Place, PlanFault, ValueFault};

/// Bits that libfdisk takes as numbers; with any other one systemd-repart writes none.
const BITS_OF_THE_TYPE: u64 = 0xffff << 48;
/// Bytes of a file name.
const MAX_FILE_NAME: usize = 255;
/// Stands in a name for the partition's GUID, which may still have to follow from a root hash.
const GUID_MARK: char = '\0';

/// The name of a split file, with a mark where the partition's GUID goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SplitName {
    template: String,
    place: Place,
}

fn hex(guid: Guid) -> String {
    format!("{:032x}", guid.to_u128())
}

impl Planner<'_> {
    /// Gives each partition of the list its label.
    pub(crate) fn label(&mut self) {
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        let mut labels = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let current = part.existing.as_ref().map(|existing| existing.label.clone());
            let wanted = part.definition.and_then(|index| self.definition(index)?.label.clone());
            let label = match (current.filter(|label| !label.is_empty()), wanted) {
                (Some(current), _) => current,
                (None, Some(wanted)) => wanted,
                (None, None) => {
                    let base = match part.kind {
                        PartitionType::Unknown(_) => "linux".to_owned(),
                        known => known.name(),
                    };
                    let mut label = base.clone();
                    let counter = next.entry(base.clone()).or_insert(1);
                    while taken.contains(&label) {
                        *counter = counter.saturating_add(1);
                        label = format!("{base}-{counter}");
                    }
                    label
                }
            };
            taken.insert(label.clone());
            labels.push(label);
        }
        for (part, label) in self.parts.iter_mut().zip(labels) {
            part.label = label;
        }
    }

    /// Gives each partition of the list its GUID, and the one that its other ids are derived from.
    pub(crate) fn guids(&mut self) -> Result<(), Error> {
        let seed = self.options.seed;
        let mut counts: BTreeMap<Guid, u64> = BTreeMap::new();
        let existing = self.parts.iter().filter_map(|part| Some(part.existing.as_ref()?.guid));
        let set = self.parts.iter().filter(|part| part.existing.is_none());
        let set = set.filter_map(|part| part.definition.and_then(|index| self.definition(index)?.uuid));
        let mut taken: BTreeSet<Guid> = BTreeSet::new();
        for guid in existing.chain(set).filter(|guid| !guid.is_nil()) {
            if !taken.insert(guid) {
                return Err(PlanFault::GuidTwice { guid }.into());
            }
        }
        let mut guids = Vec::with_capacity(self.parts.len());
        let mut replaced = Vec::new();
        for part in &self.parts {
            let kind = type_guid(part.kind);
            let count = counts.entry(kind).or_default();
            let derived = seed.partition_guid(kind, *count);
            *count = count.saturating_add(1);
            let definition = part.definition.and_then(|index| self.definition(index));
            let follows = matches!(
                definition.and_then(|definition| definition.verity),
                Some(VerityRole::Data | VerityRole::Hash)
            );
            let current = part.existing.as_ref().map(|existing| existing.guid).filter(|guid| !guid.is_nil());
            let guid = match (current, definition.and_then(|definition| definition.uuid)) {
                (Some(current), _) => Some(current),
                (None, Some(set)) => Some(set),
                (None, None) if follows && part.existing.is_none() => None,
                (None, None) if taken.insert(derived) => Some(derived),
                (None, None) => {
                    // systemd-repart takes a random one; the disk's own seeds this one, so that it stays the same
                    let mut other = seed.partition_guid(derived, *count);
                    while !taken.insert(other) {
                        other = seed.partition_guid(other, *count);
                    }
                    let place = definition.map(|definition| definition.place("Type"));
                    replaced.extend(place.map(|place| Notice {
                        place,
                        text: format!("another partition has the GUID {derived}: {other} is taken"),
                    }));
                    Some(other)
                }
            };
            guids.push((guid, derived));
        }
        self.notices.append(&mut replaced);
        for (part, (guid, derived)) in self.parts.iter_mut().zip(guids) {
            (part.guid, part.derived) = (guid, derived);
        }
        Ok(())
    }

    /// The attributes of a new partition.
    pub(crate) fn attributes(&self, definition: &Definition) -> Attributes {
        let compatibility = self.compatibility();
        let kind = definition.partition_type;
        let known = settable(kind, compatibility.is_new());
        let is_derived = kind.designator().is_some_and(|designator| designator.data_of().is_some());
        let by_default = (is_derived || definition.verity == Some(VerityRole::Data)).then_some(true);
        let read_only = definition.read_only.or(by_default);
        let is_read_only = read_only == Some(true);
        let grows = match definition.grow_file_system {
            // not heeded by systemd-repart: only what is read-only does not grow
            Some(false) if compatibility.is_exact() => !is_read_only,
            Some(grows) => grows,
            None => !is_read_only,
        };
        let mut bits = definition.flags;
        if compatibility.is_exact() && bits & !BITS_OF_THE_TYPE != 0 {
            return Attributes::default();
        }
        for (flag, setting) in [
            (Attributes::NO_AUTO, definition.no_auto),
            (Attributes::READ_ONLY, read_only),
            (Attributes::GROW_FILE_SYSTEM, Some(grows)),
        ] {
            match setting {
                Some(true) if known.contains(flag) => bits |= flag.0,
                Some(false) if known.contains(flag) => bits &= !flag.0,
                _ => {}
            }
        }
        Attributes(bits)
    }

    /// Tells of attributes that the type does not know.
    pub(crate) fn attribute_notices(&mut self) {
        let mut notices = Vec::new();
        for definition in &self.definitions.list {
            let known = settable(definition.partition_type, self.compatibility().is_new());
            for (key, flag, set) in [
                ("NoAuto", Attributes::NO_AUTO, definition.no_auto),
                ("ReadOnly", Attributes::READ_ONLY, definition.read_only),
                ("GrowFileSystem", Attributes::GROW_FILE_SYSTEM, definition.grow_file_system),
            ] {
                if set == Some(true) && !known.contains(flag) && definition.is_set(key) {
                    let text =
                        format!("{key}= means nothing on a partition of type {}", definition.partition_type);
                    notices.push(Notice { place: definition.place(key), text });
                }
            }
        }
        self.notices.append(&mut notices);
    }

    /// The name of its file, if it becomes one.
    pub(crate) fn split_name(
        &self,
        part: &Part,
        definition: &Definition,
    ) -> Result<Option<SplitName>, Error> {
        let format = definition.split_name.as_deref().unwrap_or("%t");
        if format == "-" {
            return Ok(None);
        }
        let place = definition.place("SplitName");
        let more = |letter| match letter {
            't' => Some(part.kind.name()),
            'T' => Some(hex(type_guid(part.kind))),
            'U' => Some(GUID_MARK.to_string()),
            'n' => Some(part.number.to_string()),
            _ => None,
        };
        let none = crate::specifiers::Specifiers::new(None);
        let specifiers = self.definitions.specifiers.as_ref().unwrap_or(&none);
        let fail = |name: &str, fault| {
            Error::from(PlanFault::SplitName { place: place.clone(), name: name.to_owned(), fault })
        };
        let template =
            specifiers.expand(format, &more).map_err(|fault| fail(format, ValueFault::Specifier(fault)))?;
        let is_name = !template.is_empty()
            && template.len() <= MAX_FILE_NAME
            && !template.chars().any(|letter| letter == '/' || letter != GUID_MARK && letter.is_control());
        if !is_name {
            return Err(fail(&template.replace(GUID_MARK, "%U"), ValueFault::NotAFileName));
        }
        Ok(Some(SplitName { template, place }))
    }
}

/// The attributes that systemd-repart sets on this type, at all.
fn settable(kind: PartitionType, is_new: bool) -> Attributes {
    use Designator as D;
    let (no_auto, read_only) = (Attributes::NO_AUTO, Attributes::READ_ONLY);
    match kind.designator() {
        Some(D::Root | D::Usr | D::Home | D::Srv | D::Var | D::Tmp | D::Xbootldr) => {
            no_auto | read_only | Attributes::GROW_FILE_SYSTEM
        }
        Some(D::RootVerity | D::UsrVerity) => no_auto | read_only,
        Some(D::RootVeritySig | D::UsrVeritySig) if is_new => read_only,
        Some(D::Swap) => no_auto,
        _ => Attributes::default(),
    }
}

impl PlannedPartition {
    /// The name as it is so far; `%U` stands in it for a GUID that is not known.
    fn split_name(&self) -> Option<String> {
        let name = self.split_name.as_ref()?;
        let guid = self.guid.map_or_else(|| "%U".to_owned(), hex);
        Some(name.template.replace(GUID_MARK, &guid))
    }
}

impl Plan {
    /// The file that this partition becomes with `--split`. While its GUID is to follow from a root hash, `%U` stands for it.
    pub fn split_path(&self, partition: &PlannedPartition) -> Option<PathBuf> {
        let name = crate::split::file_name(self.image.file_name()?, &partition.split_name()?);
        Some(self.image.with_file_name(name))
    }

    /// No two partitions become one file, nor the image itself.
    pub(crate) fn check_split_names(&self) -> Result<(), Error> {
        let mut names: BTreeMap<PathBuf, &Place> = BTreeMap::new();
        for partition in &self.partitions {
            let (Some(path), Some(name)) = (self.split_path(partition), &partition.split_name) else {
                continue;
            };
            // GUIDs from root hashes are never alike
            if partition.guid.is_none() && name.template.contains(GUID_MARK) {
                continue;
            }
            let shown = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if shown.len() > MAX_FILE_NAME {
                let fault = ValueFault::NotAFileName;
                return Err(PlanFault::SplitName { place: name.place.clone(), name: shown, fault }.into());
            }
            if let Some(first) = names.insert(path, &name.place) {
                let (first, second) = (first.clone(), name.place.clone());
                return Err(PlanFault::SplitClash { first, second, name: shown }.into());
            }
        }
        Ok(())
    }
}
