//! How a [`Report`] is made.

use std::sync::Arc;

use ddi_gpt::{ByteRange, Designator, Guid, PartitionType, Side};
use ddi_io::Section;
use ddi_signature::Certificates;
use ddi_verity::Strictness;

use super::{
    Assurance, Content, EntryFacts, ImageKind, Mount, PartitionReport, Refused, Report, VerityColumn, gaps,
};
use crate::dissect::{
    DissectOptions, DissectedImage, DissectionRecord, Partition, Protection, Selection, Skipped,
    VeritySettings,
};
use crate::error::Error;
use crate::image::{Image, ProbeResult, Table};
use crate::prove::{Depth, TailRule, check_content, check_size};
use crate::report::finding::{Finding, FindingKind, LabelAnomaly, Severity, Sidecar};
use crate::trust::signature::{CheckedSignature, SignaturePlace, SignatureState};
use crate::trust::{DataSize, KnownRootHash, Role, RootHashOrigin, TrustedRootHash};
use crate::verity_set::{BindOptions, VeritySet, verity_sets};
use ddi_fs::probe as fs;

/// What goes into a report.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReportOptions<'a> {
    /// How the image is dissected.
    pub dissect: DissectOptions,
    /// Root hashes that the caller vouches for. Naming them proves nothing yet.
    pub trusted: &'a [TrustedRootHash],
    /// Whose signatures are trusted. `None`: signatures are not checked.
    pub certificates: Option<&'a Certificates>,
    /// The sizes of protected data that the caller vouches for, one for each role at most.
    pub data_sizes: &'a [DataSize],
    /// What no trusted key signed the size of, along with the root hash, is refused: a signature must bind the tree.
    pub require_bound_size: bool,
    /// For a bare image with its tree behind the data: where the superblock is, in bytes.
    pub hash_offset: Option<u64>,
    /// At most this many bytes between partitions are read to see if they are zero.
    pub gap_bytes: u64,
}

impl ReportOptions<'_> {
    /// As `systemd-dissect` sees the image, and at most 1 MiB read between the partitions.
    pub fn new(image: &Image) -> Self {
        let verity = VeritySettings::new(None, image.sidecars());
        ReportOptions {
            dissect: DissectOptions::new(verity),
            trusted: &[],
            certificates: None,
            data_sizes: &[],
            require_bound_size: false,
            hash_offset: None,
            gap_bytes: 1 << 20,
        }
    }
}

/// More partitions than this are listed, but not looked into. No real image has this many; one that does is trying to
/// exhaust us.
const MAX_LOOKED_INTO: usize = 512;

/// Of each kind of finding that a hostile table could multiply.
const MAX_REPEATED: usize = 64;
/// Of those about the entries of a broken table.
const MAX_NOISE: usize = 8;

impl Report {
    /// Looks at everything, reads little, and never fails: what cannot be read is a finding.
    pub fn new(image: &Image, options: &ReportOptions<'_>) -> Self {
        let dissection = DissectionRecord::new(image, &options.dissect);
        Self::of(image, &dissection, options)
    }

    /// The same, for an image that was dissected already.
    pub fn of(image: &Image, dissection: &DissectionRecord, options: &ReportOptions<'_>) -> Self {
        let bind = BindOptions {
            trusted: options.trusted,
            certificates: options.certificates,
            data_sizes: options.data_sizes,
            require_bound_size: options.require_bound_size,
            hash_offset: options.hash_offset,
        };
        let sets = verity_sets(image, dissection, &bind);
        Self::with_sets(image, dissection, sets.into(), options)
    }

