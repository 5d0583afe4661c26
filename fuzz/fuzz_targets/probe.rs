//! Asserts: whatever lies in a partition is probed without a panic, and what is recognised has its magic inside.
#![no_main]

use ddi_core::fs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[at, grow], bytes)) = input.split_first_chunk() else { return };
    // superblocks are at 0, 1 KiB, 4 KiB, 32 KiB or 64 KiB
    let start = [0, 1024, 4086, 32768, 65536][usize::from(at) % 5];
    let mut image = vec![0; start];
    image.extend_from_slice(bytes);
    image.resize(image.len() + usize::from(grow) * 65536, 0);
    match fs::probe(&image) {
        Ok(Some(probe)) => assert!(probe.magic_offset < image.len() as u64),
        Ok(None) => {}
        Err(error) => drop(error.to_string()),
    }
});
