//! A frame by libzstd. It checks the checksum of the content, and its size, where the frame says them.

use std::io;

use zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::PIECE;
use crate::unpack::{Compression, Input, MAX_WINDOW_SIZE, Output, Stop, UnpackError, damage};

/// Magic number and descriptor of a frame, in bytes.
const START: usize = 5;

pub(super) struct Decoder {
    decoder: DCtx<'static>,
    piece: Vec<u8>,
}

fn told(code: ErrorCode) -> Stop {
    damage(get_error_name(code))
}

impl Decoder {
    pub(super) fn new() -> Result<Self, Stop> {
        let no_memory = || Stop::Decoder(io::ErrorKind::StorageFull.into());
        let mut decoder = DCtx::try_create().ok_or_else(no_memory)?;
        // it looks for itself, too
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_SIZE.ilog2())).map_err(told)?;
        Ok(Decoder { decoder, piece: vec![0; PIECE] })
    }

    pub(super) fn frame(&mut self, input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Stop> {
        let header = header_size(input.peek(START)?);
        if window_size(input.peek(header)?).is_some_and(|size| size > MAX_WINDOW_SIZE) {
            return Err(UnpackError::WindowTooLarge { compression: Compression::Zstd }.into());
        }
        self.decoder.reset(ResetDirective::SessionOnly).map_err(told)?;
        // it is given what it asks for, a header or a block, and so what it says does not depend on how the stream comes
        let mut wanted = START;
        loop {
            let there = input.offer(wanted.max(1))?;
            let offered = there.len();
            let (mut from, mut to) = (InBuffer::around(there), OutBuffer::around(self.piece.as_mut_slice()));
            let outcome = self.decoder.decompress_stream(&mut to, &mut from);
            let (taken, made) = (from.pos, to.pos());
            wanted = match outcome {
                Ok(wanted) => wanted,
                Err(code) => {
                    // somewhere in what it was given
                    input.consume(offered);
                    return Err(told(code));
                }
            };
            input.consume(taken);
            output(self.piece.get(..made).unwrap_or_default())?;
            if wanted == 0 {
                return Ok(());
            }
            if taken == 0 && made == 0 {
                // nothing will come of nothing
                let is_end = input.peek(1)?.is_empty();
                let kind = if is_end { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
                return Err(Stop::Decoder(kind.into()));
            }
        }
    }
}

/// Length of the header that begins so, in bytes: RFC 8878, 3.1.1.1.
fn header_size(start: &[u8]) -> usize {
    let descriptor = start.last().copied().unwrap_or_default();
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or_default();
    let single = descriptor & 0x20 != 0;
    let size = match descriptor >> 6 {
        0 => usize::from(single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    START.saturating_add(usize::from(!single)).saturating_add(dictionary).saturating_add(size)
}

/// How far back the content of a frame refers, in bytes, by the header: RFC 8878, 3.1.1.1. `None` if it is cut short.
fn window_size(header: &[u8]) -> Option<u64> {
    let [_, _, _, _, descriptor, rest @ ..] = header else { return None };
    if descriptor & 0x20 == 0 {
        let window = rest.first()?;
        let base = 1_u64.checked_shl(u32::from(window >> 3).saturating_add(10))?;
        return Some(base.saturating_add((base / 8).saturating_mul(u64::from(window & 7))));
    }
    // all of the content at once
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let (len, add) = match descriptor >> 6 {
        0 => (1, 0),
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    let size = rest.get(*dictionary..)?.get(..len)?;
    let size = size.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    Some(size.saturating_add(add))
}

#[cfg(test)]
mod tests {
    use super::{header_size, window_size};

    #[test]
    fn headers_by_the_descriptor() {
        for (descriptor, size) in
            [(0x00, 6), (0x20, 6), (0x60, 7), (0x40, 8), (0xa1, 10), (0xe3, 17), (0xc3, 18)]
        {
            assert_eq!(header_size(&[0x28, 0xb5, 0x2f, 0xfd, descriptor]), size, "{descriptor:x}");
        }
    }

    #[test]
    fn windows_by_the_header() {
        let of = |bytes: &[u8]| window_size(&[&[0x28, 0xb5, 0x2f, 0xfd][..], bytes].concat());
        for (header, size) in [
            (&[0x00, 0x00][..], Some(1 << 10)),
            (&[0x00, 0x88], Some(1 << 27)),
            (&[0x00, 0x89], Some((1 << 27) + (1 << 24))),
            (&[0x04, 0x07], Some((1 << 10) + 7 * 128)),
            (&[0x00, 0xff], Some((1 << 41) + 7 * (1 << 38))),
            (&[0x20, 0xff], Some(255)),
            (&[0x60, 0x01, 0x02], Some(0x201 + 256)),
            (&[0xa1, 9, 1, 2, 3, 4], Some(0x0403_0201)),
            (&[0xe3, 9, 9, 9, 9, 1, 0, 0, 0, 0, 0, 0, 0xff], Some(0xff00_0000_0000_0001)),
            (&[0xe3, 9, 9, 9, 9, 1, 0, 0, 0, 0, 0, 0], None),
            (&[0x00], None),
            (&[], None),
        ] {
            assert_eq!(of(header), size, "{header:x?}");
        }
    }
}
