//! Golden images: whether there is anything in an image that is one machine's own, and what its first boot would add.

mod repart;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ddi_gpt::{Architecture, ByteRange, Designator, Gpt, Partition, PartitionType};

use super::extension::is_about_content;
use super::{CheckReport, Subject, absent_is_none, find, is_machine_id, names};
use crate::metadata::{self, EnvFile, Fact, MAX_FILE, MachineId, Metadata};
use ddi_core::Assurance;
use ddi_core::Image;
use ddi_core::Severity;
use ddi_core::steps::Table;
use ddi_core::steps::{Contents, Files};
use ddi_core::{MountError, Mounted};
use ddi_fs::FsKind;
use ddi_fs::{FileType, Place, Vfs};

const BUILDING: &str = "systemd, Safely Building Images";
const OWN: &str = "ddi: in the spirit of systemd, Safely Building Images";
const MACHINE_ID: &str = "machine-id(5)";
const DPS: &str = "Discoverable Partitions Specification";

/// Most slots that are looked into besides those of the system that would be booted.
const MAX_SLOTS: usize = 64;

/// What is one machine's own, and where: error code, path, rule, and what it is.
const SECRETS: [(&str, &[u8], &str, &str); 3] = [
    (
        "random-seed",
        b"/var/lib/systemd/random-seed",
        BUILDING,
        "every machine would start with the same random seed",
    ),
    (
        "credential-secret",
        b"/var/lib/systemd/credential.secret",
        BUILDING,
        "every machine would have the same key for its credentials",
    ),
    (
        "network-manager-secret",
        b"/var/lib/NetworkManager/secret_key",
        OWN,
        "every machine would derive its stable addresses from the same key",
    ),
];

/// Goes through what a golden image should not hold, and through what its first boot would add to its partition table.
///
/// The report's assurance is that of the root and `/usr` file systems; others, which nothing can protect, are read as they
/// are and named in the fact `unprotected`. Of several slots for a system each is looked into, also those that would not be
/// booted now.
///
/// # Errors
/// If the file systems cannot be opened, or cannot be read.
pub fn golden(image: &Image, contents: &Contents<'_>) -> Result<CheckReport, MountError> {
    let system = contents.system()?;
    let (whole, left_out) = contents.whole()?;
    let mut report = CheckReport::new("golden", system.assurance());
    for (designator, why) in &left_out {
        let subject = Subject::Partition { number: None, designator: Some(*designator) };
        not_looked_at(&mut report, subject, why);
    }
    let facts = Facts::read(&system.tree)?;
    identity(&mut report, facts.os_release);
    let others = match image.table() {
        Table::Gpt(gpt) => others(&mut report, image, gpt, contents, &whole, &left_out),
        _ => Vec::new(),
    };
    let unprotected =
        whole.mounted.iter().filter(|other| !is_system(other)).filter_map(|other| other.designator);
    let unprotected = unprotected.map(|designator| designator.name().to_owned());
    let claimed = others.iter().filter(|other| other.mounted.assurance == Assurance::Claimed);
    let claimed = claimed.map(|other| format!("{} (partition {})", other.designator.name(), other.number));
    report.fact("unprotected", unprotected.chain(claimed).collect::<Vec<_>>());
    let root = system.mounted.iter().find(|mounted| mounted.designator == Some(Designator::Root));
    if let Ok(found) = &facts.machine_id {
        let state = found.as_ref().map_or(MachineId::Missing, |found| found.value);
        let shown = if let MachineId::Id(_) = state { "set".to_owned() } else { state.to_string() };
        report.fact("machine-id", [shown]);
        report.fact("first-boot", [if state.is_first_boot() { "yes" } else { "no" }]);
    }
    machine_id(&mut report, b"", &facts.machine_id, root);
    names_of_the_machine(&mut report, b"", &facts.hostname, &facts.machine_info);
    secrets(&mut report, b"", &whole.tree)?;
    named_by_machine_id(&mut report, b"", &whole.tree)?;
    for other in others {
        let place = format!("partition {}:", other.number).into_bytes();
        let tree = match other.designator {
            Designator::Usr => Vfs::new(None).with_mount(b"usr", Arc::clone(&other.mounted.fs)),
            _ => Vfs::new(Some(Arc::clone(&other.mounted.fs))),
        };
        let facts = Facts::read(&tree)?;
        if other.designator == Designator::Root {
            machine_id(&mut report, &place, &facts.machine_id, Some(&other.mounted));
        }
        names_of_the_machine(&mut report, &place, &facts.hostname, &facts.machine_info);
        secrets(&mut report, &place, &tree)?;
        named_by_machine_id(&mut report, &place, &tree)?;
    }
    // one that cannot be opened was left out, and said so
    if let Some(Ok(esp)) = contents.designated(Designator::Esp) {
        boot_loader(&mut report, &Files::from(esp).tree)?;
    }
    if let Table::Gpt(gpt) = image.table() {
        table(&mut report, image, gpt, contents);
        growth(&mut report, image, gpt, &system.tree)?;
    }
    image.meter().check().map_err(MountError::FileSystem)?;
    Ok(report)
}

