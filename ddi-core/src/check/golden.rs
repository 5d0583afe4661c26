//! Golden images: is there anything in an image that is one machine's own, and what would its first boot add?

mod repart;

use ddi_gpt::{Architecture, ByteRange, Designator, Gpt, Partition, PartitionType};

use super::{CheckReport, Subject, find, is_machine_id, names};
use crate::contents::{Contents, Files, Mounted, Unreadable};
use crate::files::{FileType, Tree};
use crate::finding::Severity;
use crate::fs::FsKind;
use crate::image::{Image, Table};
use crate::metadata::{Fact, MAX_FILE, MachineId, Metadata};

const BUILDING: &str = "systemd, Safely Building Images";
const OWN: &str = "ddi: in the spirit of systemd, Safely Building Images";
const MACHINE_ID: &str = "machine-id(5)";
const DPS: &str = "Discoverable Partitions Specification";

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
/// are and named in the fact `unprotected`.
///
/// # Errors
/// If the file systems cannot be opened, or cannot be read.
pub fn golden(image: &Image, contents: &Contents<'_>) -> Result<CheckReport, Unreadable> {
    let system = contents.system()?;
    let (whole, left_out) = contents.whole()?;
    let mut report = CheckReport::new("golden", system.assurance());
    for (designator, why) in left_out {
        let reason = format!("it was not looked at: {why}");
        let subject = Subject::Partition { number: None, designator: Some(designator) };
        report.find(Severity::Warning, "not-looked-at", subject, reason, OWN);
    }
    let metadata = Metadata::read(&system.tree, None);
    identity(&mut report, &metadata);
    let unprotected =
        whole.mounted.iter().filter(|other| !is_system(other)).filter_map(|other| other.designator);
    report.fact("unprotected", unprotected.map(Designator::name).collect::<Vec<_>>());
    machine_id(&mut report, &system, &metadata);
    secrets(&mut report, &whole.tree)?;
    names_of_one_machine(&mut report, &whole.tree)?;
    // one that cannot be opened was left out, and said so
    if let Some(Ok(esp)) = contents.designated(Designator::Esp) {
        boot_loader(&mut report, &Files::from(esp).tree)?;
    }
    if let Table::Gpt(gpt) = image.table() {
        table(&mut report, image, gpt);
        growth(&mut report, image, gpt, &system.tree)?;
    }
    Ok(report)
}

fn is_system(mounted: &Mounted) -> bool {
    matches!(mounted.designator, Some(Designator::Root | Designator::Usr) | None)
}

/// What the image calls itself.
fn identity(report: &mut CheckReport, metadata: &Metadata) {
    let path = b"/etc/os-release".to_vec();
    let os = match &metadata.os_release {
        Ok(Some(found)) => found,
        Ok(None) => {
            let reason = "there is no os-release: nothing says what this is";
            report.find(Severity::Warning, "no-os-release", Subject::Path(path), reason, "os-release(5)");
            return;
        }
        Err(error) => {
            let reason = error.to_string();
            report.find(
                Severity::Error,
                "os-release-unreadable",
                Subject::Path(path),
                reason,
                "os-release(5)",
            );
            return;
        }
    };
    for (key, code) in [("IMAGE_ID", "no-image-id"), ("IMAGE_VERSION", "no-image-version")] {
        if os.value.get_non_empty(key).is_none() {
            let subject = Subject::Field { path: os.path.clone(), key: key.into() };
            report.find(
                Severity::Note,
                code,
                subject,
                "it is not set: the image cannot be told from others",
                BUILDING,
            );
        }
    }
    let value = |key| os.value.get_non_empty(key).unwrap_or("-");
    report.fact("image", [format!("{} {}", value("IMAGE_ID"), value("IMAGE_VERSION"))]);
}

fn machine_id(report: &mut CheckReport, system: &Files, metadata: &Metadata) {
    let subject = || Subject::Path(b"/etc/machine-id".to_vec());
    let Some(state) = metadata.machine_id_state() else {
        if let Err(error) = &metadata.machine_id {
            report.find(Severity::Error, "machine-id-unreadable", subject(), error.to_string(), MACHINE_ID);
        }
        return;
    };
    report.fact(
        "machine-id",
        [match state {
            MachineId::Id(_) => "set".to_owned(),
            other => other.to_string(),
        }],
    );
    report.fact("first-boot", [if state.is_first_boot() { "yes" } else { "no" }]);
    match state {
        MachineId::Id(_) => {
            let reason = "every machine would have this ID, and what is derived from it";
            report.find(Severity::Error, "machine-id", subject(), reason, BUILDING);
        }
        MachineId::Invalid => {
            let reason =
                "it is neither absent, empty nor uninitialized, and no ID that all programs would take";
            report.find(Severity::Error, "machine-id-invalid", subject(), reason, MACHINE_ID);
        }
        MachineId::Empty => {
            let reason = "an empty file gets an ID, but its boot is not taken for the first one";
            report.find(Severity::Note, "machine-id-empty", subject(), reason, MACHINE_ID);
        }
        MachineId::Missing => {
            let root = system.mounted.iter().find(|mounted| mounted.designator == Some(Designator::Root));
            if root.is_some_and(is_read_only) {
                let reason =
                    "the root file system is read-only: there is no file that an ID could be mounted over";
                report.find(Severity::Note, "machine-id-missing", subject(), reason, MACHINE_ID);
            }
        }
        MachineId::Uninitialized => {}
    }
    for (path, code, fact) in [
        (&b"/etc/hostname"[..], "hostname", presence(&metadata.hostname)),
        (b"/etc/machine-info", "machine-info", presence(&metadata.machine_info)),
    ] {
        if fact {
            let reason = "every machine would be called so";
            report.find(Severity::Note, code, Subject::Path(path.to_vec()), reason, BUILDING);
        }
    }
}