    /// The same, for sets that were found already.
    pub(crate) fn with_sets(
        image: &Image,
        dissection: &DissectionRecord,
        verity: Arc<[VeritySet]>,
        options: &ReportOptions<'_>,
    ) -> Self {
        let dissected = dissection.outcome.as_ref().ok();
        let bare = dissected.is_some_and(|dissected| dissected.bare);
        let mut findings = Vec::new();
        let whole = whole_content(image, &mut findings);
        let partitions = partitions(image, dissection, &mut findings);
        let kind = match image.table() {
            // as systemd looks at the whole image first, a file system there wins over a table
            _ if bare => ImageKind::FileSystem,
            Table::Gpt(_) => ImageKind::Gpt,
            Table::Mbr(..) => ImageKind::Mbr,
            Table::Broken(_) | Table::BrokenMbr(..) => ImageKind::BrokenTable,
            Table::None if matches!(whole, Content::Recognised(_)) => ImageKind::FileSystem,
            Table::None => ImageKind::Unknown,
        };
        let gpt = match image.table() {
            Table::Gpt(gpt) => Some(gpt),
            _ => None,
        };
        let fs_uuid = match &whole {
            Content::Recognised(probe) if kind == ImageKind::FileSystem => match probe.uuid {
                Some(fs::FsUuid::Uuid(uuid)) => Some(Guid::from_uuid(uuid)),
                _ => None,
            },
            _ => None,
        };
        let architecture_of = |designator| {
            let number = dissection.chosen(designator)?;
            partitions.iter().find(|partition| partition.number == number)?.entry.architecture()
        };
        let mut report = Report {
            file_name: image.file_name().map(|name| name.to_string_lossy().into_owned()),
            name: image.name(),
            size: image.source().size(),
            kind,
            block_size: image.block_size(),
            // a table behind a file system is not used, and its GUID is not that of the image
            uuid: fs_uuid.or(gpt.filter(|_| !bare).map(|gpt| gpt.disk_guid())),
            architecture: architecture_of(Designator::Root).or_else(|| architecture_of(Designator::Usr)),
            examination: image.examination().clone(),
            condition: gpt.map(|gpt| gpt.condition()),
            differences: gpt.map(|gpt| gpt.differences().to_vec()).unwrap_or_default(),
            partitions,
            whole,
            whole_assurance: Assurance::Claimed,
            verity,
            root_hashes: image.sidecars().root_hashes.clone(),
            mounts: dissected.map(mounts).unwrap_or_default(),
            refused: dissection.outcome.as_ref().err().map(Refused::from),
            findings: Vec::new(),
        };
        table_findings(image, &mut findings);
        if let (Content::Recognised(probe), false) = (&report.whole, matches!(image.table(), Table::None)) {
            let kind = probe.kind;
            findings.push(Finding::new(match bare {
                true => FindingKind::TableBehindFileSystem { kind },
                false => FindingKind::TableOver { kind },
            }));
        }
        for error in &dissection.refusals {
            let mut finding = Finding::new(FindingKind::Dissect(error.clone()));
            finding.partition = error.partition();
            findings.push(finding);
        }
        for error in dissected.into_iter().flat_map(DissectedImage::not_mountable) {
            let mut finding = Finding::new(FindingKind::Dissect(error.clone()));
            finding.partition = error.partition();
            findings.push(finding);
        }
        verity_findings(image, dissection, options, &report.verity, &mut findings);
        beside_findings(image, &report.verity, &mut findings);
        gaps::look(image, &report, options.gap_bytes, &mut findings);
        findings.sort_by_key(|finding| {
            let number = finding.partition.unwrap_or(0);
            (core::cmp::Reverse(finding.severity), number, finding.offset)
        });
        report.findings = findings;
        report
    }
}

/// What systemd-dissect lists.
fn mounts(dissected: &DissectedImage) -> Vec<Mount> {
    let guessed = dissected.root_hash.is_some_and(|known| known.origin.is_guess());
    let verity = |partition: &Partition| match Role::of(partition.designator) {
        _ if dissected.external_verity => Some(VerityColumn::External),
        Some(role) if !dissected.bare && role.data() == partition.designator => {
            Some(match (partition.protection, dissected.verity_ready) {
                (Protection::SignaturePresent, true) => VerityColumn::Signed,
                (Protection::Verity, true) if !guessed => VerityColumn::Yes,
                (Protection::Verity, _) => VerityColumn::Unused,
                _ => VerityColumn::No,
            })
        }
        _ => None,
    };
    let row = |partition: &Partition| Mount {
        designator: partition.designator,
        rw: partition.rw,
        partition_uuid: partition.guid,
        partition_label: partition.label.clone(),
        fstype: partition.file_system.name(),
        architecture: partition.architecture,
        verity: verity(partition),
        growfs: partition.growfs,
        number: partition.number,
    };
    dissected.partitions.iter().map(row).collect()
}

