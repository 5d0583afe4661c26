//! Partitions besides those that are proven.

use std::fmt::Write;

use ddi_core::Unproven;

use super::count;

/// That many are named.
const SHOWN: usize = 20;

/// What else there is, and would be used.
pub(super) fn unproven_text(unproven: &[Unproven]) -> String {
    let mut text = String::new();
    for partition in unproven.iter().take(SHOWN) {
        let _ = writeln!(text, "  not proven: {partition}");
    }
    let more = unproven.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        let _ = writeln!(text, "  not proven: {}", count(more, "more partition"));
    }
    if unproven.iter().any(|partition| partition.is_exposed) {
        text.push_str("  (--architecture says for which machine the image is meant)\n");
    }
    text
}
