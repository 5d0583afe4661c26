//! The columns of `systemd-dissect`.

use std::path::Path;

use ddi_core::Report;
use ddi_core::steps::{Mount, VerityColumn};

use super::super::table::{Cell, Table};
use super::{label, option};

/// The table of systemd-dissect.
pub(super) fn table(path: &Path, report: &Report) -> Table {
    let mut table = Table::new(&[
        "RW",
        "DESIGNATOR",
        "PARTITION UUID",
        "PARTITION LABEL",
        "FSTYPE",
        "ARCHITECTURE",
        "VERITY",
        "GROWFS",
        "NODE",
        ">PARTNO",
    ])
    .cutting(&["PARTITION UUID", "PARTITION LABEL", "FSTYPE", "NODE"])
    .dropping(&[
        "NODE",
        "GROWFS",
        "ARCHITECTURE",
        "PARTITION UUID",
        "FSTYPE",
        "VERITY",
        "PARTITION LABEL",
    ]);
    for mount in &report.mounts {
        let file_name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
        table.row([
            Cell::shown(rw(mount)),
            Cell::shown(mount.designator),
            Cell::shown(option(mount.partition_uuid)),
            // of a generic partition that became root, systemd keeps no label
            match report.partitions.iter().find(|partition| Some(partition.number) == mount.number) {
                Some(partition) if mount.partition_label.is_some() => label(&partition.entry, usize::MAX),
                _ => "".into(),
            },
            Cell::shown(option(mount.fstype)),
            Cell::shown(option(mount.architecture)),
            Cell::shown(option(mount.verity.map(|verity| match verity {
                VerityColumn::Unused => "tree, not used",
                verity => verity.name(),
            }))),
            Cell::shown(if mount.growfs { "yes" } else { "no" }),
            mount.node(&file_name).into(),
            Cell::shown(option(mount.number)),
        ]);
    }
    table
}

fn rw(mount: &Mount) -> &'static str {
    if mount.rw { "rw" } else { "ro" }
}