/// A slot for a system that is not the one that would be booted.
struct Other {
    number: u32,
    designator: Designator,
    mounted: Mounted,
}

/// Opens the root and `/usr` slots that are not in `whole`, and says which partitions with data nobody looks into.
fn others(
    report: &mut CheckReport,
    image: &Image,
    gpt: &Gpt,
    contents: &Contents<'_>,
    whole: &Files,
    left_out: &[(Designator, MountError)],
) -> Vec<Other> {
    let mounted: BTreeSet<u32> = whole.mounted.iter().filter_map(|mounted| mounted.number).collect();
    // said already
    let said: BTreeSet<u32> =
        left_out.iter().filter_map(|(designator, _)| contents.number_of(*designator)).collect();
    let mut others = Vec::new();
    for partition in gpt.partitions() {
        let number = partition.number;
        if mounted.contains(&number) || said.contains(&number) || partition.name.is_empty_slot() {
            continue;
        }
        let kind = partition.partition_type();
        let subject = Subject::Partition { number: Some(number), designator: kind.designator() };
        let why: &dyn fmt::Display = match kind {
            PartitionType::Designated(designator @ (Designator::Root | Designator::Usr), _)
                if others.len() < MAX_SLOTS =>
            {
                match contents.partition(number) {
                    Some(Ok(mounted)) => others.push(Other { number, designator, mounted }),
                    Some(Err(error)) => not_looked_at(report, subject, &error),
                    None => {}
                }
                continue;
            }
            PartitionType::Designated(Designator::Root | Designator::Usr, _) => &"there are too many slots",
            // no file system is in these
            PartitionType::Designated(Designator::Swap, _) => continue,
            PartitionType::Designated(designator, _) if designator.data_of().is_some() => continue,
            PartitionType::Unknown(_)
                if image.probe(number).is_none_or(|looked| matches!(looked.any(), Ok(None))) =>
            {
                continue;
            }
            _ => &"it is not mounted with the system",
        };
        not_looked_at(report, subject, why);
    }
    others
}

fn not_looked_at(report: &mut CheckReport, subject: Subject, why: &dyn fmt::Display) {
    report.find(Severity::Warning, "not-looked-at", subject, format!("it was not looked at: {why}"), OWN);
}

fn is_system(mounted: &Mounted) -> bool {
    matches!(mounted.designator, Some(Designator::Root | Designator::Usr) | None)
}

/// What the files say that a golden image is asked for. Problems are those of the content: what cannot be read, or is not
/// what the hash tree says, is none of them.
struct Facts {
    os_release: Fact<EnvFile>,
    machine_id: Fact<MachineId>,
    hostname: Fact<String>,
    machine_info: Fact<EnvFile>,
}

impl Facts {
    fn read(tree: &Vfs) -> Result<Self, MountError> {
        fn readable<T>(fact: Fact<T>) -> Result<Fact<T>, MountError> {
            match fact {
                Err(metadata::Error::File(error)) if !is_about_content(&error) => {
                    Err(MountError::FileSystem(error))
                }
                fact => Ok(fact),
            }
        }
        let found = Metadata::read(tree, None);
        Ok(Facts {
            os_release: readable(found.os_release)?,
            machine_id: readable(found.machine_id)?,
            hostname: readable(found.hostname)?,
            machine_info: readable(found.machine_info)?,
        })
    }
}

/// What the image calls itself.
fn identity(report: &mut CheckReport, os_release: Fact<EnvFile>) {
    let path = b"/etc/os-release".to_vec();
    let os = match os_release {
        Ok(Some(found)) => found,
        Ok(None) => {
            let reason = "there is no os-release: nothing says what this is";
            report.find(Severity::Warning, "no-os-release", Subject::Path(path), reason, "os-release(5)");
            return;
        }
        Err(error) => {
            let (reason, subject) = (error.to_string(), Subject::Path(path));
            report.find(Severity::Error, "os-release-unreadable", subject, reason, "os-release(5)");
            return;
        }
    };
    for (key, code) in [("IMAGE_ID", "no-image-id"), ("IMAGE_VERSION", "no-image-version")] {
        if os.value.get_non_empty(key).is_none() {
            let subject = Subject::Field { path: os.path.clone(), key: key.into() };
            let reason = "it is not set: the image cannot be told from others";
            report.find(Severity::Note, code, subject, reason, BUILDING);
        }
    }
    let value = |key| os.value.get_non_empty(key).unwrap_or("-");
    report.fact("image", [format!("{} {}", value("IMAGE_ID"), value("IMAGE_VERSION"))]);
}

