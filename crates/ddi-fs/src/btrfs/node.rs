//! The B-trees: items in the order of their keys.

use std::ops::ControlFlow;

use super::{Btrfs, Error};
use crate::disk::{Bytes, index32};

/// Bytes of a key, of an item's head in a leaf, of a pointer in an inner node, of a node's head.
const KEY: usize = 17;
const ITEM: usize = 25;
const POINTER: usize = 33;
const HEADER: usize = 101;
/// Levels of a tree, as in Linux.
const MAX_LEVEL: u8 = 8;

/// What items are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) object: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    pub(super) const MIN: Key = Key { object: 0, kind: 0, offset: 0 };

    pub(super) fn read(bytes: Bytes<'_>, at: usize) -> Result<Self, Error> {
        Ok(Key {
            object: bytes.le64(at)?,
            kind: bytes.u8(at.saturating_add(8))?,
            offset: bytes.le64(at.saturating_add(9))?,
        })
    }
}

/// The root node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) logical: u64,
    pub(super) level: u8,
}

/// A node, and the entry that comes next.
struct Node {
    bytes: Vec<u8>,
    offset: u64,
    level: u8,
    entries: usize,
    next: usize,
}

impl Node {
    fn raw(&self) -> Bytes<'_> {
        Bytes::new(&self.bytes, "tree node", self.offset)
    }

    /// Where entry `i` begins.
    fn at(&self, i: usize) -> usize {
        i.saturating_mul(if self.level == 0 { ITEM } else { POINTER }).saturating_add(HEADER)
    }

    fn key(&self, i: usize) -> Result<Key, Error> {
        Key::read(self.raw(), self.at(i))
    }

    /// The last entry whose key is `key` or before it, or else the first.
    fn seek(&mut self, key: Key) -> Result<(), Error> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle)? <= key {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        self.next = low.saturating_sub(1);
        Ok(())
    }
}

/// What is called for each item.
pub(super) type EachItem<'a> = dyn FnMut(Key, Bytes<'_>) -> Result<ControlFlow<()>, Error> + 'a;

impl Btrfs {
    fn load(&self, root: Root, first: Option<Key>) -> Result<Node, Error> {
        let physical = self.physical(root.logical, self.node_size.into())?;
        let bytes = self.disk.metadata_vec(physical, index32(self.node_size))?;
        let raw = Bytes::new(&bytes, "tree node", physical);
        let (bytenr, nritems, level) = (raw.le64(0x30)?, raw.le32(0x60)?, raw.u8(0x64)?);
        if bytenr != root.logical || level != root.level || level >= MAX_LEVEL {
            return Err(raw.corrupt());
        }
        let entries = index32(nritems);
        let node = Node { bytes, offset: physical, level, entries, next: 0 };
        if node.at(entries) > node.bytes.len() {
            return Err(node.raw().corrupt());
        }
        // so that no two pointers lead to the same node
        if let Some(first) = first
            && (entries == 0 || node.key(0)? != first)
        {
            return Err(node.raw().corrupt());
        }
        Ok(node)
    }

    /// Items of a tree in order, from the last one that is not after `start`. Keys grow, or it is an error: so
    /// nothing is met twice.
    pub(super) fn items(&self, tree: Root, start: Key, each: &mut EachItem<'_>) -> Result<(), Error> {
        let mut path: Vec<Node> = Vec::new();
        let mut descend = Some((tree, None));
        let mut last = None;
        loop {
            if let Some((root, first)) = descend.take() {
                let mut node = self.load(root, first)?;
                node.seek(start)?;
                path.push(node);
            }
            let Some(node) = path.last_mut() else { return Ok(()) };
            if node.next >= node.entries {
                path.pop();
                continue;
            }
            let i = node.next;
            node.next = i.saturating_add(1);
            let (key, at) = (node.key(i)?, node.at(i).saturating_add(KEY));
            if let Some(level) = node.level.checked_sub(1) {
                descend = Some((Root { logical: node.raw().le64(at)?, level }, Some(key)));
                continue;
            }
            if last.replace(key).is_some_and(|last| last >= key) {
                return Err(node.raw().corrupt());
            }
            let (begin, size) = (node.raw().le32(at)?, node.raw().le32(at.saturating_add(4))?);
            let data = node.raw().slice(index32(begin).saturating_add(HEADER), index32(size))?;
            if each(key, Bytes::new(data, "tree item", node.offset))?.is_break() {
                return Ok(());
            }
        }
    }

    /// Items of the object and kind of `start`, from its offset on.
    pub(super) fn items_of(&self, tree: Root, start: Key, each: &mut EachItem<'_>) -> Result<(), Error> {
        self.items(tree, start, &mut |key, data| {
            if key < start {
                return Ok(ControlFlow::Continue(()));
            }
            if (key.object, key.kind) != (start.object, start.kind) {
                return Ok(ControlFlow::Break(()));
            }
            each(key, data)
        })
    }
}