fn whole_content(image: &Image, findings: &mut Vec<Finding>) -> Content {
    match image.whole().any() {
        Ok(Some(probe)) => {
            if probe.missing_bytes > 0 {
                findings.push(too_large(probe, image.source().size()));
            }
            findings.extend(passed_over(probe));
            Content::Recognised(Box::new(probe.clone()))
        }
        Ok(None) => Content::Nothing,
        Err(error) => {
            findings.push(Finding::new(FindingKind::FileSystem(error.clone())));
            Content::Unclear
        }
    }
}

fn too_large(probe: &fs::Probe, available: u64) -> Finding {
    let claimed = probe.claimed_size.unwrap_or(u64::MAX);
    Finding::new(FindingKind::FileSystemTooLarge { claimed, available })
}

fn passed_over(probe: &fs::Probe) -> Option<Finding> {
    probe.ambiguity().map(|error| Finding::new(FindingKind::PassedOver(error.into())))
}

/// Every partition of the table, or what can be read of a broken one.
fn partitions(
    image: &Image,
    dissection: &DissectionRecord,
    findings: &mut Vec<Finding>,
) -> Vec<PartitionReport> {
    let (mut found, mut inside) = (Vec::new(), Vec::new());
    let mut add = |number, range: Option<ByteRange>, entry: EntryFacts, selection| {
        let content = match range {
            Some(range) if found.len() < MAX_LOOKED_INTO => {
                content(image, number, range, &entry, &mut inside)
            }
            _ => Content::NotRead,
        };
        found.push(PartitionReport {
            number,
            range,
            entry,
            content,
            selection,
            assurance: Assurance::Claimed,
        });
    };
    match image.table() {
        Table::Gpt(gpt) => {
            for p in gpt.partitions() {
                let entry = EntryFacts::of(p.type_guid, p.guid, &p.name, p.attributes);
                add(p.number, Some(p.range), entry, dissection.selection(p.number));
            }
        }
        Table::Mbr(_, partitions) => {
            for p in partitions {
                let range = ByteRange { offset: p.offset, size: p.size };
                let entry = EntryFacts::Mbr { kind: p.kind.0, bootable: p.bootable };
                add(p.number, Some(range), entry, dissection.selection(p.number));
            }
        }
        Table::BrokenMbr(mbr, _) => {
            for (number, record) in (1..).zip(mbr.records()).filter(|(_, record)| record.blocks != 0) {
                let bytes = |blocks: u32| u64::from(blocks).saturating_mul(512);
                let range = ByteRange { offset: bytes(record.start), size: bytes(record.blocks) };
                let range = Some(range).filter(|range| range.end() <= image.source().size());
                let entry = EntryFacts::Mbr { kind: record.kind.0, bootable: record.boot_indicator == 0x80 };
                add(number, range, entry, None);
            }
        }
        Table::Broken(_) => {
            let examination = image.examination();
            let copies = [&examination.primary, &examination.backup];
            let copy = copies.into_iter().find(|copy| copy.entries().next().is_some());
            let block_size = examination.block_size.as_ref().ok().copied().flatten();
            for (number, raw) in copy.into_iter().flat_map(|copy| copy.entries()) {
                let range = block_size.and_then(|block_size| block_size.byte_range(raw.lbas()));
                let range = range.filter(|range| range.end() <= image.source().size());
                let name = &raw.partition_name;
                let (type_guid, guid) = (raw.partition_type_guid, raw.unique_partition_guid);
                add(number, range, EntryFacts::of(type_guid, guid, name, raw.attributes()), None);
            }
        }
        Table::None => {}
    }
    findings.extend(inside.into_iter().take(MAX_REPEATED));
    let mut repeated = 0_usize;
    // an entry of an array whose checksum is wrong may be noise, and then so are all that follow
    let most = if matches!(image.table(), Table::Broken(_)) { MAX_NOISE } else { MAX_REPEATED };
    for partition in &found {
        if repeated < most {
            let before = findings.len();
            entry_findings(image, partition, findings);
            repeated = repeated.saturating_add(findings.len().saturating_sub(before));
        }
    }
    found
}