/// A path in the slot that `place` names; empty for the system that would be booted.
fn at(place: &[u8], path: &[u8]) -> Subject {
    Subject::Path([place, path].concat())
}

fn machine_id(report: &mut CheckReport, place: &[u8], found: &Fact<MachineId>, root: Option<&Mounted>) {
    let subject = at(place, b"/etc/machine-id");
    let state = match found {
        Ok(found) => found.as_ref().map_or(MachineId::Missing, |found| found.value),
        Err(error) => {
            let reason = error.to_string();
            return report.find(Severity::Error, "machine-id-unreadable", subject, reason, MACHINE_ID);
        }
    };
    match state {
        MachineId::Id(_) => {
            let reason = "every machine would have this ID, and what is derived from it";
            report.find(Severity::Error, "machine-id", subject, reason, BUILDING);
        }
        MachineId::Invalid => {
            let reason =
                "it is neither absent, empty nor uninitialized, and no ID that all programs would take";
            report.find(Severity::Error, "machine-id-invalid", subject, reason, MACHINE_ID);
        }
        MachineId::Empty => {
            let reason = "an empty file gets an ID, but its boot is not taken for the first one";
            report.find(Severity::Note, "machine-id-empty", subject, reason, MACHINE_ID);
        }
        MachineId::Missing => {
            if root.is_some_and(|root| !root.is_writable()) {
                let reason =
                    "the root file system is read-only: there is no file that an ID could be mounted over";
                report.find(Severity::Note, "machine-id-missing", subject, reason, MACHINE_ID);
            }
        }
        MachineId::Uninitialized => {}
    }
}

fn names_of_the_machine(
    report: &mut CheckReport,
    place: &[u8],
    hostname: &Fact<String>,
    machine_info: &Fact<EnvFile>,
) {
    fn problem<T>(fact: &Fact<T>) -> Option<String> {
        match fact {
            Ok(None) => None,
            Ok(Some(_)) => Some("every machine would be called so".into()),
            Err(error) => Some(format!("it is there, and cannot be understood: {error}")),
        }
    }
    for (path, code, reason) in [
        (&b"/etc/hostname"[..], "hostname", problem(hostname)),
        (b"/etc/machine-info", "machine-info", problem(machine_info)),
    ] {
        if let Some(reason) = reason {
            report.find(Severity::Note, code, at(place, path), reason, BUILDING);
        }
    }
}

fn secrets(report: &mut CheckReport, place: &[u8], tree: &Vfs) -> Result<(), MountError> {
    for (code, path, rule, reason) in SECRETS {
        if find(tree, path)?.is_some() {
            report.find(Severity::Error, code, at(place, path), reason, rule);
        }
    }
    for (name, file) in names(tree, b"/etc/ssh")? {
        let is_key = name.starts_with(b"ssh_host_") && name.ends_with(b"_key");
        if is_key && tree.stat(file).map_err(MountError::FileSystem)?.file_type != FileType::Directory {
            let path = [b"/etc/ssh/", &*name].concat();
            let reason = "every machine would have this private key";
            report.find(Severity::Error, "ssh-host-key", at(place, &path), reason, OWN);
        }
    }
    // a link to /etc/machine-id is as good as none
    let dbus = b"/var/lib/dbus/machine-id";
    if let Some(file) = absent_is_none(tree.resolve_link(dbus))?
        && tree.stat(file).map_err(MountError::FileSystem)?.file_type == FileType::Regular
        && short_text(tree, file)?.is_some_and(|id| is_machine_id(id.trim_ascii()))
    {
        let reason = "every machine would have this ID; a link to /etc/machine-id would not";
        report.find(Severity::Error, "dbus-machine-id", at(place, dbus), reason, OWN);
    }
    let home = b"/root";
    for (name, _) in names(tree, home)? {
        if name.starts_with(b".") && name.ends_with(b"_history") {
            let path = [home, b"/".as_slice(), &name].concat();
            let reason = "it tells how the image was made";
            report.find(Severity::Note, "shell-history", at(place, &path), reason, OWN);
        }
    }
    Ok(())
}

