//! Which partition a new version would go to (sysupdate.d(5), *partition*; `resource_load_from_blockdev`,
//! `find_suitable_partition`, `transfer_vacuum`).

use std::cmp::Ordering;

use ddi_gpt::{Gpt, compare_versions, partial_type, pending_type};

use super::{Target, Transfer};

/// The label of a free slot.
const FREE: &str = "_empty";

/// What is in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotContent {
    /// Nothing: its label is `_empty`.
    Free,
    /// A version.
    Installed(String),
    /// A version that was not written to its end: the partition has the type that systemd-sysupdate 260 gives it meanwhile.
    Partial(String),
    /// A version that is complete and not yet to be used, by the partition's type.
    Pending(String),
    /// Something else: it is left alone.
    Other,
}

/// A partition of the type that a transfer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// Number of the partition.
    pub number: u32,
    /// Its label.
    pub label: String,
    /// Its bytes.
    pub size: u64,
    /// What is in it.
    pub content: SlotContent,
}

/// What would happen to the slots of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Free slots and installed versions, newest first, then the others.
    pub slots: Vec<Slot>,
    /// The version is there already: nothing happens.
    pub installed: bool,
    /// Slots that are freed before: what was not completed or not used, then the oldest version first.
    pub vacuumed: Vec<u32>,
    /// The slot that would be taken: the smallest one that is free, and large enough.
    pub chosen: Option<u32>,
}

impl Slot {
    fn version(&self) -> Option<&str> {
        match &self.content {
            SlotContent::Installed(version) => Some(version),
            _ => None,
        }
    }

    /// What an update left that did not come to its end.
    fn is_left_over(&self) -> bool {
        matches!(self.content, SlotContent::Partial(_) | SlotContent::Pending(_))
    }

    fn any_version(&self) -> Option<&str> {
        match &self.content {
            SlotContent::Installed(version)
            | SlotContent::Partial(version)
            | SlotContent::Pending(version) => Some(version),
            SlotContent::Free | SlotContent::Other => None,
        }
    }
}

impl Plan {
    /// For a version whose file has so many bytes, unpacked, by `@s` in its name: without that, the smallest free slot is
    /// taken, even if it turns out to be too small. `None` if the transfer is for no partition.
    ///
    /// Slots are freed before it is known whether one is large enough (as seen with systemd-sysupdate 257).
    pub fn new(gpt: &Gpt, transfer: &Transfer, version: &str, size: Option<u64>) -> Option<Self> {
        let target = transfer.target.as_ref().filter(|target| target.is_partition())?;
        let slots = slots(gpt, target);
        let same = |a: &str, b: &str| compare_versions(a, b) == Ordering::Equal;
        let installed = slots.iter().any(|slot| match &slot.content {
            SlotContent::Installed(known) | SlotContent::Pending(known) => same(known, version),
            _ => false,
        });
        let is_slot = |slot: &&Slot| slot.content != SlotContent::Other;
        let slot_count = u64::try_from(slots.iter().filter(is_slot).count()).unwrap_or(u64::MAX);
        let limit = transfer.instances_max.map_or(slot_count, |most| most.min(slot_count));
        let mut used: Vec<_> = slots.iter().filter(|slot| slot.version().is_some()).collect();
        let left_over = slots.iter().filter(|slot| !installed && slot.is_left_over());
        let mut vacuumed: Vec<u32> = left_over.map(|slot| slot.number).collect();
        let used_count = |used: &Vec<&Slot>| u64::try_from(used.len()).unwrap_or(u64::MAX);
        // one more than there are must be allowed
        while !installed && used_count(&used) >= limit {
            let is_protected = |slot: &&Slot| {
                transfer.protect_version.as_ref().zip(slot.version()).is_some_and(|(a, b)| same(a, b))
            };
            // the oldest is the last
            let Some(at) = used.iter().rposition(|slot| !is_protected(slot)) else { break };
            vacuumed.push(used.remove(at).number);
        }
        let is_free = |slot: &&Slot| slot.content == SlotContent::Free || vacuumed.contains(&slot.number);
        let fits = |slot: &&Slot| size.is_none_or(|size| slot.size >= size);
        let free = slots.iter().filter(|_| !installed).filter(is_free).filter(fits);
        let chosen = free.min_by_key(|slot| (slot.size, slot.number)).map(|slot| slot.number);
        Some(Plan { slots, installed, vacuumed, chosen })
    }