/// What is in a partition.
fn content(
    image: &Image,
    number: u32,
    range: ByteRange,
    entry: &EntryFacts,
    findings: &mut Vec<Finding>,
) -> Content {
    let mut unclear = |what| {
        findings.push(Finding::new(what).partition(number).at(range.offset));
        Content::Unclear
    };
    // its type says what it is, and systemd does not probe it either; a free slot may hold anything
    let is_signature = Role::ALL.iter().any(|role| Some(role.signature()) == entry.designator());
    if is_signature && !entry.is_empty_slot() && image.range(number).is_some() {
        return match image.signature(number) {
            Ok(signature) => Content::Signature(Box::new(signature.clone())),
            Err(Error::Signature { error, .. }) => unclear(FindingKind::Signature(error)),
            Err(error) => unclear(FindingKind::MountError(error)),
        };
    }
    let only_here;
    let looked = match image.probe(number) {
        Some(looked) => looked,
        // a broken table gives the image no partitions, and yet what it says can be looked at
        None => match Section::new(image.metadata(), range.offset, range.size) {
            Ok(section) => {
                only_here = ProbeResult::new(&section, &[]);
                &only_here
            }
            Err(_) => return unclear(FindingKind::Outside),
        },
    };
    match looked.any() {
        Ok(Some(probe)) => {
            if probe.missing_bytes > 0 {
                findings.push(too_large(probe, range.size).partition(number).at(range.offset));
            }
            findings.extend(passed_over(probe).map(|finding| finding.partition(number).at(range.offset)));
            Content::Recognised(Box::new(probe.clone()))
        }
        Ok(None) => Content::Nothing,
        Err(error) => unclear(FindingKind::FileSystem(error.clone())),
    }
}

/// What is odd about an entry of the table.
fn entry_findings(image: &Image, partition: &PartitionReport, findings: &mut Vec<Finding>) {
    let offset = match image.table() {
        Table::Gpt(gpt) => gpt.partition(partition.number).map(|partition| partition.entry_offset),
        _ => image.examination().primary.entry_offset(partition.number),
    };
    let mut add = |what| {
        let mut finding = Finding::new(what).partition(partition.number);
        finding.offset = offset;
        findings.push(finding);
    };
    if partition.range.is_none() {
        add(FindingKind::Outside);
    }
    if let EntryFacts::Gpt { partition_type, type_guid, name, .. } = &partition.entry {
        if matches!(partition_type, PartitionType::Unknown(_)) && partition_type.common_name().is_none() {
            add(FindingKind::UnknownType { type_guid: *type_guid });
        }
        if name.has_lone_surrogates() {
            add(FindingKind::Label(LabelAnomaly::LoneSurrogate));
        }
        let label = name.label().unwrap_or_default();
        if label.chars().any(char::is_control) {
            add(FindingKind::Label(LabelAnomaly::Control));
        }
        if label.chars().any(is_invisible) {
            add(FindingKind::Label(LabelAnomaly::Invisible));
        }
    }
    match partition.selection {
        None | Some(Selection::Chosen(_)) => {}
        Some(Selection::Skipped(Skipped::NotDiscoverable | Skipped::BareImage | Skipped::NotReached)) => {}
        Some(Selection::Skipped(skipped)) => add(FindingKind::NotChosen(skipped)),
    }
}