/// The content of a regular file that is not too large for an ID.
fn short_text(tree: &Vfs, file: Place) -> Result<Option<Vec<u8>>, MountError> {
    match tree.read(file, MAX_FILE) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_about_content(&error) => Ok(None),
        Err(error) => Err(MountError::FileSystem(error)),
    }
}

/// What has the machine's ID in its name.
fn named_by_machine_id(report: &mut CheckReport, place: &[u8], tree: &Vfs) -> Result<(), MountError> {
    for (name, _) in names(tree, b"/var/log/journal")? {
        if is_machine_id(&name) {
            let path = [b"/var/log/journal/", &*name].concat();
            let reason = "the journal of the machine that made the image";
            report.find(Severity::Warning, "journal", at(place, &path), reason, OWN);
        }
    }
    let path = b"/etc/kernel/entry-token";
    match find(tree, path)? {
        Some(file) if short_text(tree, file)?.is_some_and(|token| is_machine_id(token.trim_ascii())) => {
            let reason = "boot menu entries are named by the ID of one machine";
            report.find(Severity::Warning, "entry-token", at(place, path), reason, BUILDING);
        }
        None if find(tree, b"/usr/bin/kernel-install")?.is_some() => {
            let reason = "kernel-install would name boot menu entries by the machine ID, which is not known yet: \
                          IMAGE_ID or ID could be written here";
            report.find(Severity::Note, "no-entry-token", at(place, path), reason, BUILDING);
        }
        _ => {}
    }
    Ok(())
}

/// What systemd-boot and kernel-install leave in the ESP.
fn boot_loader(report: &mut CheckReport, esp: &Vfs) -> Result<(), MountError> {
    let in_esp = |path: &[u8]| Subject::Path([b"esp:", path].concat());
    if find(esp, b"/loader/random-seed")?.is_some() {
        let reason = "every machine would start with the same random seed";
        report.find(Severity::Error, "esp-random-seed", in_esp(b"/loader/random-seed"), reason, BUILDING);
    }
    for directory in [&b"/"[..], b"/loader/entries/"] {
        for (name, _) in names(esp, directory)? {
            let (id, rest) = name.split_at_checked(32).unwrap_or((&name, b""));
            if is_machine_id(id) && (rest.is_empty() || rest.starts_with(b"-")) {
                let reason = "it is named by the ID of one machine";
                report.find(
                    Severity::Warning,
                    "boot-entry",
                    in_esp(&[directory, &*name].concat()),
                    reason,
                    BUILDING,
                );
            }
        }
    }
    Ok(())
}

/// What the table says about slots and versions.
fn table(report: &mut CheckReport, image: &Image, gpt: &Gpt, contents: &Contents<'_>) {
    let partitions = gpt.partitions();
    // types with an architecture, as those of root and /usr: what an A/B image has in several slots
    let is_versioned = |partition: &&Partition| {
        let designator = partition.partition_type().designator();
        designator.is_some_and(|designator| designator.has_architecture())
    };
    let mut slots: Vec<(PartitionType, usize, usize)> = Vec::new();
    for partition in partitions.iter().filter(is_versioned) {
        let kind = partition.partition_type();
        let is_empty = partition.name.is_empty_slot();
        let at = slots.iter().position(|(other, ..)| *other == kind);
        let at = at.unwrap_or_else(|| {
            slots.push((kind, 0, 0));
            slots.len().saturating_sub(1)
        });
        if let Some((_, used, empty)) = slots.get_mut(at) {
            let counter = if is_empty { empty } else { used };
            *counter = counter.saturating_add(1);
        }
        let same = |other: &&Partition| {
            other.number < partition.number
                && other.type_guid == partition.type_guid
                && other.name == partition.name
        };
        // free slots are all called `_empty`
        if let Some(other) = partitions.iter().find(same).filter(|_| !is_empty) {
            let reason =
                format!("its type and label, and so its version, are those of partition {}", other.number);
            let subject =
                Subject::Partition { number: Some(partition.number), designator: kind.designator() };
            report.find(
                Severity::Warning,
                "same-version",
                subject,
                reason,
                "systemd.image-filter(7), Discoverable Partitions Specification",
            );
        }
    }
    report
        .fact("slots", slots.iter().map(|(kind, used, empty)| format!("{kind}: {used} used, {empty} empty")));
    let absent = [Designator::Home, Designator::Srv, Designator::Var, Designator::Tmp, Designator::Swap];
    let is_absent = |designator: &Designator| {
        partitions.iter().all(|partition| partition.partition_type().designator() != Some(*designator))
    };
    report.fact("absent", absent.into_iter().filter(is_absent).map(Designator::name));
    for partition in partitions {
        let kind = partition.partition_type();
        let effect = partition.effect();
        let probe = image.probe(partition.number).and_then(|looked| looked.any().ok().flatten());
        let grows = matches!(probe.map(|probe| probe.kind), Some(FsKind::Ext4 | FsKind::Btrfs | FsKind::Xfs));
        let knows = kind.known_attributes().grow_file_system();
        let subject = Subject::Partition { number: Some(partition.number), designator: kind.designator() };
        // systemd grows no file system that it mounts read-only
        let is_written = !effect.read_only && !contents.is_protected(partition.number);
        match (grows && is_written, partition.attributes.grow_file_system()) {
            (true, false) if knows => {
                let reason = "the grow-file-system attribute is not set: its file system keeps its size when the partition grows";
                report.find(Severity::Note, "no-grow-file-system", subject, reason, DPS);
            }
            (false, true) if probe.is_some() => {
                let reason = "the grow-file-system attribute is set, and this file system does not grow";
                report.find(Severity::Note, "grow-file-system-in-vain", subject, reason, DPS);
            }
            _ => {}
        }
    }
}

