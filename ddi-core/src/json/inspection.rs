//! What an image is: all keys of `systemd-dissect --json`, and our own.

use std::borrow::Cow;
use std::path::Path;

use ddi_fs::probe::{FactValue, Probe};
use ddi_gpt::{Guid, TableCopy};
use ddi_io::Compression;
use ddi_verity::Examined;
use serde_json::{Map, Value, json};

use super::policy::{results, systemd};
use super::{error_reason, extent, reason, root_hash};
use crate::dissect::Selection;
use crate::policy::ImagePolicy;
use crate::policy::evaluation::PolicyEvaluation;
use crate::report::finding::Finding;
use crate::report::{Content, EntryFacts, Mount, PartitionReport, Report};
use crate::trust::signature::CheckedSignature;
use crate::verity_set::VeritySet;

/// A report, and what is known besides: `ddi.inspect/1`.
///
/// What the files of the image say is `ddi-os`'s to add.
#[derive(Debug, Clone, Copy)]
pub struct Inspection<'a> {
    report: &'a Report,
    path: Option<&'a Path>,
    compression: Option<Compression>,
    refused_table: Option<&'a ddi_gpt::Error>,
    policy: Option<(&'a ImagePolicy, &'a PolicyEvaluation)>,
}

impl<'a> Inspection<'a> {
    /// What `report` says; what is not added is `null` in the document.
    pub fn new(report: &'a Report) -> Self {
        Inspection { report, path: None, compression: None, refused_table: None, policy: None }
    }

    /// The report.
    pub fn report(&self) -> &'a Report {
        self.report
    }

    /// Where the image is, for the names of its partitions; the name of its file without it.
    #[must_use]
    pub fn path(mut self, path: &'a Path) -> Self {
        self.path = Some(path);
        self
    }

    /// How its file is compressed.
    #[must_use]
    pub fn compression(mut self, compression: Option<Compression>) -> Self {
        self.compression = compression;
        self
    }

    /// Why a strict reader refuses the partition table: then the image counts as broken.
    #[must_use]
    pub fn refused_table(mut self, error: Option<&'a ddi_gpt::Error>) -> Self {
        self.refused_table = error;
        self
    }

    /// What a policy would say if every block matched: see [`PolicyEvaluation::foresee`].
    #[must_use]
    pub fn policy(mut self, policy: &'a ImagePolicy, evaluation: &'a PolicyEvaluation) -> Self {
        self.policy = Some((policy, evaluation));
        self
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        self.to_map().into()
    }

    /// The members of the document, for whoever adds some.
    pub fn to_map(&self) -> Map<String, Value> {
        let Inspection { report, path, compression, refused_table, policy } = self;
        let path = match path {
            Some(path) => path.display().to_string().into(),
            None => Cow::from(report.file_name.as_deref().unwrap_or_default()),
        };
        // as if every block matched: nothing is proven here
        let policy = policy.map(|(policy, evaluation)| {
            json!({
                "policy": policy.to_string(),
                "ifProven": results(&evaluation.rulings),
                "systemdReading": systemd(evaluation),
            })
        });
        let refused =
            (report.refused.as_ref()).map(|refused| json!({ "code": refused.code, "errno": refused.errno }));
        let mut document = Map::new();
        let mut insert = |key: &str, value: Value| document.insert(key.to_owned(), value);
        // systemd-dissect's
        insert("name", report.file_name.as_deref().into());
        insert("size", report.size.into());
        insert("sectorSize", report.block_size.into());
        insert("mounts", report.mounts.iter().map(|row| mount(&path, row)).collect());
        if let Some(architecture) = report.architecture {
            insert("architecture", architecture.name().into());
        }
        if let Some(uuid) = report.uuid {
            insert("imageUuid", uuid.to_string().into());
        }
        // ours
        insert("schema", "ddi.inspect/1".into());
        insert("kind", report.kind.name().into());
        insert("imageName", report.name.as_deref().into());
        insert("compression", compression.map(|compression| compression.to_string()).into());
        insert("broken", (report.broken() || refused_table.is_some()).into());
        insert("refused", refused.into());
        insert("strict", refused_table.map(|error| reason(error.code(), error)).into());
        insert("content", content(&report.whole));
        insert("partitions", report.partitions.iter().map(partition).collect());
        insert("verity", report.verity.iter().map(verity_set).collect());
        insert("rootHashes", report.root_hashes.iter().map(root_hash).collect());
        insert("imagePolicy", policy.into());
        insert("findings", report.findings.iter().map(Finding::to_json).collect());
        let examination = &report.examination;
        if examination.is_gpt() {
            let table = json!({
                "condition": report.condition.map(|condition| condition.name()),
                "differences": report.differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "primary": table_copy(&examination.primary),
                "backup": table_copy(&examination.backup),
            });
            insert("table", table);
        }
        document
    }
}