    /// How many of the slots can be used: free, or with a version in them, whole or not.
    pub fn usable(&self) -> usize {
        self.slots.iter().filter(|slot| slot.content != SlotContent::Other).count()
    }
}

fn slots(gpt: &Gpt, target: &Target) -> Vec<Slot> {
    let (partial, pending) = (partial_type(target.partition_type), pending_type(target.partition_type));
    let slot = |partition: &ddi_gpt::Partition| {
        let content: fn(String) -> SlotContent = match partition.type_guid {
            guid if guid == target.partition_type => SlotContent::Installed,
            guid if guid == partial => SlotContent::Partial,
            guid if guid == pending => SlotContent::Pending,
            _ => return None,
        };
        let label = partition.name.to_string();
        let version =
            || target.patterns.iter().find_map(|pattern| pattern.fields(&label)).map(|found| found.version);
        let content = match label == FREE {
            true => SlotContent::Free,
            false => version().map_or(SlotContent::Other, content),
        };
        Some(Slot { number: partition.number, label, size: partition.range.size, content })
    };
    let mut slots: Vec<_> = gpt.partitions().iter().filter_map(slot).collect();
    let rank = |slot: &Slot| match slot.content {
        SlotContent::Free => 0,
        SlotContent::Installed(_) => 1,
        SlotContent::Partial(_) | SlotContent::Pending(_) => 2,
        SlotContent::Other => 3,
    };
    let version = |slot: &Slot| slot.any_version().unwrap_or_default().to_owned();
    slots.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| compare_versions(&version(b), &version(a))));
    slots
}

#[cfg(test)]
mod tests {
    use ddi_gpt::Guid;

    use super::*;
    use crate::sysupdate::Pattern;
    use ddi_core::Image;
    use ddi_core::steps::Table;
    use ddi_testing::{Disk, type_guid};

    const BLOCK: usize = 4096;

    fn plan(labels: &[(&str, usize)], transfer: &Transfer, version: &str, size: Option<u64>) -> Plan {
        let mut disk = Disk::new();
        for (label, blocks) in labels {
            disk = disk.part("root-x86-64", label, &vec![1; blocks * BLOCK]);
        }
        let image = Image::new(Box::new(disk.bytes())).unwrap();
        let Table::Gpt(gpt) = image.table() else { panic!("no table") };
        Plan::new(gpt, transfer, version, size).unwrap()
    }

    fn transfer() -> Transfer {
        let pattern: Pattern = "os_@v".parse().unwrap();
        let mut transfer = Transfer::new(pattern.clone());
        let root = Target::partition_type("root-x86-64").unwrap();
        transfer.target = Some(Target::partition(root, pattern));
        transfer
    }

    #[test]
    fn plans() {
        let size = Some(2 * BLOCK as u64);
        let mut protecting = transfer();
        protecting.protect_version = Some("1".to_owned());
        let mut two = transfer();
        two.instances_max = Some(2);
        let plain = transfer();
        // each of these was done by systemd-sysupdate 257, which did the same
        for (labels, transfer, version, size, vacuumed, chosen) in [
            // the smallest that is large enough
            (
                &[("_empty", 4), ("_empty", 1), ("_empty", 3), ("os_1", 2)][..],
                &plain,
                "2",
                size,
                &[][..],
                Some(3),
            ),
            (&[("_empty", 4), ("_empty", 1)], &plain, "2", None, &[], Some(2)),
            (&[("_empty", 1), ("os_1", 4)], &plain, "2", size, &[], None),
            // nothing free: the oldest goes
            (&[("os_10", 2), ("os_9", 2)], &plain, "11", size, &[2], Some(2)),
            (&[("os_1", 2), ("os_2", 2)], &protecting, "3", size, &[2], Some(2)),
            (&[("os_1", 2)], &protecting, "3", size, &[], None),
            (&[("os_2", 4), ("os_1", 1)], &plain, "3", size, &[2], None),
            (&[("_empty", 2), ("os_1", 2), ("_empty", 2)], &plain, "3", size, &[], Some(1)),
            // others are no slots
            (&[("os_1", 2), ("home", 2), ("os_2", 2)], &plain, "3", size, &[1], Some(1)),
            // three slots, and only two may be used
            (&[("os_1", 2), ("os_2", 2), ("_empty", 2)], &two, "3", size, &[1], Some(1)),
            // it is there
            (&[("os_1", 2), ("os_2", 2), ("_empty", 2)], &plain, "2", size, &[], None),
        ] {
            let plan = plan(labels, transfer, version, size);
            assert_eq!((&plan.vacuumed[..], plan.chosen), (vacuumed, chosen), "{labels:?}");
            assert_eq!(plan.installed, version == "2" && labels.iter().any(|(label, _)| *label == "os_2"));
        }
    }

