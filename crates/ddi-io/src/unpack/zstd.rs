//! Zstandard: `ruzstd` decodes a frame; that there are several, some to be skipped, is seen to here.

use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Compression, Input, MAX_WINDOW_SIZE, Output, Stop, UnpackError, damage};

/// Size of a piece of output in bytes: a block.
const PIECE: usize = 128 << 10;

pub(super) fn decompress(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Stop> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW_SIZE);
    let mut piece = vec![0; PIECE];
    loop {
        match *input.peek(4)? {
            [] => return Ok(()),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => frame(&mut decoder, input, output, &mut piece)?,
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => skip(input)?,
            _ => {
                let (compression, offset) = (Compression::Zstd, input.offset());
                return Err(UnpackError::Trailing { compression, offset }.into());
            }
        }
    }
}

/// Magic number, size, and as many bytes of anything.
fn skip(input: &mut Input<'_>) -> Result<(), Stop> {
    let mut header = [0; 8];
    input.read_exact(&mut header)?;
    let [_, _, _, _, size @ ..] = header;
    let size = u64::from(u32::from_le_bytes(size));
    let skipped = io::copy(&mut input.take(size), &mut io::sink())?;
    if skipped == size { Ok(()) } else { Err(Stop::Decoder(io::ErrorKind::UnexpectedEof.into())) }
}

fn frame(
    decoder: &mut FrameDecoder,
    input: &mut Input<'_>,
    output: &mut Output<'_>,
    piece: &mut [u8],
) -> Result<(), Stop> {
    let stop = |error: FrameDecoderError| match error {
        FrameDecoderError::WindowSizeTooBig { .. }
        | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. })
        | FrameDecoderError::FailedToInitialize(FrameHeaderError::WindowTooBig { .. }) => {
            UnpackError::WindowTooLarge { compression: Compression::Zstd }.into()
        }
        error => Stop::Decoder(io::Error::new(io::ErrorKind::InvalidData, error)),
    };
    decoder.reset(&mut *input).map_err(stop)?;
    let mut size: u64 = 0;
    while !decoder.is_finished() || decoder.can_collect() > 0 {
        if !decoder.is_finished() {
            decoder.decode_blocks(&mut *input, BlockDecodingStrategy::UptoBlocks(1)).map_err(stop)?;
        }
        while decoder.can_collect() > 0 {
            let count = decoder.read(piece)?;
            output(piece.get(..count).unwrap_or_default())?;
            size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
    // 0 is also what it says where the header has no size
    if decoder.content_size() != 0 && decoder.content_size() != size {
        return Err(damage("the content has another size than the frame header says"));
    }
    match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
        (Some(expected), found) if found != Some(expected) => {
            Err(damage("the content has another checksum than the frame says"))
        }
        _ => Ok(()),
    }
}
