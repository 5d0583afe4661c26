//! Partitions besides.

use serde_json::{Value, json};

use crate::dissect::Selection;
use crate::unproven::Unproven;

/// Partitions that some systemd would use, and of which nothing is proven.
pub(super) fn unproven(unproven: &[Unproven]) -> Value {
    let one = |partition: &Unproven| {
        json!({
            "partition": partition.number,
            "designator": partition.designator.name(),
            "architecture": partition.architecture.map(|architecture| architecture.name()),
            "used": matches!(partition.selection, Selection::Chosen(_)),
            "skipped": match partition.selection {
                Selection::Chosen(_) => None,
                Selection::Skipped(why) => Some(why.code()),
            },
            "exposed": partition.is_exposed,
        })
    };
    unproven.iter().map(one).collect()
}