/// Can nothing be written to it when it is mounted?
fn is_read_only(mounted: &Mounted) -> bool {
    let kinds = [FsKind::Erofs, FsKind::Squashfs, FsKind::Iso9660];
    kinds.contains(&mounted.kind) || mounted.assurance != crate::report::Assurance::Claimed
}

fn presence<T>(fact: &Fact<T>) -> bool {
    !matches!(fact, Ok(None))
}

fn secrets(report: &mut CheckReport, tree: &Tree) -> Result<(), Unreadable> {
    for (code, path, rule, reason) in SECRETS {
        if find(tree, path)?.is_some() {
            report.find(Severity::Error, code, Subject::Path(path.to_vec()), reason, rule);
        }
    }
    for (name, place) in names(tree, b"/etc/ssh")? {
        let is_key = name.starts_with(b"ssh_host_") && name.ends_with(b"_key");
        if is_key && tree.stat(place).map_err(Unreadable::FileSystem)?.file_type != FileType::Directory {
            let path = [b"/etc/ssh/", &*name].concat();
            let reason = "every machine would have this private key";
            report.find(Severity::Error, "ssh-host-key", Subject::Path(path), reason, OWN);
        }
    }
    // a link to /etc/machine-id is as good as none
    let dbus = b"/var/lib/dbus/machine-id";
    if let Ok(place) = tree.resolve_link(dbus)
        && tree.stat(place).is_ok_and(|stat| stat.file_type == FileType::Regular)
    {
        let id = tree.read(place, MAX_FILE).map_err(Unreadable::FileSystem)?;
        if is_machine_id(id.trim_ascii()) {
            let reason = "every machine would have this ID; a link to /etc/machine-id would not";
            report.find(Severity::Error, "dbus-machine-id", Subject::Path(dbus.to_vec()), reason, OWN);
        }
    }
    if find(tree, b"/root/.bash_history")?.is_some() {
        let path = Subject::Path(b"/root/.bash_history".to_vec());
        report.find(Severity::Note, "shell-history", path, "it tells how the image was made", OWN);
    }
    Ok(())
}

/// What has the machine's ID in its name.
fn names_of_one_machine(report: &mut CheckReport, tree: &Tree) -> Result<(), Unreadable> {
    for (name, _) in names(tree, b"/var/log/journal")? {
        if is_machine_id(&name) {
            let path = [b"/var/log/journal/", &*name].concat();
            report.find(
                Severity::Warning,
                "journal",
                Subject::Path(path),
                "the journal of the machine that made the image",
                OWN,
            );
        }
    }
    let path = b"/etc/kernel/entry-token";
    let token = match find(tree, path)? {
        Some(place) => Some(tree.read(place, MAX_FILE).map_err(Unreadable::FileSystem)?),
        None => None,
    };
    let subject = Subject::Path(path.to_vec());
    match token.as_deref().map(<[u8]>::trim_ascii) {
        Some(token) if is_machine_id(token) => {
            let reason = "boot menu entries are named by the ID of one machine";
            report.find(Severity::Warning, "entry-token", subject, reason, BUILDING);
        }
        Some(_) => {}
        None if find(tree, b"/usr/bin/kernel-install")?.is_some() => {
            let reason = "kernel-install would name boot menu entries by the machine ID, which is not known yet: \
                          IMAGE_ID or ID could be written here";
            report.find(Severity::Note, "no-entry-token", subject, reason, BUILDING);
        }
        None => {}
    }
    Ok(())
}

/// What systemd-boot and kernel-install leave in the ESP.
fn boot_loader(report: &mut CheckReport, esp: &Tree) -> Result<(), Unreadable> {
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
fn table(report: &mut CheckReport, image: &Image, gpt: &Gpt) {
    let partitions = gpt.partitions();
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
        let probe = image.looked(partition.number).and_then(|looked| looked.any().ok().flatten());
        let grows = matches!(probe.map(|probe| probe.kind), Some(FsKind::Ext4 | FsKind::Btrfs | FsKind::Xfs));
        let knows = kind.known_attributes().grow_file_system();
        let subject = Subject::Partition { number: Some(partition.number), designator: kind.designator() };
        match (grows && !effect.read_only, partition.attributes.grow_file_system()) {
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
fn growth(report: &mut CheckReport, image: &Image, gpt: &Gpt, tree: &Tree) -> Result<(), Unreadable> {
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
    let definitions = repart::read(tree, native.or(Architecture::NATIVE))?;
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