    /// What an update left half-way is freed before anything that is in use.
    #[test]
    fn what_was_left_half_way() {
        let left = |of: fn(Guid) -> Guid, label: &str, version: &str| {
            let disk = Disk::new().part("root-x86-64", "os_1", &[1; BLOCK]);
            let disk = disk.part("root-x86-64", label, &[1; BLOCK]);
            let image =
                Image::new(Box::new(disk.edit(|part| part.type_guid = of(part.type_guid)).bytes())).unwrap();
            let Table::Gpt(gpt) = image.table() else { panic!("no table") };
            let plan = Plan::new(gpt, &transfer(), version, None).unwrap();
            (plan.usable(), plan.installed, plan.vacuumed, plan.chosen)
        };
        assert_eq!(left(|of| of, "os_2", "3"), (2, false, vec![1], Some(1)));
        assert_eq!(left(partial_type, "os_2", "3"), (2, false, vec![2], Some(2)));
        assert_eq!(left(partial_type, "os_2", "2"), (2, false, vec![2], Some(2)));
        assert_eq!(left(partial_type, "_empty", "2"), (2, false, vec![], Some(2)));
        assert_eq!(left(partial_type, "other", "2"), (1, false, vec![1], Some(1)));
        assert_eq!(left(pending_type, "os_2", "3"), (2, false, vec![2], Some(2)));
        // it only has to be put to use
        assert_eq!(left(pending_type, "os_2", "2"), (2, true, vec![], None));
        assert_eq!(left(|_| type_guid("home"), "os_2", "2").0, 1);
    }

    /// What is in use comes before a newer one that was left half-way.
    #[test]
    fn what_is_in_use_comes_first() {
        for half_way in [partial_type, pending_type] {
            let disk =
                Disk::new().part("root-x86-64", "os_9", &[1; BLOCK]).part("root-x86-64", "os_1", &[1; BLOCK]);
            let disk = disk.edit_number(1, |part| part.type_guid = half_way(part.type_guid));
            let image = Image::new(Box::new(disk.bytes())).unwrap();
            let Table::Gpt(gpt) = image.table() else { panic!("no table") };
            let plan = Plan::new(gpt, &transfer(), "11", None).unwrap();
            assert_eq!(plan.slots.iter().map(|slot| slot.number).collect::<Vec<_>>(), [2, 1]);
        }
    }

    #[test]
    fn slots_in_order() {
        let labels = [("os_9", 1), ("other", 1), ("_empty", 1), ("os_10", 1)];
        let plan = plan(&labels, &transfer(), "11", None);
        let numbers: Vec<_> = plan.slots.iter().map(|slot| slot.number).collect();
        assert_eq!((numbers, plan.usable()), (vec![3, 4, 1, 2], 3));
        let mut file = transfer();
        file.target.as_mut().unwrap().kind = "regular-file".to_owned();
        let image = Image::new(Box::new(Disk::new().part("root-x86-64", "a", &[1; BLOCK]).bytes())).unwrap();
        let Table::Gpt(gpt) = image.table() else { panic!("no table") };
        assert!(Plan::new(gpt, &file, "1", None).is_none());
    }
}