/// What systemd-repart would find to do.
fn growth(report: &mut CheckReport, image: &Image, gpt: &Gpt, tree: &Vfs) -> Result<(), MountError> {
    let usable = gpt.block_size().byte_range(gpt.usable());
    let (gaps, free) = usable.map_or((0, 0), |usable| free_space(usable, gpt.partitions()));
    let disk = image.source().size();
    // the backup table, which repart would move
    let table = u64::from(gpt.entry_count()).saturating_mul(u64::from(gpt.entry_size()));
    let blocks = gpt.block_size().blocks_for(table).saturating_add(1);
    let table = blocks.saturating_mul(u64::from(gpt.block_size().bytes()));
    let behind = usable.map_or(0, |usable| disk.saturating_sub(usable.end()).saturating_sub(table));
    report.fact(
        "free",
        [
            format!("{free} bytes in {gaps} {} between partitions", if gaps == 1 { "gap" } else { "gaps" }),
            format!("{behind} bytes behind the last usable block"),
        ],
    );
    let native = gpt.partitions().iter().find_map(|partition| partition.partition_type().architecture());
    let repart::Definitions { found: definitions, has_more } =
        repart::read(tree, native.or(Architecture::NATIVE))?;
    if has_more {
        let reason = "there are more definitions for systemd-repart than are looked at";
        report.find(Severity::Warning, "not-all-definitions", Subject::Whole, reason, OWN);
    }
    let shown = |definition: &repart::Definition| String::from_utf8_lossy(&definition.path).into_owned();
    report.fact("definitions", definitions.iter().map(shown));
    let missing = repart::without_partition(&definitions, gpt.partitions());
    let would = missing.iter().map(|definition| definition.summary());
    report.fact("would-create", would);
    for definition in &missing {
        let reason = format!("systemd-repart would create a partition: {}", definition.summary());
        let subject = Subject::Path(definition.path.clone());
        report.find(Severity::Note, "repart-would-create", subject, reason, "repart.d(5)");
    }
    for definition in definitions.iter().filter(|definition| definition.kind.is_none()) {
        let reason = match &definition.type_name {
            Some(name) => format!("the partition type {name} is not known"),
            None => "there is no Type=".to_owned(),
        };
        let subject = Subject::Field { path: definition.path.clone(), key: "Type".into() };
        report.find(Severity::Warning, "repart-type", subject, reason, "repart.d(5)");
    }
    Ok(())
}

/// Number and bytes of the stretches that no partition has.
fn free_space(usable: ByteRange, partitions: &[Partition]) -> (u64, u64) {
    let mut ranges: Vec<ByteRange> = partitions.iter().map(|partition| partition.range).collect();
    ranges.sort_by_key(|range| range.offset);
    let (mut gaps, mut free, mut at) = (0_u64, 0_u64, usable.offset);
    let end = ByteRange { offset: usable.end(), size: 0 };
    for range in ranges.into_iter().chain([end]) {
        let gap = range.offset.saturating_sub(at);
        if gap > 0 {
            gaps = gaps.saturating_add(1);
            free = free.saturating_add(gap);
        }
        at = at.max(range.end());
    }
    (gaps, free)
}
