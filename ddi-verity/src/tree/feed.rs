//! Data blocks in, digests out: reads what must be read, hashes what must be hashed.

use core::ops::Range;

use crate::error::{Error, Storage};
use crate::tree::{Handle, Work, read};
use ddi_io::ReadAt;

/// The data as one thread sees it.
pub(crate) struct Feed<'a> {
    work: &'a Work<'a>,
    source: Handle<'a>,
    /// To read into; our own if none is lent.
    lent: Option<&'a mut [u8]>,
    own: Vec<u8>,
    block_size: usize,
    /// Bytes that are known to be zero.
    hole: Range<u64>,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(work: &'a Work<'a>, data: &'a dyn ReadAt, lent: Option<&'a mut [u8]>) -> Self {
        let source = Handle::new(data, work.workers);
        let block_size = work.tree.params.data_block_size() as usize;
        Feed { work, source, lent, own: Vec::new(), block_size, hole: 0..0 }
    }

    /// Puts the digests of the data blocks `blocks` into the slots of the hash blocks `out`, from slot `first` on.
    pub(crate) fn digests(&mut self, blocks: Range<u64>, out: &mut [u8], first: usize) -> Result<(), Error> {
        let size = self.block_size as u64;
        let step = self.work.step() as u64;
        let mut at = blocks.start;
        while at < blocks.end {
            let end = (at + step).min(blocks.end);
            let zeros = self.zero_blocks(at..end);
            let slot = first + (at - blocks.start) as usize;
            self.fill_zeros(zeros, out, slot);
            if at + zeros < end {
                let len = ((end - at - zeros) * size) as usize;
                self.hash((at + zeros) * size, len, out, slot + zeros as usize)?;
            }
            at = end;
        }
        Ok(())
    }

    /// How many of `blocks`, from the first on, lie in a hole.
    fn zero_blocks(&mut self, blocks: Range<u64>) -> u64 {
        if self.work.zeros.is_none() {
            return 0;
        }
        let size = self.block_size as u64;
        let (start, end) = (blocks.start * size, blocks.end * size);
        if !self.hole.contains(&start) {
            let source = self.source.get();
            // past the end of the source there is nothing to be known
            let next = source.next_data(start).unwrap_or_else(|| source.size());
            self.hole = start..next.max(start);
        }
        (self.hole.end.min(end) - start) / size
    }

    fn fill_zeros(&self, count: u64, out: &mut [u8], first: usize) {
        let Some(known) = self.work.zeros.as_ref().and_then(|zeros| zeros.known(None)) else { return };
        let layout = self.work.layout();
        let (per_block, slot_size) = (layout.digests_per_block(), layout.slot_size());
        let (mut slot, end) = (first, first + count as usize);
        while slot < end {
            let now = (per_block - slot % per_block).min(end - slot);
            let at = slot / per_block * layout.block_size() + slot % per_block * slot_size;
            known.fill(now, &mut out[at..], slot_size);
            slot += now;
        }
    }

    fn hash(&mut self, offset: u64, len: usize, out: &mut [u8], slot: usize) -> Result<(), Error> {
        let source = self.source.get();
        if let Some(memory) = source.as_slice() {
            let blocks =
                usize::try_from(offset).ok().and_then(|start| memory.get(start..start.checked_add(len)?));
            let blocks = blocks.ok_or(Error::TooShort {
                storage: Storage::Data,
                needed: offset + len as u64,
                found: memory.len() as u64,
            })?;
            self.work.hash_to_slots(None, blocks, self.block_size, out, slot);
            show(self.work, offset, blocks);
            return Ok(());
        }
        let buf = match &mut self.lent {
            Some(lent) if lent.len() >= len => &mut lent[..len],
            _ => {
                if self.own.len() < len {
                    self.own.resize(len, 0);
                }
                &mut self.own[..len]
            }
        };
        read(source, Storage::Data, offset, buf)?;
        self.work.hash_to_slots(None, buf, self.block_size, out, slot);
        show(self.work, offset, buf);
        Ok(())
    }
}

fn show(work: &Work<'_>, offset: u64, blocks: &[u8]) {
    if let Some(observer) = work.observer {
        observer(offset, blocks);
    }
}
