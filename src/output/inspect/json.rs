//! The same for programs: all keys of `systemd-dissect --json`, and our own.

use ddi_core::fs::Probe;
use ddi_core::fs::probe::FactValue;
use ddi_core::gpt::{Guid, TableCopy};
use ddi_core::verity::Examined;
use ddi_core::{
    Content, EntryFacts, Extent, Finding, KnownRootHash, Mount, PartitionReport, Selection, VeritySet,
};
use serde_json::{Map, Value, json};

use super::super::policy::{rulings_json, systemd_json};
use super::super::signature::signature_json;
use super::{Inspected, inside, node, rw};

/// The whole report.
pub(super) fn report(inspected: &Inspected<'_>) -> Value {
    let Inspected { path, compression, report, inside, refused_table, judgement } = inspected;
    let path = path.display().to_string();
    let mut value = json!({
        // systemd-dissect's
        "name": report.file_name,
        "size": report.size,
        "sectorSize": report.block_size,
        "mounts": report.mounts.iter().map(|row| mount(&path, row)).collect::<Vec<_>>(),
        // ours
        "schema": "ddi.inspect/1",
        "kind": report.kind.name(),
        "imageName": report.name,
        "compression": compression.map(|compression| compression.to_string()),
        "broken": report.broken() || refused_table.is_some(),
        "refused": report.refused.as_ref().map(|refused| json!({ "code": refused.code, "errno": refused.errno })),
        "strict": refused_table.map(|error| json!({ "code": error.code(), "message": error.to_string() })),
        "content": content(&report.whole),
        "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
        "verity": report.verity.iter().map(verity_set).collect::<Vec<_>>(),
        "rootHashes": report.root_hashes.iter().map(root_hash).collect::<Vec<_>>(),
        // as if every block matched: nothing is proven here
        "imagePolicy": judgement.map(|(policy, judgement)| {
            json!({
                "policy": policy.to_string(),
                "ifProven": rulings_json(&judgement.rulings),
                "systemdReading": systemd_json(judgement),
            })
        }),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    });
    if let Some(architecture) = report.architecture {
        value["architecture"] = architecture.name().into();
    }
    if let Some(uuid) = report.uuid {
        value["imageUuid"] = uuid.to_string().into();
    }
    inside::add_to(&mut value, report, inside);
    let examination = &report.examination;
    if examination.is_gpt() {
        value["table"] = json!({
            "condition": report.condition.map(|condition| condition.name()),
            "differences": report.differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "primary": table_copy(&examination.primary),
            "backup": table_copy(&examination.backup),
        });
    }
    value
}

fn mount(path: &str, mount: &Mount) -> Value {
    json!({
        "rw": rw(mount),
        "designator": mount.designator.name(),
        "partition_uuid": mount.partition_uuid.map(|guid| guid.to_string()),
        "partition_label": mount.partition_label,
        "fstype": mount.fstype,
        "architecture": mount.architecture.map(|architecture| architecture.name()),
        "verity": mount.verity.map(|verity| verity.name()),
        "growfs": mount.growfs,
        "node": node(path, mount.number),
        "partno": mount.number,
    })
}

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
    let mut value = json!({
        "number": partition.number,
        "offset": partition.range.map(|range| range.offset),
        "size": partition.range.map(|range| range.size),
        "designator": partition.entry.designator().map(|designator| designator.name()),
        "architecture": partition.entry.architecture().map(|architecture| architecture.name()),
        "content": content(&partition.content),
        "assurance": partition.assurance.name(),
    });
    match &partition.entry {
        EntryFacts::Gpt { type_guid, partition_type, guid, label, attributes, .. } => {
            value["type"] = type_guid.to_string().into();
            value["typeName"] = partition_type.name().into();
            value["typeCommonName"] = partition_type.common_name().into();
            value["uuid"] = guid.to_string().into();
            value["label"] = label.as_deref().into();
            value["attributes"] = format!("{:#018x}", attributes.0).into();
            value["attributeNames"] = match attributes.is_empty() {
                true => json!([]),
                false => attributes.to_string().split(',').collect(),
            };
        }
        EntryFacts::Mbr { kind, bootable } => {
            value["type"] = format!("{kind:x}").into();
            value["bootable"] = (*bootable).into();
        }
        _ => {}
    }
    match &partition.selection {
        None => value["use"] = Value::Null,
        Some(Selection::Chosen(designator)) => value["use"] = json!({ "as": designator.name() }),
        Some(Selection::Skipped(skipped)) => {
            value["use"] = json!({ "skipped": skipped.code(), "message": skipped.to_string() });
        }
    }
    value
}

fn content(content: &Content) -> Value {
    match content {
        Content::Recognised(probe) => probe_facts(probe),
        Content::Signature(facts) => json!({
            "type": content.type_name(),
            "rootHash": facts.root_hash.to_string(),
            "certificateFingerprint": facts.certificate_fingerprint.map(|fingerprint| fingerprint.to_string()),
            "pkcs7Size": facts.pkcs7_size,
        }),
        Content::Unclear => json!({ "type": null, "unclear": true }),
        Content::NotRead => Value::Null,
        _ => json!({ "type": null }),
    }
}

fn probe_facts(probe: &Probe) -> Value {
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
    let parameters = set.tree.as_ref().map(|tree| tree.to_json());
    json!({
        "role": set.role.name(),
        "architecture": set.architecture.map(|architecture| architecture.name()),
        "data": set.data.map(part),
        "hash": part(set.hash),
        "signature": set.signature.map(part),
        "signatures": set.signatures.iter().map(signature_json).collect::<Vec<_>>(),
        "selected": set.selected,
        "rootHash": set.root_hash.as_ref().map(root_hash),
        "treeRootHash": set.tree_root.map(|root| root.to_string()),
        "guidsMatch": set.guids_match,
        "parameters": parameters,
        "uuid": set.superblock.as_ref().map(|superblock| Guid::from_uuid(superblock.uuid).to_string()),
        "superblock": set.examined.as_ref().map(examined),
        "problem": set.problem.as_ref().map(|error| json!({ "code": error.code(), "message": error.to_string() })),
    })
}

fn examined(examined: &Examined) -> Value {
    if !examined.has_signature {
        return json!({ "hasSignature": false });
    }
    let faults: Vec<Value> = (examined.faults.iter())
        .map(|error| json!({ "code": error.code(), "message": error.to_string() }))
        .collect();
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

fn root_hash(known: &KnownRootHash) -> Value {
    json!({ "hash": known.hash.to_string(), "role": known.role.name(), "origin": known.origin.name() })
}

fn part(part: Extent) -> Value {
    json!({
        "partition": part.number,
        "offset": part.range.offset,
        "size": part.range.size,
        "external": part.external,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.name(),
        "authority": finding.authority().name(),
        "code": finding.code(),
        "message": finding.to_string(),
        "partition": finding.partition,
        "offset": finding.offset,
    })
}
