//! Zstandard: a decoder decodes a frame; that there are several, some to be skipped, is seen to here.

#[cfg(feature = "libzstd")]
mod libzstd;
#[cfg(feature = "zstd")]
mod pure;

use std::io::{self, Read};

use super::{Compression, Input, Output, Stop, UnpackError};

/// Size of a piece of output in bytes: a block.
const PIECE: usize = 128 << 10;

/// Decodes one frame, of which no byte is taken yet.
type Frame<'a> = dyn FnMut(&mut Input<'_>, &mut Output<'_>) -> Result<(), Stop> + 'a;

pub(super) fn decompress(pure: bool, input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Stop> {
    #[cfg(feature = "libzstd")]
    if !(pure && cfg!(feature = "zstd")) {
        let mut decoder = libzstd::Decoder::new()?;
        return frames(input, output, &mut |input, output| decoder.frame(input, output));
    }
    let _ = pure;
    #[cfg(feature = "zstd")]
    {
        let mut decoder = pure::Decoder::new();
        frames(input, output, &mut |input, output| decoder.frame(input, output))
    }
    #[cfg(not(feature = "zstd"))]
    Err(UnpackError::Unsupported { compression: Compression::Zstd }.into())
}

fn frames(input: &mut Input<'_>, output: &mut Output<'_>, frame: &mut Frame<'_>) -> Result<(), Stop> {
    loop {
        match *input.peek(4)? {
            [] => return Ok(()),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => frame(input, output)?,
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
