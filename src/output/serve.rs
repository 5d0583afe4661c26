//! What a server says of itself.

use std::path::Path;

use ddi_core::Damage;
use ddi_serve::Statistics;

use super::{print_json, shown_name};

/// Files of one block that are named.
const SHOWN: usize = 3;

/// What was done so far, in a line.
pub(crate) fn served_text(statistics: &Statistics) -> String {
    let Statistics { connections, requests, bytes, zero_bytes, corrupt, failed, .. } = statistics;
    let mut text = format!(
        "served {requests} requests of {connections} connections: {bytes} bytes, and {zero_bytes} known to be zeros"
    );
    if let (Some(p50), Some(p99)) = (statistics.p50, statistics.p99) {
        text.push_str(&format!("; half within {p50:.1?}, 99 of 100 within {p99:.1?}"));
    }
    text.push_str(&format!("; {corrupt} reads of corrupt blocks, {failed} failed otherwise"));
    text
}

/// The same as JSON.
pub(crate) fn served(statistics: &Statistics, image: &Path) -> anyhow::Result<()> {
    let mut document = statistics.to_json();
    document["image"] = image.display().to_string().into();
    print_json(&document)
}

/// Whose block it is, to be put behind a sentence; empty if nothing can be told.
pub(crate) fn owners_text(damage: &Damage) -> String {
    let Ok(owners) = &damage.owners else { return String::new() };
    let Some(found) = owners.ranges.first() else { return String::new() };
    let mut names: Vec<_> = found.owners.iter().take(SHOWN).map(|owner| shown_name(&owner.path)).collect();
    let more = found.count.saturating_sub(names.len() as u64);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    if !found.system.is_empty() {
        names.push("the file system itself".into());
    }
    match names.is_empty() {
        true if owners.is_complete() => ": not in use".into(),
        true => String::new(),
        false => format!(": of {}", names.join(", ")),
    }
}
