//! Asserts: a verity superblock that is accepted is written as the very bytes it was read from, has a layout or an
//! error, and nothing panics; what is only looked at never is an error.
#![no_main]

use ddi_verity::{HashTree, Placement, Superblock};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut bytes = [0; 512];
    let len = input.len().min(512);
    bytes[..len].copy_from_slice(&input[..len]);
    if input.get(512).is_some_and(|byte| byte & 1 == 1) {
        bytes[..12].copy_from_slice(b"verity\0\0\x01\0\0\0");
    }
    let _ = Superblock::examine(&bytes).faults.iter().map(ToString::to_string).count();
    let Ok(superblock) = Superblock::parse(&bytes) else { return };
    assert_eq!(superblock.to_bytes(), bytes);
    let Ok(tree) = HashTree::new(superblock.params, Placement::Superblock(0)) else { return };
    let layout = tree.layout();
    assert!(layout.levels().windows(2).all(|pair| pair[1].blocks < pair[0].blocks));
    assert!(layout.levels().last().is_none_or(|top| top.blocks == 1));
});
