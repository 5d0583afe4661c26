//! A table as a script for sfdisk.

use std::fmt::Write;
use std::path::Path;

use anyhow::ensure;
use ddi_gpt::{Gpt, Partition};

/// The script. What sfdisk cannot be told is refused, as it would make another table.
pub(super) fn script(table: &Gpt, image: &Path) -> anyhow::Result<String> {
    ensure!(
        table.entry_size() == 128,
        "entries have {} bytes, and sfdisk makes those of 128 alone",
        table.entry_size()
    );
    let device = device(image);
    let upper = |guid: ddi_gpt::Guid| guid.to_string().to_uppercase();
    let mut text = String::new();
    let _ =
        writeln!(text, "label: gpt\nlabel-id: {}\ndevice: {device}\nunit: sectors", upper(table.disk_guid()));
    let _ = writeln!(text, "first-lba: {}\nlast-lba: {}", table.usable().first, table.usable().last);
    if table.entry_count() != 128 {
        let _ = writeln!(text, "table-length: {}", table.entry_count());
    }
    let _ = writeln!(text, "sector-size: {}\n", table.block_size());
    let between = if device.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    for partition in table.partitions() {
        let blocks = partition.lbas.blocks().unwrap_or_default();
        let _ = write!(
            text,
            "{device}{between}{} : start={:>12}, size={blocks:>12}, type={}, uuid={}",
            partition.number,
            partition.lbas.first.0,
            upper(partition.type_guid),
            upper(partition.guid)
        );
        let name = name(partition)?;
        if !name.is_empty() {
            let _ = write!(text, ", name=\"{name}\"");
        }
        let attributes = attributes(partition)?;
        if !attributes.is_empty() {
            let _ = write!(text, ", attrs=\"{attributes}\"");
        }
        text.push('\n');
    }
    Ok(text)
}

/// A name without anything that sfdisk would take for more than part of a name: only the number behind it counts.
fn device(image: &Path) -> String {
    let name = image.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match name {
        "" => "image".to_owned(),
        name if name.bytes().all(is_plain) => name.to_owned(),
        _ => "image".to_owned(),
    }
}

/// The name; each byte that is no letter or digit is escaped, which sfdisk undoes.
fn name(partition: &Partition) -> anyhow::Result<String> {
    let number = partition.number;
    ensure!(
        !partition.name.has_lone_surrogates(),
        "partition {number}: the name is not UTF-16, and sfdisk cannot be told"
    );
    ensure!(
        !partition.name.has_hidden_text(),
        "partition {number}: the name goes on behind its end, and sfdisk cannot be told"
    );
    let mut text = String::new();
    for letter in char::decode_utf16(partition.name.text_units()).flatten() {
        if letter.is_ascii_alphanumeric() || " ._-+".contains(letter) {
            text.push(letter);
            continue;
        }
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    Ok(text)
}

/// The attributes in sfdisk's words.
fn attributes(partition: &Partition) -> anyhow::Result<String> {
    const NAMES: [&str; 3] = ["RequiredPartition", "NoBlockIOProtocol", "LegacyBIOSBootable"];
    let bits = partition.attributes.0;
    let has = |bit: usize| bits >> bit & 1 == 1;
    ensure!(
        !(3..48).any(has),
        "partition {}: attributes {bits:#018x}: sfdisk knows no bits 3 to 47",
        partition.number
    );
    let mut words: Vec<String> =
        NAMES.iter().enumerate().filter(|(bit, _)| has(*bit)).map(|(_, name)| (*name).to_owned()).collect();
    let own: Vec<String> = (48..64).filter(|bit| has(*bit)).map(|bit| bit.to_string()).collect();
    if !own.is_empty() {
        words.push(format!("GUID:{}", own.join(",")));
    }
    Ok(words.join(" "))
}
