//! One Zstandard frame, by libzstd.

use std::cell::RefCell;

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::ZSTD_WINDOW;

/// A decoder with more memory than this in bytes, for a window, is not kept.
const KEPT: usize = 1 << 20;

std::thread_local! {
    /// What the last block of this thread was decoded with: making another takes as long as a small block.
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Decompresses until the frame ends or `output` is full.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut decoder = match DECODER.try_with(RefCell::take).ok().flatten() {
        Some(decoder) => decoder,
        None => DCtx::try_create()?,
    };
    let done = frame(&mut decoder, input, output);
    if decoder.sizeof() <= KEPT {
        // a thread that is about to end keeps nothing
        let _ = DECODER.try_with(|kept| kept.replace(Some(decoder)));
    }
    done
}

fn frame(decoder: &mut DCtx<'_>, input: &[u8], output: &mut [u8]) -> Option<usize> {
    decoder.reset(ResetDirective::SessionOnly).ok()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW.ilog2())).ok()?;
    let full = output.len();
    let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
    loop {
        let before = (from.pos, to.pos());
        let left = decoder.decompress_stream(&mut to, &mut from).ok()?;
        if left == 0 || to.pos() == full {
            return Some(to.pos());
        }
        if (from.pos, to.pos()) == before {
            // the input has ended before its frame
            return None;
        }
    }
}