/// Characters that are not seen, or that change what is: format characters, spaces that are none.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// What is odd about the table itself.
fn table_findings(image: &Image, findings: &mut Vec<Finding>) {
    let examination = image.examination();
    let mut broken_copy = |side| {
        let copy = examination.copy(side);
        if let Err(error) = &copy.outcome {
            let mut finding = Finding::new(FindingKind::TableCopy { side, error: error.clone() });
            finding.offset = copy.location.map(|location| location.offset);
            findings.push(finding);
        }
    };
    match image.table() {
        Table::Gpt(gpt) => {
            broken_copy(gpt.side().other());
            let differences = gpt.differences().iter().take(MAX_REPEATED);
            findings
                .extend(differences.map(|difference| Finding::new(FindingKind::TablesDiffer(*difference))));
        }
        Table::Broken(ddi_gpt::Error::AmbiguousBlockSize { .. }) => {}
        Table::Broken(_) => [Side::Primary, Side::Backup].into_iter().for_each(broken_copy),
        Table::Mbr(..) | Table::BrokenMbr(..) if examination.is_gpt() => {
            findings.push(Finding::new(FindingKind::GptBehindMbr));
        }
        _ => {}
    }
    if matches!(image.table(), Table::Gpt(_) | Table::Broken(_)) {
        for anomaly in examination.anomalies() {
            let mut finding = Finding::new(FindingKind::Table(*anomaly));
            finding.offset = anomaly.offset();
            findings.push(finding);
        }
    }
}

/// What is odd about data, hash trees and signatures.
fn verity_findings(
    image: &Image,
    dissection: &DissectionRecord,
    options: &ReportOptions<'_>,
    sets: &[VeritySet],
    findings: &mut Vec<Finding>,
) {
    for set in sets {
        let role = set.role;
        findings.extend(set.findings.iter().cloned());
        if matches!(set.problem, Some(Error::NotSearched { .. })) {
            continue;
        }
        let is_trusted = set.trusted(options.trusted).is_some();
        let mut add_at = |what, partition| {
            let mut finding = Finding::new(what);
            finding.partition = partition;
            // hash blocks have the trusted root hash too: such content is never proven
            let is_content = matches!(
                finding.what,
                FindingKind::UnrecognisedContent { .. } | FindingKind::UnfitContent { .. }
            );
            if is_trusted && is_content {
                finding.severity = Severity::Error;
            }
            findings.push(finding);
        };
        let mut add = |what| add_at(what, set.hash.number);
        if let (Some(tree), Some(data)) = (&set.tree, set.data) {
            let usual = (Strictness::default(), TailRule::default());
            match check_size(image, set, tree, data, usual, options.gap_bytes) {
                Err(Error::Verity { role, error, .. }) => add(FindingKind::Verity { role, error }),
                Err(error) => add(FindingKind::MountError(error)),
                Ok(checked) => {
                    for widened in checked.geometry().exceptions.iter().copied() {
                        add(FindingKind::Geometry { role, widened });
                    }
                }
            }
            match check_content(image, set, tree, data, TailRule::default(), Depth::All) {
                Err(Error::UnrecognisedContent { role, .. }) => {
                    add(FindingKind::UnrecognisedContent { role })
                }
                Err(Error::ContentTooLarge { claimed, available, .. }) => {
                    add(FindingKind::FileSystemTooLarge { claimed, available });
                }
                Err(Error::UnfitContent { role, kind, unfit, .. }) => {
                    add(FindingKind::UnfitContent { role, kind, unfit });
                }
                _ => {}
            }
        }
        let beside = image.sidecars().signatures.iter().any(|signature| signature.role == role);
        let is_there = set.signature.is_some() || (set.hash.external && beside);
        match set.signatures.as_slice() {
            [] if is_there => {
                add_at(FindingKind::SignatureNotChecked { role }, set.signature.and_then(|s| s.number))
            }
            [] => add_at(FindingKind::Unsigned { role }, set.hash.number),
            all => {
                for CheckedSignature { place, state } in all {
                    // its own place, which is no partition if it is beside the image
                    let mut add = |what| match place {
                        SignaturePlace::Partition(number) => add_at(what, Some(*number)),
                        SignaturePlace::Sidecar => add_at(what, None),
                    };
                    match state {
                        SignatureState::Verified(_) => {}
                        SignatureState::Unchecked => add(FindingKind::SignatureNotChecked { role }),
                        SignatureState::OtherRootHash { found } => {
                            let chosen = dissection.chosen(role.signature());
                            let is_used =
                                matches!(place, SignaturePlace::Partition(number) if chosen == Some(*number));
                            if set.selected && is_used && set.signature.map(|own| own.number) != Some(chosen)
                            {
                                add(FindingKind::SignatureOfOtherData { role, found: *found });
                            }
                        }
                        SignatureState::Failed(_) if set.signature.is_none() && !beside => {}
                        state => add(FindingKind::SignatureNotVerified { role, state: state.clone() }),
                    }
                }
            }
        }
        if set.root_hash.is_some_and(|known| known.origin.is_guess()) {
            add_at(FindingKind::RootHashGuessed { role }, set.hash.number);
        }
    }
    for role in Role::ALL {
        let Some(data) = dissection.chosen(role.data()) else { continue };
        let hash = dissection.chosen(role.hash());
        let data_of = |set: &VeritySet| set.data.and_then(|data| data.number);
        let belongs = sets.iter().find(|set| data_of(set) == Some(data)).and_then(|set| set.hash.number);
        match hash {
            None if belongs.is_none() => {
                let designator = role.data();
                findings.push(Finding::new(FindingKind::Unprotected { designator }).partition(data));
            }
            Some(hash) if belongs != Some(hash) => {
                findings.push(
                    Finding::new(FindingKind::VersionsMixed { role, data, hash, belongs }).partition(data),
                );
            }
            _ => {}
        }
        let entry = match image.table() {
            Table::Gpt(gpt) => gpt.partition(data).map(|partition| partition.partition_type()),
            _ => None,
        };
        if let Some(architecture) = entry.and_then(PartitionType::architecture)
            && options.dissect.native.is_some_and(|native| native != architecture)
        {
            findings.push(Finding::new(FindingKind::ForeignArchitecture { architecture }).partition(data));
        }
    }
    if sets.is_empty() && dissection.outcome.as_ref().is_ok_and(|dissected| dissected.bare) {
        findings.push(Finding::new(FindingKind::Unprotected { designator: Designator::Root }));
    }
}

