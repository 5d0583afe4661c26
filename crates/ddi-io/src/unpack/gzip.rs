//! gzip, RFC 1952. `miniz_oxide` decodes deflate.

use std::io::Read;

use crc32fast::Hasher;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate, inflate_flags};

use super::{Compression, Input, Output, Stop, UnpackError, damage};

/// Where deflated data is put, round and round: a power of two, and 32 KiB at least, which is how far it looks back.
const RING: usize = 128 << 10;
/// Longest file name or comment in a header. The format has no bound.
const MAX_TEXT: usize = 64 << 10;

// FLG, 2.3.1
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

pub(super) fn decompress(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Stop> {
    let mut ring = vec![0; RING];
    let mut decoder = Box::<DecompressorOxide>::default();
    loop {
        match *input.peek(2)? {
            [] => return Ok(()),
            [0x1f, 0x8b, ..] => {}
            _ => {
                let (compression, offset) = (Compression::Gzip, input.offset());
                return Err(UnpackError::Trailing { compression, offset }.into());
            }
        }
        header(input)?;
        decoder.init();
        member(&mut decoder, &mut ring, input, output)?;
    }
}

/// Some bytes of a header, which has a checksum of its own.
fn bytes<const N: usize>(input: &mut Input<'_>, crc: &mut Hasher) -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    crc.update(&bytes);
    Ok(bytes)
}

fn header(input: &mut Input<'_>) -> Result<(), Stop> {
    let mut crc = Hasher::new();
    let [_id1, _id2, cm, flg, _mtime @ .., _xfl, _os] = bytes::<10>(input, &mut crc)?;
    if cm != 8 || flg & RESERVED != 0 {
        return Err(damage("a member has an unknown method or flag"));
    }
    if flg & FEXTRA != 0 {
        let xlen = u16::from_le_bytes(bytes(input, &mut crc)?);
        for _ in 0..xlen {
            bytes::<1>(input, &mut crc)?;
        }
    }
    for text in [FNAME, FCOMMENT] {
        if flg & text != 0 {
            skip_text(input, &mut crc)?;
        }
    }
    if flg & FHCRC != 0 {
        let found = crc.clone().finalize().to_le_bytes();
        let crc16 = bytes::<2>(input, &mut crc)?;
        if !found.starts_with(&crc16) {
            return Err(damage("a header does not have its checksum"));
        }
    }
    Ok(())
}

fn skip_text(input: &mut Input<'_>, crc: &mut Hasher) -> Result<(), Stop> {
    for _ in 0..MAX_TEXT {
        if bytes(input, crc)? == [0] {
            return Ok(());
        }
    }
    Err(damage("a file name or comment has no end"))
}

/// Deflated data, CRC-32 and size.
fn member(
    decoder: &mut DecompressorOxide,
    ring: &mut [u8],
    input: &mut Input<'_>,
    output: &mut Output<'_>,
) -> Result<(), Stop> {
    let mut crc = Hasher::new();
    let mut size: u32 = 0;
    let mut at: usize = 0;
    loop {
        let there = input.peek(1)?;
        let flags = if there.is_empty() { 0 } else { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT };
        let (status, taken, made) = inflate(decoder, there, ring, at, flags);
        input.consume(taken);
        let end = at.saturating_add(made);
        let piece = ring.get(at..end).unwrap_or_default();
        crc.update(piece);
        size = size.wrapping_add(u32::try_from(made).unwrap_or_default());
        output(piece)?;
        at = if end >= ring.len() { 0 } else { end };
        match status {
            TINFLStatus::Done => break,
            // only ever less than the end of the ring if it wants more
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput if taken > 0 || made > 0 => {}
            _ => return Err(damage("deflated data makes no sense")),
        }
    }
    let mut trailer = [0; 8];
    input.read_exact(&mut trailer)?;
    let [c0, c1, c2, c3, isize @ ..] = trailer;
    if u32::from_le_bytes([c0, c1, c2, c3]) != crc.finalize() {
        return Err(damage("a member does not have its checksum"));
    }
    if u32::from_le_bytes(isize) != size {
        return Err(damage("a member does not have its size"));
    }
    Ok(())
}
