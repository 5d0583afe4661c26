//! Memory that is read into over and over: [`ReadMemory`].

#![expect(unsafe_code, reason = "a door of the crate: advice on memory of our own")]

use std::ops::Range;
use std::slice::ChunksExactMut;

use rustix::mm::{Advice, madvise};

/// Size of a huge page of the machines that have them at this size, and no harm on others.
const HUGE: usize = 2 << 20;

/// Buffers of one size for several threads, side by side on huge pages where the kernel has some to give.
///
/// Copying out of the page cache costs a tenth less of the whole work into one huge page than into hundreds of small ones, and
/// as much as a mapping of the file would save; see the design notes. One huge page holds the buffers of several threads, and no
/// more than the first page of a buffer that is not used is ever resident.
///
/// ```
/// use ddi_io::ReadMemory;
///
/// let mut memory = ReadMemory::new(3, 64 << 10);
/// assert_eq!(memory.buffers().len(), 3);
/// assert!(memory.buffers().all(|buffer| buffer.len() == 64 << 10));
/// ```
#[derive(Debug)]
pub struct ReadMemory {
    bytes: Vec<u8>,
    /// Of the buffers in `bytes`.
    range: Range<usize>,
    size: usize,
}

impl ReadMemory {
    /// `count` buffers of `size` bytes, zero at first. With buffers so large that there is no memory of that size, none.
    pub fn new(count: usize, size: usize) -> Self {
        let none = ReadMemory { bytes: Vec::new(), range: 0..0, size: 1 };
        let Some(len) = count.checked_mul(size).filter(|len| *len > 0) else { return none };
        // whole huge pages, wherever the first of them begins
        let Some(room) = len.checked_next_multiple_of(HUGE).and_then(|pages| pages.checked_add(HUGE)) else {
            return none;
        };
        let mut bytes = vec![0; room];
        let start = bytes.as_ptr().align_offset(HUGE).min(HUGE);
        if let Some(pages) = bytes.get_mut(start..start.saturating_add(room.saturating_sub(HUGE))) {
            // SAFETY: the range is our own, and this advice changes what backs it, never what is in it.
            // without huge pages the memory is as good as any other
            let _ = unsafe { madvise(pages.as_mut_ptr().cast(), pages.len(), Advice::LinuxHugepage) };
        }
        ReadMemory { bytes, range: start..start.saturating_add(len), size }
    }

    /// All of the buffers.
    pub fn buffers(&mut self) -> ChunksExactMut<'_, u8> {
        self.bytes.get_mut(self.range.clone()).unwrap_or_default().chunks_exact_mut(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_buffers_as_asked_for_all_zero_and_apart() {
        for (count, size) in [(1, 1), (1, HUGE), (2, HUGE - 1), (9, 256 << 10), (3, 5000)] {
            let mut memory = ReadMemory::new(count, size);
            let mut found = 0;
            for (number, buffer) in memory.buffers().enumerate() {
                assert!(buffer.len() == size && buffer.iter().all(|byte| *byte == 0));
                buffer.fill(number as u8 + 1);
                found += 1;
            }
            assert_eq!(found, count);
            let starts: Vec<_> = memory.buffers().map(|buffer| (buffer[0], buffer[size - 1])).collect();
            assert_eq!(starts, (1..=count as u8).map(|number| (number, number)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn begins_with_a_huge_page() {
        let mut memory = ReadMemory::new(2, 1000);
        assert!(memory.buffers().next().unwrap().as_ptr().addr().is_multiple_of(HUGE));
    }

    #[test]
    fn none_of_nothing_and_of_what_no_machine_has() {
        for (count, size) in [(0, 1), (1, 0), (0, 0), (2, usize::MAX), (1, usize::MAX)] {
            assert_eq!(ReadMemory::new(count, size).buffers().len(), 0, "{count} {size}");
        }
    }
}
