//! LZO1X.
//!
//! Source: Linux, `Documentation/staging/lzo.rst`.

use super::window::Window;

/// Decompresses until the end mark or until `output` is full.
pub(super) fn decompress(mut input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut out = Window::new(output);
    // literals that the instruction before has copied; 4 for a long run
    let mut state: usize = 0;
    if let Some((first, rest)) = input.split_first()
        && *first > 17
    {
        input = rest;
        let n = usize::from(*first).checked_sub(17)?;
        literals(&mut input, &mut out, n)?;
        state = n.min(4);
    }
    while !out.is_full() {
        let code = usize::from(byte(&mut input)?);
        let (distance, len, next) = match code {
            0..16 if state == 0 => {
                let n = long(&mut input, code, 15)?.checked_add(3)?;
                literals(&mut input, &mut out, n)?;
                state = 4;
                continue;
            }
            0..16 => {
                let high = usize::from(byte(&mut input)?) << 2;
                let (base, len) = if state == 4 { (2049, 3) } else { (1, 2) };
                ((high | code >> 2).checked_add(base)?, len, code & 3)
            }
            16..32 => {
                let len = long(&mut input, code & 7, 7)?.checked_add(2)?;
                let word = word(&mut input)?;
                let distance = ((code & 8) << 11 | word >> 2).checked_add(16384)?;
                if distance == 16384 {
                    return Some(out.len());
                }
                (distance, len, word & 3)
            }
            32..64 => {
                let len = long(&mut input, code & 31, 31)?.checked_add(2)?;
                let word = word(&mut input)?;
                ((word >> 2).checked_add(1)?, len, word & 3)
            }
            _ => {
                let len = (code >> 5).checked_add(1)?;
                let high = usize::from(byte(&mut input)?) << 3;
                ((high | code >> 2 & 7).checked_add(1)?, len, code & 3)
            }
        };
        out.repeat(distance, len)?;
        literals(&mut input, &mut out, next)?;
        state = next;
    }
    Some(out.len())
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = input.split_first()?;
    *input = rest;
    Some(*byte)
}

fn word(input: &mut &[u8]) -> Option<usize> {
    let (word, rest) = input.split_first_chunk::<2>()?;
    *input = rest;
    Some(usize::from(u16::from_le_bytes(*word)))
}

/// A length that, if it is zero, goes on in the bytes that follow.
fn long(input: &mut &[u8], bits: usize, base: usize) -> Option<usize> {
    if bits != 0 {
        return Some(bits);
    }
    let mut len = base;
    loop {
        match byte(input)? {
            0 => len = len.checked_add(255)?,
            n => return len.checked_add(usize::from(n)),
        }
    }
}

fn literals(input: &mut &[u8], out: &mut Window<'_>, n: usize) -> Option<()> {
    let (bytes, rest) = input.split_at_checked(n)?;
    *input = rest;
    out.literals(bytes)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_matches_and_the_end_mark() {
        // 4 literals; 3 bytes from 4 back and one literal more; the end
        let block = b"\x15abcd\x4d\x00e\x11\x00\x00";
        let mut out = [0; 16];
        assert_eq!(decompress(block, &mut out), Some(8));
        assert_eq!(&out[..8], b"abcdabce");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut out = [0; 64];
        for block in [&b""[..], b"\x15abc", b"\x15abcd\x5d\x00", b"\x00", b"\x15abcd"] {
            assert_eq!(decompress(block, &mut out), None, "{block:?}");
        }
    }
}
