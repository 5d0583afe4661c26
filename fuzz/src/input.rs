//! Small inputs, large disks.

use std::io;

use ddi_verity::ReadAt;

/// Bytes of an input, from its start; zeros when it is used up.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.take(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// At most `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// LEB128, as far as it fits.
    pub(crate) fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }
}

/// A disk that is zero but for a few pieces; later ones lie over earlier ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sparse {
    pub(crate) size: u64,
    pub(crate) pieces: Vec<(u64, Vec<u8>)>,
}

/// Most pieces of a disk, and most bytes in them.
const MAX_PIECES: usize = 400;
const MAX_FILL: u64 = 256 << 10;

impl Sparse {
    /// Takes a disk from an input: its size, then runs. A run is the distance from the one before, and twice its length;
    /// then follow its bytes, or with one added to the length a single byte that fills it. Numbers are LEB128.
    pub(crate) fn from_runs(input: &mut Input<'_>, max_size: u64) -> Self {
        let mut disk = Sparse { size: input.number().min(max_size), pieces: Vec::new() };
        let (mut at, mut filled) = (0_u64, 0);
        while !input.0.is_empty() && disk.pieces.len() < MAX_PIECES {
            at = at.saturating_add(input.number());
            let len = input.number();
            let bytes = if len & 1 == 1 {
                let len = (len >> 1).min(MAX_FILL - filled);
                filled += len;
                vec![input.byte(); len as usize]
            } else {
                input.take(usize::try_from(len >> 1).unwrap_or(usize::MAX)).to_vec()
            };
            let start = at;
            at = at.saturating_add(bytes.len() as u64);
            disk.write(start, bytes);
        }
        disk
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: Vec<u8>) {
        self.pieces.push((offset, bytes));
    }

    /// What is on the disk at `offset`; `None` past its end.
    pub(crate) fn get<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact_at(offset, &mut bytes).ok().map(|()| bytes)
    }

    /// What is on the disk at `offset`, unless that is more than 1 MiB or past its end.
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok().filter(|len| *len <= 1 << 20)?];
        self.read_exact_at(offset, &mut bytes).ok().map(|()| bytes)
    }
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.fill(0);
        for (start, bytes) in &self.pieces {
            let (from, to) = (offset.max(*start), end.min(start.saturating_add(bytes.len() as u64)));
            if from < to {
                let piece = &bytes[(from - start) as usize..(to - start) as usize];
                buf[(from - offset) as usize..][..piece.len()].copy_from_slice(piece);
            }
        }
        Ok(())
    }
}

/// CRC-32 of IEEE 802.3, a byte at a time.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 8 {
                crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize])
}

/// Panics of the crates that we decompress with, and of the `gpt` crate, are not ours: they are caught. All others go where
/// they went before; libFuzzer would otherwise stop at any panic, caught or not.
pub(crate) fn let_others_panic() {
    use std::panic;
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", panic::Location::file);
            let others = ["/gpt-4.", "/lzma-rust2-", "/miniz_oxide-", "/ruzstd-"];
            if !others.iter().any(|other| file.contains(other)) {
                before(info);
            }
        }));
    });
}
