//! What lies in a partition.

use ddi_fs::probe::FactValue;
use ddi_fs::{Probe, probe as fs};
use ddi_gpt::Escaped;
use ddi_verity::ReadAt;

use super::input::{Input, Sparse};
use super::text::assert_fit_for_a_terminal;

/// Asserts: whatever lies in a partition is probed without a panic; what is recognised has its magic inside; its texts can be made
/// fit for a terminal; bytes that are missing are those it claims. A second disk with the end cut off is probed too.
pub fn probe(input: &[u8]) {
    let mut input = Input(input);
    let cut = input.byte();
    let mut disk = Sparse::from_runs(&mut input, 1 << 40);
    look(&disk);
    if cut != 0 {
        disk.size = disk.size.saturating_sub(u64::from(cut) * 512);
        look(&disk);
    }
}

fn look(disk: &Sparse) {
    match fs::probe(disk) {
        Ok(Some(probe)) => sound(&probe, disk.size()),
        Ok(None) => {}
        Err(error) => drop((error.to_string(), error.code())),
    }
}

fn sound(probe: &Probe, size: u64) {
    assert!(probe.magic_offset < size);
    assert_eq!(probe.missing_bytes, probe.claimed_size.map_or(0, |claimed| claimed.saturating_sub(size)));
    if let Some(label) = &probe.label {
        assert_fit_for_a_terminal(&Escaped::new(&label.to_string()).to_string());
    }
    if let Some(uuid) = &probe.uuid {
        assert_fit_for_a_terminal(&Escaped::new(&uuid.to_string()).to_string());
    }
    for fact in &probe.facts {
        if let FactValue::Text(text) = &fact.value {
            assert_fit_for_a_terminal(&Escaped::new(&text.to_string()).to_string());
        }
    }
    let _ = probe.luks.as_ref().map(|luks| luks.has_integrity());
}
