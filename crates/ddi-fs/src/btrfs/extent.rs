//! Content of files.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Btrfs, EXTENT_DATA, Error, File};
use crate::codec::Codec;
use crate::disk::{Bytes, index, index32, u64_from};

/// A compressed extent is at most 128 KiB, before and after.
const MAX_COMPRESSED: u64 = 128 << 10;

/// The compressed extent read last: what the item says of it, and what it holds.
pub(super) type Cache = Mutex<Option<(Compressed, Arc<[u8]>)>>;

/// A compressed extent. Two items need not agree on anything but its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compressed {
    codec: Codec,
    logical: u64,
    stored: u64,
    size: u64,
}

/// A part of a file.
struct Extent {
    /// In the file.
    start: u64,
    len: u64,
    content: Content,
}

enum Content {
    Hole,
    Inline(Vec<u8>),
    Plain { logical: u64 },
    Compressed { extent: Compressed, offset: u64 },
}

impl Btrfs {
    /// Fills `buf` as far as `size` goes.
    pub(super) fn read(&self, file: &File, size: u64, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let len = index(size.saturating_sub(offset)).min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        // what no extent covers is a hole
        buf.fill(0);
        let end = offset.saturating_add(u64_from(len));
        let start = file.key(EXTENT_DATA, offset);
        let mut before = None;
        self.items(file.root, start, &mut |key, data| {
            if (key.object, key.kind) < (file.inode, EXTENT_DATA) {
                return Ok(ControlFlow::Continue(()));
            }
            if (key.object, key.kind) != (file.inode, EXTENT_DATA) {
                return Ok(ControlFlow::Break(()));
            }
            // or what is read would depend on where reading begins
            let end_before = match before {
                Some(end) => end,
                None => self.end_before(file, key.offset)?,
            };
            if end_before > key.offset {
                return Err(Error::corrupt("overlapping extents", data.offset));
            }
            before = Some(extent_end(key.offset, data)?);
            if key.offset >= end {
                return Ok(ControlFlow::Break(()));
            }
            let extent = self.extent(key.offset, data)?;
            let from = extent.start.max(offset);
            let to = extent.start.saturating_add(extent.len).min(end);
            if from < to {
                let target =
                    buf.get_mut(index(from.saturating_sub(offset))..index(to.saturating_sub(offset)));
                let target = target.ok_or_else(|| data.corrupt())?;
                self.copy(&extent, from.saturating_sub(extent.start), target, data)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(len)
    }

    /// Where the last extent ends that begins before `offset`.
    fn end_before(&self, file: &File, offset: u64) -> Result<u64, Error> {
        let mut end = 0;
        let Some(before) = offset.checked_sub(1) else { return Ok(end) };
        let start = file.key(EXTENT_DATA, before);
        self.items(file.root, start, &mut |key, data| {
            if (key.object, key.kind) == (file.inode, EXTENT_DATA) && key.offset < offset {
                end = extent_end(key.offset, data)?;
            }
            // the first is the last one that is not after it
            Ok(ControlFlow::Break(()))
        })?;
        Ok(end)
    }

    fn extent(&self, start: u64, data: Bytes<'_>) -> Result<Extent, Error> {
        let ram_bytes = data.le64(8)?;
        let compression = data.u8(16)?;
        let encoding = data.le16(17)?;
        let kind = data.u8(20)?;
        let codec = match compression {
            0 => None,
            1 => Some(Codec::Zlib),
            2 => Some(Codec::Lzo),
            3 => Some(Codec::Zstd),
            _ => return Err(Error::Unsupported { what: "unknown compression" }),
        };
        if encoding != 0 {
            return Err(Error::Unsupported { what: "encrypted file" });
        }
        if codec.is_some() && ram_bytes > MAX_COMPRESSED {
            return Err(data.corrupt());
        }
        if kind == 0 {
            let stored = data.bytes.get(21..).unwrap_or_default();
            let content = match codec {
                None => stored.to_vec(),
                Some(codec) => self.decompress(codec, stored, ram_bytes, data)?,
            };
            return Ok(Extent { start, len: u64_from(content.len()), content: Content::Inline(content) });
        }
        let disk_bytenr = data.le64(21)?;
        let disk_num_bytes = data.le64(29)?;
        let offset = data.le64(37)?;
        let len = data.le64(45)?;
        // allocated and not written reads as zeros
        let content = if disk_bytenr == 0 || kind == 2 {
            Content::Hole
        } else if let Some(codec) = codec {
            if disk_num_bytes > MAX_COMPRESSED {
                return Err(data.corrupt());
            }
            let extent = Compressed { codec, logical: disk_bytenr, stored: disk_num_bytes, size: ram_bytes };
            Content::Compressed { extent, offset }
        } else {
            Content::Plain { logical: disk_bytenr.saturating_add(offset) }
        };
        Ok(Extent { start, len, content })
    }

    /// The part of an extent from `within` on.
    fn copy(&self, extent: &Extent, within: u64, target: &mut [u8], data: Bytes<'_>) -> Result<(), Error> {
        let copy = |bytes: &[u8], from: u64, target: &mut [u8]| {
            let from = index(from);
            let source = bytes.get(from..from.saturating_add(target.len())).ok_or_else(|| data.corrupt())?;
            target.copy_from_slice(source);
            Ok(())
        };
        match &extent.content {
            Content::Hole => Ok(()),
            Content::Inline(bytes) => copy(bytes, within, target),
            Content::Plain { logical } => {
                let logical = logical.saturating_add(within);
                self.disk.data(self.physical(logical, u64_from(target.len()))?, target)
            }
            Content::Compressed { extent, offset } => {
                let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let bytes = match cached.filter(|(cached, _)| cached == extent) {
                    Some((_, bytes)) => bytes,
                    None => {
                        let Compressed { codec, logical, stored, size } = *extent;
                        let input = self.disk.data_vec(self.physical(logical, stored)?, index(stored))?;
                        let bytes: Arc<[u8]> = self.decompress(codec, &input, size, data)?.into();
                        let cached = Some((*extent, Arc::clone(&bytes)));
                        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = cached;
                        bytes
                    }
                };
                copy(&bytes, offset.saturating_add(within), target)
            }
        }
    }

    /// Exactly `size` bytes, which the caller has bounded. What the compressed data leaves out is zero, as in Linux.
    fn decompress(&self, codec: Codec, input: &[u8], size: u64, data: Bytes<'_>) -> Result<Vec<u8>, Error> {
        let mut output = vec![0; index(size)];
        let done = if codec == Codec::Lzo {
            self.decompress_lzo(input, &mut output)
        } else {
            self.disk.decompress(codec, input, &mut output)
        };
        done.map(|_| output).ok_or_else(|| data.corrupt())
    }

    /// A total length, then segments of one sector each, with their lengths; no length crosses a sector of the input.
    fn decompress_lzo(&self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        let sector = index32(self.sector_size);
        let total = index32(u32::from_le_bytes(*input.first_chunk()?));
        let input = input.get(..total)?;
        let mut at: usize = 4;
        let mut done: usize = 0;
        while at < total && done < output.len() {
            let left = sector.checked_sub(at.checked_rem(sector)?)?;
            if left < 4 {
                at = at.checked_add(left)?;
                continue;
            }
            let len = index32(u32::from_le_bytes(*input.get(at..)?.first_chunk()?));
            at = at.checked_add(4)?;
            let segment = input.get(at..at.checked_add(len)?)?;
            let end = done.checked_add(sector)?.min(output.len());
            let unpacked = self.disk.decompress(Codec::Lzo, segment, output.get_mut(done..end)?)?;
            done = done.checked_add(unpacked)?;
            at = at.checked_add(len)?;
        }
        Some(done)
    }
}

/// Where an extent that begins at `start` ends in the file.
fn extent_end(start: u64, data: Bytes<'_>) -> Result<u64, Error> {
    let (compression, kind) = (data.u8(16)?, data.u8(20)?);
    let len = match (kind, compression) {
        (0, 0) => u64_from(data.bytes.len().saturating_sub(21)),
        (0, _) => data.le64(8)?,
        _ => data.le64(45)?,
    };
    start.checked_add(len).ok_or_else(|| data.corrupt())
}