impl Report {
    /// All of it: `ddi.inspect/1`. [`Inspection`] adds what is known besides.
    pub fn to_json(&self) -> Value {
        Inspection::new(self).to_json()
    }
}

/// A row of systemd-dissect: the keys are its, and so are the underscores.
fn mount(path: &str, mount: &Mount) -> Value {
    json!({
        "rw": if mount.rw { "rw" } else { "ro" },
        "designator": mount.designator.name(),
        "partition_uuid": mount.partition_uuid.map(|guid| guid.to_string()),
        "partition_label": mount.partition_label,
        "fstype": mount.fstype,
        "architecture": mount.architecture.map(|architecture| architecture.name()),
        "verity": mount.verity.map(|verity| verity.name()),
        "growfs": mount.growfs,
        "node": mount.node(path),
        "partno": mount.number,
    })
}

/// One copy of a GPT as it is on disk, good or bad.
fn table_copy(copy: &TableCopy) -> Value {
    let entries: Vec<Value> = (copy.entries())
        .map(|(number, entry)| {
            json!({
                "number": number,
                "type": entry.partition_type_guid.to_string(),
                "uuid": entry.unique_partition_guid.to_string(),
                "startingLba": entry.starting_lba.get(),
                "endingLba": entry.ending_lba.get(),
                "attributes": format!("{:#018x}", entry.attributes.get()),
                "name": entry.partition_name.to_string(),
            })
        })
        .collect();
    let header = copy.header.map(|header| {
        json!({
            "revision": header.revision.get(),
            "headerSize": header.header_size.get(),
            "headerCrc32": header.header_crc32.get(),
            "myLba": header.my_lba().0,
            "alternateLba": header.alternate_lba().0,
            "firstUsableLba": header.first_usable_lba.get(),
            "lastUsableLba": header.last_usable_lba.get(),
            "diskGuid": header.disk_guid.to_string(),
            "partitionEntryLba": header.partition_entry_lba.get(),
            "numberOfPartitionEntries": header.number_of_partition_entries.get(),
            "sizeOfPartitionEntry": header.size_of_partition_entry.get(),
            "partitionEntryArrayCrc32": header.partition_entry_array_crc32.get(),
        })
    });
    json!({
        "offset": copy.location.map(|range| range.offset),
        "entriesOffset": copy.array_location.map(|range| range.offset),
        "header": header,
        "entries": entries,
        "error": copy.outcome.as_ref().err().map(|error| json!({
            "code": error.code(),
            "offset": error.offset(),
            "message": error.to_string(),
        })),
    })
}

