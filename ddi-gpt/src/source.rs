//! Reading each byte once.

use alloc::vec;
use alloc::vec::Vec;

/// The disk, through the caller's closure. What has been read is kept, and not asked for again: storage that changes in
/// between cannot show two faces.
pub(crate) struct Source<F> {
    size: u64,
    read: F,
    /// Never many: a few blocks, and two arrays.
    pieces: Vec<Piece>,
}

/// Bytes of the disk, with their place.
struct Piece {
    offset: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// What the piece has from `offset` on.
    fn from(&self, offset: u64) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(at..).filter(|bytes| !bytes.is_empty())
    }
}

/// A piece of the disk that has been read.
#[derive(Clone, Copy)]
pub(crate) struct PieceId(usize);

impl<E, F: FnMut(u64, &mut [u8]) -> Result<(), E>> Source<F> {
    pub(crate) fn new(size: u64, read: F) -> Self {
        Self { size, read, pieces: Vec::new() }
    }

    /// Reads `len` bytes at `offset`. The caller has bounded both: what is past the end of the disk stays zero.
    pub(crate) fn fetch(&mut self, offset: u64, len: usize) -> Result<PieceId, E> {
        let mut bytes = vec![0; len];
        let mut rest = bytes.as_mut_slice();
        let mut at = offset;
        while !rest.is_empty() && at < self.size {
            let known = self.pieces.iter().find_map(|piece| piece.from(at));
            let wanted = match known {
                Some(known) => known.len(),
                None => {
                    let next = self.pieces.iter().map(|piece| piece.offset).filter(|next| *next > at).min();
                    let gap = next.unwrap_or(self.size).min(self.size).saturating_sub(at);
                    usize::try_from(gap).unwrap_or(usize::MAX)
                }
            };
            let Some((now, later)) = rest.split_at_mut_checked(wanted.min(rest.len())) else { break };
            match known.and_then(|known| known.get(..now.len())) {
                Some(known) => now.copy_from_slice(known),
                None => (self.read)(at, now)?,
            }
            at = at.saturating_add(len_u64(now));
            rest = later;
        }
        let id = PieceId(self.pieces.len());
        self.pieces.push(Piece { offset, bytes });
        Ok(id)
    }

    /// The bytes of a piece.
    pub(crate) fn bytes(&self, id: PieceId) -> &[u8] {
        self.pieces.get(id.0).map_or(&[], |piece| &piece.bytes)
    }

    /// Bytes that have been read as part of one piece or another.
    pub(crate) fn known(&self, offset: u64, len: usize) -> Option<&[u8]> {
        self.pieces.iter().find_map(|piece| piece.from(offset)?.get(..len))
    }

    /// Gives a piece away. The last thing to do with a source.
    pub(crate) fn take(&mut self, id: PieceId) -> Vec<u8> {
        self.pieces.get_mut(id.0).map(|piece| core::mem::take(&mut piece.bytes)).unwrap_or_default()
    }
}

pub(crate) fn len_u64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn no_byte_is_read_twice() {
        let disk: Vec<u8> = (0..200).collect();
        let mut reads = [0; 200];
        let mut source = Source::new(200, |offset, buf: &mut [u8]| {
            let range = offset as usize..offset as usize + buf.len();
            reads[range.clone()].iter_mut().for_each(|n| *n += 1);
            buf.copy_from_slice(&disk[range]);
            Ok::<_, ()>(())
        });
        for (offset, len) in [(10, 20), (50, 10), (0, 100), (5, 60), (190, 30), (150, 50), (0, 200)] {
            let id = source.fetch(offset, len).unwrap();
            let bytes = source.bytes(id);
            for (i, byte) in bytes.iter().enumerate() {
                let at = offset as usize + i;
                assert_eq!(*byte, if at < 200 { at as u8 } else { 0 });
            }
        }
        assert_eq!(source.known(60, 30).unwrap()[0], 60);
        drop(source);
        assert_eq!(reads, [1; 200]);
    }

    #[test]
    fn a_piece_without_bytes_is_no_obstacle() {
        let mut source = Source::new(100, |offset, buf: &mut [u8]| {
            assert!(!buf.is_empty());
            buf.fill(u8::try_from(offset).unwrap());
            Ok::<_, ()>(())
        });
        let empty = source.fetch(10, 0).unwrap();
        let whole = source.fetch(10, 5).unwrap();
        assert_eq!((source.bytes(empty), source.bytes(whole)), (&[][..], &[10; 5][..]));
    }
}