/// What is odd about the files beside the image.
fn beside_findings(image: &Image, sets: &[VeritySet], findings: &mut Vec<Finding>) {
    let sidecars = image.sidecars();
    findings.extend(sidecars.findings.iter().cloned());
    let signed = sets.iter().filter(|set| set.selected).filter_map(|set| {
        let signature = image.signature(set.signature?.number?).ok()?;
        let (hash, role) = (signature.root_hash, set.role);
        Some(KnownRootHash { hash, role, origin: RootHashOrigin::SignaturePartition })
    });
    let others: Vec<KnownRootHash> = sidecars.root_hashes.iter().copied().chain(signed).collect();
    for role in Role::ALL {
        let mut of_role = others.iter().filter(|known| known.role == role);
        let Some(first) = of_role.next() else { continue };
        for second in of_role.filter(|second| second.hash != first.hash) {
            findings.push(Finding::new(FindingKind::RootHashesDiffer {
                role,
                first: first.origin,
                first_hash: first.hash,
                second: second.origin,
                second_hash: second.hash,
            }));
        }
    }
    let unused = sidecars.root_hashes.iter().filter(|known| {
        let used = |set: &VeritySet| {
            set.root_hash.is_some_and(|used| (used.hash, used.role) == (known.hash, known.role))
        };
        !sets.iter().any(used)
    });
    for known in unused {
        let what = match (known.origin, known.role) {
            (RootHashOrigin::Xattr, Role::Root) => Sidecar::RootHashXattr,
            (RootHashOrigin::Xattr, Role::Usr) => Sidecar::UsrHashXattr,
            (_, Role::Root) => Sidecar::RootHash,
            (_, Role::Usr) => Sidecar::UsrHash,
        };
        findings.push(Finding::new(FindingKind::BesideUnused { what }));
    }
}