fn partition(partition: &PartitionReport) -> Value {
    let mut object = Map::new();
    let mut insert = |key: &str, value: Value| object.insert(key.to_owned(), value);
    insert("number", partition.number.into());
    insert("offset", partition.range.map(|range| range.offset).into());
    insert("size", partition.range.map(|range| range.size).into());
    insert("designator", partition.entry.designator().map(|designator| designator.name()).into());
    insert("architecture", partition.entry.architecture().map(|architecture| architecture.name()).into());
    insert("content", content(&partition.content));
    insert("assurance", partition.assurance.name().into());
    match &partition.entry {
        EntryFacts::Gpt { type_guid, partition_type, guid, label, attributes, .. } => {
            insert("type", type_guid.to_string().into());
            insert("typeName", partition_type.name().into());
            insert("typeCommonName", partition_type.common_name().into());
            insert("uuid", guid.to_string().into());
            insert("label", label.as_deref().into());
            insert("attributes", format!("{:#018x}", attributes.0).into());
            let names = match attributes.is_empty() {
                true => json!([]),
                false => attributes.to_string().split(',').collect(),
            };
            insert("attributeNames", names);
        }
        EntryFacts::Mbr { kind, bootable } => {
            insert("type", format!("{kind:x}").into());
            insert("bootable", (*bootable).into());
        }
    }
    let used = match &partition.selection {
        None => Value::Null,
        Some(Selection::Chosen(designator)) => json!({ "as": designator.name() }),
        Some(Selection::Skipped(skipped)) => {
            json!({ "skipped": skipped.code(), "message": skipped.to_string() })
        }
    };
    insert("use", used);
    object.into()
}

fn content(content: &Content) -> Value {
    match content {
        Content::Recognised(probe) => recognised(probe),
        Content::Signature(facts) => json!({
            "type": content.type_name(),
            "rootHash": facts.root_hash.to_string(),
            "certificateFingerprint": facts.certificate_fingerprint.map(|fingerprint| fingerprint.to_string()),
            "pkcs7Size": facts.pkcs7_size,
        }),
        Content::Unclear => json!({ "type": null, "unclear": true }),
        Content::NotRead => Value::Null,
        Content::Nothing => json!({ "type": null }),
    }
}

fn recognised(probe: &Probe) -> Value {
    let facts: Map<String, Value> = (probe.facts.iter())
        .map(|fact| {
            let value = match &fact.value {
                FactValue::Number(number) => json!(number),
                FactValue::Text(text) => text.to_string().into(),
                _ => Value::Null,
            };
            (fact.name.to_owned(), value)
        })
        .collect();
    json!({
        "type": probe.kind.name(),
        "label": probe.label.as_ref().map(ToString::to_string),
        "uuid": probe.uuid.as_ref().map(ToString::to_string),
        "version": probe.version,
        "blockSize": probe.block_size,
        "claimedSize": probe.claimed_size,
        "missingBytes": probe.missing_bytes,
        "facts": facts,
    })
}

fn verity_set(set: &VeritySet) -> Value {
    json!({
        "role": set.role.name(),
        "architecture": set.architecture.map(|architecture| architecture.name()),
        "data": set.data.map(extent),
        "hash": extent(set.hash),
        "signature": set.signature.map(extent),
        "signatures": set.signatures.iter().map(CheckedSignature::to_json).collect::<Vec<_>>(),
        "selected": set.selected,
        "rootHash": set.root_hash.as_ref().map(root_hash),
        "treeRootHash": set.tree_root.map(|root| root.to_string()),
        "guidsMatch": set.guids_match,
        "parameters": set.tree.as_ref().map(|tree| tree.to_json()),
        "uuid": set.superblock.as_ref().map(|superblock| Guid::from_uuid(superblock.uuid).to_string()),
        "superblock": set.examined.as_ref().map(superblock),
        "problem": set.problem.as_ref().map(error_reason),
    })
}

/// The fields of a superblock as they are, with what is wrong with them.
fn superblock(examined: &Examined) -> Value {
    if !examined.has_signature {
        return json!({ "hasSignature": false });
    }
    let faults: Vec<Value> = examined.faults.iter().map(|error| reason(error.code(), error)).collect();
    json!({
        "hasSignature": true,
        "version": examined.version,
        "hashType": examined.hash_type,
        "algorithm": examined.algorithm.to_string(),
        "dataBlockSize": examined.data_block_size,
        "hashBlockSize": examined.hash_block_size,
        "dataBlocks": examined.data_blocks,
        "saltSize": examined.salt_size,
        "faults": faults,
    })
}
