//! What a [`VerifiedReader`](super::VerifiedReader) keeps of what it has proven.

use std::sync::{Arc, Mutex, PoisonError};

/// Blocks that go to one set of the cache, at most.
const WAYS: usize = 8;
/// Bytes that keeping a block takes besides its own: key, pointer, counters, allocator.
const OVERHEAD: usize = 64;

/// Offsets and blocks, the most recently used first.
type Set = Vec<(u64, Arc<[u8]>)>;

/// Proven hash blocks by their offset, the least recently used of a set going first.
///
/// A block can only be in the set that its number names, each behind a lock of its own: threads meet only if they
/// want the same set at the same time, and then for as long as a look at eight numbers takes.
pub(crate) struct Cache {
    sets: Box<[Mutex<Set>]>,
    ways: usize,
    block_size: u64,
}

impl Cache {
    pub(crate) fn new(size: usize, block_size: usize) -> Self {
        let blocks = size.checked_div(block_size.saturating_add(OVERHEAD)).unwrap_or(0);
        let ways = blocks.clamp(1, WAYS);
        let sets = blocks.checked_div(ways).unwrap_or(0);
        Cache {
            sets: (0..sets).map(|_| Mutex::new(Vec::new())).collect(),
            ways,
            block_size: u64::try_from(block_size).unwrap_or(u64::MAX),
        }
    }

    /// Neighbours go to different sets, so that a contiguous part of the tree fills the cache evenly.
    fn set(&self, offset: u64) -> Option<&Mutex<Set>> {
        let number = offset.checked_div(self.block_size)?;
        let index = number.checked_rem(u64::try_from(self.sets.len()).ok()?)?;
        self.sets.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn get(&self, offset: u64) -> Option<Arc<[u8]>> {
        let mut set = self.set(offset)?.lock().unwrap_or_else(PoisonError::into_inner);
        let at = set.iter().position(|(key, _)| *key == offset)?;
        set.get_mut(..=at)?.rotate_right(1);
        set.first().map(|(_, block)| block.clone())
    }

    pub(crate) fn insert(&self, offset: u64, block: &Arc<[u8]>) {
        let Some(set) = self.set(offset) else { return };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        // another thread may have been faster
        set.retain(|(key, _)| *key != offset);
        set.truncate(self.ways.saturating_sub(1));
        set.insert(0, (offset, block.clone()));
    }

    pub(crate) fn bytes(&self) -> usize {
        let len = |set: &Mutex<Set>| {
            let set = set.lock().unwrap_or_else(PoisonError::into_inner);
            set.iter().map(|(_, block)| block.len()).fold(0, usize::saturating_add)
        };
        self.sets.iter().map(len).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_keeps_what_was_used_last() {
        let cache = Cache::new(8 * (512 + OVERHEAD), 512);
        let block: Arc<[u8]> = vec![0; 512].into();
        for number in 0..8 {
            cache.insert(number * 512, &block);
        }
        assert!(cache.get(0).is_some());
        for number in 8..15 {
            cache.insert(number * 512, &block);
        }
        let kept: Vec<u64> = (0..15).filter(|number| cache.get(number * 512).is_some()).collect();
        assert_eq!(kept, [0, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(cache.bytes(), 8 * 512);

        // one that comes twice, from two threads, takes the room of one
        let cache = Cache::new(8 * (512 + OVERHEAD), 512);
        cache.insert(512, &block);
        cache.insert(512, &block);
        assert_eq!(cache.bytes(), 512);
    }

    #[test]
    fn cache_never_exceeds_its_size() {
        for size in [0, 1, 575, 576, 1151, 1152, 5000, 100_000] {
            let cache = Cache::new(size, 512);
            let block: Arc<[u8]> = vec![0; 512].into();
            for number in 0..1000 {
                cache.insert(number * 512, &block);
                cache.insert(number * 512, &block);
            }
            let full = size / (512 + OVERHEAD);
            let blocks = cache.bytes() / 512;
            assert!(blocks <= full && blocks + WAYS > full, "{size}: {blocks}");
        }
    }
}
