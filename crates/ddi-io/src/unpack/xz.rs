//! xz: `lzma-rust2` does all of it. CRC-32, CRC-64 and SHA-256 are checked, whichever the stream has.

use std::io::Read;

use lzma_rust2::XzReader;

use super::{Input, MAX_WINDOW_SIZE, Output, Stop};

/// Most memory of the decoder in KiB: the largest dictionary, and 256 KiB for what goes with it.
const MEMORY: u64 = (MAX_WINDOW_SIZE >> 10) + 256;

/// Size of a piece of output in bytes.
const PIECE: usize = 64 << 10;

pub(super) fn decompress(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Stop> {
    let memory = u32::try_from(MEMORY).unwrap_or(u32::MAX);
    let mut reader = XzReader::new_mem_limit(input, true, memory);
    let mut piece = vec![0; PIECE];
    loop {
        let count = reader.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        output(piece.get(..count).unwrap_or_default())?;
    }
}
