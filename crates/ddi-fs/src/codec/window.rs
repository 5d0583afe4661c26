//! Output that later output refers back to.

/// A buffer that fills from the front.
pub(super) struct Window<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(buf: &'a mut [u8]) -> Self {
        Window { buf, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.buf.len()
    }

    /// As much of `bytes` as there is room for.
    pub(super) fn literals(&mut self, bytes: &[u8]) -> Option<()> {
        let room = self.buf.get_mut(self.len..)?;
        let n = room.len().min(bytes.len());
        room.get_mut(..n)?.copy_from_slice(bytes.get(..n)?);
        self.len = self.len.checked_add(n)?;
        Some(())
    }

    /// As much of `len` bytes from `distance` back as there is room for. They may overlap what they make.
    pub(super) fn repeat(&mut self, distance: usize, len: usize) -> Option<()> {
        let start = self.len.checked_sub(distance).filter(|_| distance != 0)?;
        let end = self.len.checked_add(len)?.min(self.buf.len());
        // what was copied can be copied again, so that each round is as long as all before it
        while self.len < end {
            let n = self.len.checked_sub(start)?.min(end.checked_sub(self.len)?);
            self.buf.copy_within(start..start.checked_add(n)?, self.len);
            self.len = self.len.checked_add(n)?;
        }
        Some(())
    }
}
