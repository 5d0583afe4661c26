//! The LZ4 block format.
//!
//! Source: `doc/lz4_Block_format.md` of LZ4.

use super::window::Window;

/// Decompresses until the input ends or `output` is full.
pub(super) fn decompress(mut input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut out = Window::new(output);
    while !out.is_full() {
        let Some((token, rest)) = input.split_first() else { break };
        input = rest;
        let literals = length(&mut input, token >> 4)?;
        if literals > input.len() {
            // the stretch of output that was asked for may end in the middle of these
            out.literals(input)?;
            return out.is_full().then_some(out.len());
        }
        let (bytes, rest) = input.split_at_checked(literals)?;
        out.literals(bytes)?;
        input = rest;
        // the last sequence has no match
        if input.is_empty() || out.is_full() {
            break;
        }
        let (distance, rest) = input.split_first_chunk::<2>()?;
        input = rest;
        let len = length(&mut input, token & 0xf)?.checked_add(4)?;
        out.repeat(usize::from(u16::from_le_bytes(*distance)), len)?;
    }
    Some(out.len())
}

/// A length of 4 bits, continued in bytes as long as they are all ones.
fn length(input: &mut &[u8], nibble: u8) -> Option<usize> {
    let mut len = usize::from(nibble);
    if nibble == 15 {
        loop {
            let (byte, rest) = input.split_first()?;
            *input = rest;
            len = len.checked_add(usize::from(*byte))?;
            if *byte != 255 {
                break;
            }
        }
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_and_overlapping_matches() {
        // "abc", then 9 bytes from 3 back, then "xyz12"
        let block = b"\x35abc\x03\x00\x50xyz12";
        let mut out = [0; 32];
        assert_eq!(decompress(block, &mut out), Some(17));
        assert_eq!(&out[..17], b"abcabcabcabcxyz12");
        let mut out = [0; 7];
        assert_eq!(decompress(block, &mut out), Some(7));
        assert_eq!(&out, b"abcabca");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut out = [0; 64];
        for block in
            [&b"\x35abc\x04\x00"[..], b"\x35abc\x00\x00", b"\x35abc\x03", b"\xf0\xff\xff", b"\xf0\x01ab"]
        {
            assert_eq!(decompress(block, &mut out), None, "{block:?}");
        }
    }
}
