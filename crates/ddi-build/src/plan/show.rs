//! A plan as a table, and as the JSON of systemd-repart.

use std::fmt;

use ddi_gpt::Escaped;
use serde_core::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Activity, Plan, PlannedPartition};

impl Plan {
    /// The device node that the kernel gives a partition: `image.raw3`, `image7p3`.
    fn node(&self, partition: &PlannedPartition) -> String {
        let image = self.image.to_string_lossy();
        let between = if image.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        format!("{image}{between}{}", partition.number.saturating_add(1))
    }

    /// The root hash of the tree that the partition belongs to; `TBD` until it was made.
    fn root_hash_text(&self, partition: &PlannedPartition) -> Option<String> {
        let has_role = partition.definition.is_some() && partition.verity_by_definition;
        let tree = partition.tree.and_then(|tree| self.trees.get(tree));
        match tree.and_then(|tree| tree.root_hash.as_ref()) {
            Some(root_hash) => Some(root_hash.to_string()),
            None => has_role.then(|| "TBD".to_owned()),
        }
    }
}

/// The array that `systemd-repart --json` prints, with its keys in its order.
impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.partitions.len()))?;
        let any = |has: &dyn Fn(&PlannedPartition) -> bool| self.partitions.iter().any(has);
        let with = Row {
            plan: self,
            partition: None,
            root_hash: any(&|it| it.verity_by_definition),
            drop_ins: any(&|it| !it.drop_ins.is_empty()),
            split: any(&|it| it.split_name.is_some()),
        };
        for partition in &self.partitions {
            rows.serialize_element(&Row { partition: Some(partition), ..with })?;
        }
        rows.end()
    }
}

/// One partition, with the columns that there are.
#[derive(Clone, Copy)]
struct Row<'a> {
    plan: &'a Plan,
    partition: Option<&'a PlannedPartition>,
    root_hash: bool,
    drop_ins: bool,
    split: bool,
}

fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let Some(it) = self.partition else { return map.end() };
        map.serialize_entry("type", &it.partition_type.name())?;
        map.serialize_entry("label", &or_dash(Some(it.label.clone())))?;
        map.serialize_entry("uuid", &it.guid.map(|guid| guid.to_string()))?;
        map.serialize_entry("partno", &it.number)?;
        map.serialize_entry("file", &it.file.as_ref().map(|path| path.to_string_lossy()))?;
        map.serialize_entry("node", &self.plan.node(it))?;
        map.serialize_entry("offset", &it.offset)?;
        map.serialize_entry("old_size", &it.old_size)?;
        map.serialize_entry("raw_size", &it.size)?;
        map.serialize_entry("old_padding", &it.old_padding)?;
        map.serialize_entry("raw_padding", &it.padding)?;
        map.serialize_entry("activity", it.activity.name())?;
        if self.root_hash {
            map.serialize_entry("roothash", &self.plan.root_hash_text(it))?;
        }
        if self.drop_ins {
            let paths: Vec<_> = it.drop_ins.iter().map(|path| path.to_string_lossy()).collect();
            map.serialize_entry("drop-in_files", &paths)?;
        }
        if self.split {
            let path = self.plan.split_path(it).map(|path| path.to_string_lossy().into_owned());
            map.serialize_entry("split_path", &or_dash(path))?;
        }
        map.end()
    }
}

/// `10M`, `100.9M`: systemd's `FORMAT_BYTES`, one decimal, cut off.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [('E', 60_u32), ('P', 50), ('T', 40), ('G', 30), ('M', 20), ('K', 10)];
        let text = match units.into_iter().find(|(_, shift)| self.0 >> shift > 0) {
            None => format!("{}B", self.0),
            Some((unit, shift)) => {
                let whole = self.0 >> shift;
                // tenths of what is left, of which the lowest bits do not count
                let rest = (self.0 >> shift.saturating_sub(10)) & 1023;
                match rest.saturating_mul(10) >> 10 {
                    0 => format!("{whole}{unit}"),
                    tenth => format!("{whole}.{tenth}{unit}"),
                }
            }
        };
        f.pad(&text)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = |old: u64, new: u64, activity| match activity {
            Activity::Create => format!("→ {}", Bytes(new)),
            _ if old == new => Bytes(new).to_string(),
            _ => format!("{} → {}", Bytes(old), Bytes(new)),
        };
        let mut rows =
            vec![["NO", "TYPE", "LABEL", "UUID", "OFFSET", "SIZE", "FREE BEHIND", "FILE"].map(str::to_owned)];
        for it in &self.partitions {
            let file = it.file.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
            rows.push([
                it.number.saturating_add(1).to_string(),
                it.partition_type.name(),
                or_dash(Some(Escaped::new(&it.label).to_string())),
                it.guid.map_or_else(|| "(from the root hash)".to_owned(), |guid| guid.to_string()),
                Bytes(it.offset).to_string(),
                change(it.old_size, it.size, it.activity),
                change(it.old_padding, it.padding, it.activity),
                file.map_or_else(|| "-".to_owned(), |name| Escaped::new(&name).to_string()),
            ]);
        }
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..8).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn bytes_as_systemd_prints_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (4096, "4K"),
            (65_951_744, "62.8M"),
            (1 << 20, "1M"),
            ((1 << 20) + 1, "1M"),
            (3 << 29, "1.5G"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
