//! What the data under a root hash must be, so that they cannot be hash blocks of the tree.
//!
//! Whoever has a file in a signed image, and knows the salt, chooses blocks whose digests are partly as he likes: each
//! digest, a slot of 32 bytes in a hash block, can be ground by itself. So a magic number of a few bytes proves nothing.
//! What is asked for here is spread over so many bytes that one slot at least costs 2⁶⁰ hashes and more; the table in
//! `docs/design.md` adds it up for each kind.

use std::io;
use std::sync::Arc;

use ddi_gpt::ByteRange;
use ddi_io::{ReadAt, ReadOnce};
use ddi_verity::{CheckedTree, HashTree, Strictness, check_geometry};

use crate::error::{Error, Step};
use crate::image::Image;
use crate::prove::outcome::Exception;
use crate::prove::sources::section;
pub(crate) use crate::prove::unfit::Unfit;
use crate::trust::Role;
use crate::verity_set::{Extent, VeritySet};
use ddi_fs::{self as files, Meter};
use ddi_fs::{FsKind, Probe, Usage, probe as fs};

/// What a verity-protected partition must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentRule {
    /// A LUKS volume, or a file system that systemd mounts, that fills the data, and whose root directory can be read.
    #[default]
    Recognised,
    /// Anything.
    Any,
}

/// What may lie in a protected partition behind its last protected block, and in the protected data behind their file
/// system.
///
/// systemd-repart makes such partitions: it finds out the size of the partition with one run of `mkfs`, and protects what a
/// second run made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum TailRule {
    /// Zeros, and only behind a file system that says of itself that it ends in the protected blocks. So the length is bound
    /// after all, by a superblock that is itself proven.
    #[default]
    Zeros,
    /// Nothing: the data fills its partition, and the file system the data, but for less than a block.
    Nothing,
}

/// What says where the data ends, besides the verity superblock that nothing vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The file system in it: it ends within the protected bytes. Or the caller.
    Known,
    /// Nothing.
    No,
}

/// Why content is refused.
pub(super) enum Refusal {
    /// It is no file system.
    Unrecognised,
    TooLarge {
        claimed: u64,
        available: u64,
    },
    Unfit(Unfit),
    /// The source failed, or a block does not match.
    Io {
        offset: u64,
        error: io::Error,
    },
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Refusal::Unfit(unfit)
    }
}

/// Bytes behind a file system that are looked at, at each end of what is there. One slot that is not zero is enough, and
/// hash blocks have no other.
const LOOKED_AT: u64 = 64 << 10;

/// Kinds whose superblock alone binds the data: too many bytes of it are fixed for a slot to be ground. There is no reader
/// for them.
fn by_superblock(bytes: &dyn ReadAt, probe: &Probe) -> Result<Option<Bound>, Refusal> {
    let sane = match probe.kind {
        FsKind::CryptoLuks => probe.luks.as_ref().is_some_and(|header| header.is_usual()),
        FsKind::F2fs => fs::is_sane_f2fs(bytes).map_err(|(offset, error)| Refusal::Io { offset, error })?,
        _ => return Ok(None),
    };
    match (sane, probe.kind) {
        (false, _) => Err(Unfit::Superblock.into()),
        // a LUKS header says where it ends itself, not where its volume does
        (true, FsKind::CryptoLuks) => Ok(Some(Bound::No)),
        (true, _) => Ok(Some(Bound::Known)),
    }
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At what was recognised: enough to know that more is not worth it.
    Superblock,
    /// At all that the rules ask for.
    All,
}

/// How to look, and on whose account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) tail: TailRule,
    pub(crate) depth: Depth,
    pub(crate) meter: &'a Meter,
}

/// Checks that what was recognised in `bytes`, all of the protected data, is something that hash blocks cannot be.
/// `block_size` is that of the data.
pub(super) fn check(
    bytes: &Arc<dyn ReadAt>,
    probe: &Probe,
    block_size: u32,
    look: Look<'_>,
) -> Result<Bound, Refusal> {
    let Look { tail, depth, meter } = look;
    let available = bytes.size();
    match probe.kind {
        FsKind::CryptoLuks => {}
        FsKind::Vfat => return Err(Unfit::EasilyForged.into()),
        kind if kind.is_mountable() => {}
        kind if kind.usage() != Usage::Filesystem => return Err(Refusal::Unrecognised),
        _ => return Err(Unfit::NotMounted.into()),
    }
    match probe.claimed_size {
        Some(claimed) if claimed > available => return Err(Refusal::TooLarge { claimed, available }),
        _ => {}
    }
    let bound = by_superblock(bytes, probe)?;
    if bound == Some(Bound::No) {
        return Ok(Bound::No);
    }
    let claimed = probe.claimed_size.ok_or(Unfit::Superblock)?;
    let room = available.saturating_sub(claimed);
    let padding = u64::from(block_size).max(4096);
    if tail == TailRule::Nothing && room >= padding
        || depth == Depth::All && !is_zero(bytes, claimed, available)?
    {
        return Err(Unfit::Smaller { claimed, available }.into());
    }
    if bound.is_none() && depth == Depth::All {
        files::check_root(Arc::clone(bytes), probe.kind, meter).map_err(|error| match error {
            files::Error::NoReader { kind } => Unfit::NoReader { feature: feature(kind) }.into(),
            files::Error::Io { offset, source } => Refusal::Io { offset, error: source },
            error => Refusal::Unfit(Unfit::RootDirectory(Arc::new(error))),
        })?;
    }
    Ok(Bound::Known)
}

fn feature(kind: FsKind) -> &'static str {
    match kind {
        FsKind::Btrfs => "fs-btrfs",
        FsKind::Erofs => "fs-erofs",
        FsKind::Ext4 => "fs-ext4",
        FsKind::Squashfs => "fs-squashfs",
        FsKind::Xfs => "fs-xfs",
        _ => "files",
    }
}

/// Returns true if there are only zeros at both ends of a range of `bytes`.
fn is_zero(bytes: &dyn ReadAt, start: u64, end: u64) -> Result<bool, Refusal> {
    let first = start..end.min(start.saturating_add(LOOKED_AT));
    let last = first.end.max(end.saturating_sub(LOOKED_AT))..end;
    for range in [first, last] {
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        let mut buf = vec![0; len];
        bytes
            .read_exact_at(range.start, &mut buf)
            .map_err(|error| Refusal::Io { offset: range.start, error })?;
        if buf.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Refusal {
    /// Of the data for `role` in `partition`, which holds `kind`.
    pub(super) fn of(
        self,
        role: Role,
        partition: Option<u32>,
        kind: FsKind,
        io: impl FnOnce(u64, io::Error) -> Error,
    ) -> Error {
        match self {
            Refusal::Unrecognised => Error::UnrecognisedContent { role, partition },
            Refusal::TooLarge { claimed, available } => {
                Error::ContentTooLarge { role, partition, claimed, available }
            }
            Refusal::Unfit(unfit) => Error::UnfitContent { role, partition, kind, unfit },
            Refusal::Io { offset, error } => io(offset, error),
        }
    }
}

/// A source that failed at `offset` of what begins at `start` in the image.
pub(super) fn io_error(start: u64, offset: u64, error: io::Error) -> Error {
    Error::Io { step: Step::Probe, offset: Some(start.saturating_add(offset)), error: Arc::new(error) }
}

/// `source`, which is inside `error`, once more.
pub(super) fn copy(source: &io::Error, error: &Arc<fs::Error>) -> io::Error {
    match source.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(source.kind(), Arc::clone(error)),
    }
}

/// A rule on content that is broken, if `rule` allows that.
pub(crate) fn widen(error: Error, rule: ContentRule) -> Result<Exception, Error> {
    match (rule, error) {
        (ContentRule::Any, Error::UnrecognisedContent { .. } | Error::AmbiguousFileSystem { .. }) => {
            Ok(Exception::UnrecognisedContent)
        }
        (ContentRule::Any, Error::UnfitContent { kind, .. }) => Ok(Exception::UnfitContent { kind }),
        (ContentRule::Any, Error::ContentTooLarge { claimed, available, .. }) => {
            Ok(Exception::ContentTooLarge { claimed, available })
        }
        (_, error) => Err(error),
    }
}

/// Checks that parameters, data and hash area fit together, and that data may follow the protected blocks, if some
/// does. Of such data, at most `read_at_most` bytes are looked at.
pub(crate) fn check_size(
    image: &Image,
    set: &VeritySet,
    tree: &HashTree,
    data: Extent,
    (strictness, tail): (Strictness, TailRule),
    read_at_most: u64,
) -> Result<CheckedTree, Error> {
    let role = set.role;
    let size = tree.params().data_size();
    let zeros = tail == TailRule::Zeros && !strictness.unprotected_tail && data.range.size > size;
    let bound = zeros
        && check_content(image, set, tree, data, tail, Depth::Superblock)
            .is_ok_and(|bound| bound == Bound::Known);
    let mut in_force = strictness;
    in_force.unprotected_tail |= bound;
    let checked = check_geometry(tree.clone(), data.range.size, set.hash_size(image), in_force)
        .map_err(|error| Error::Verity { role, partition: set.hash.number, error: Arc::new(error) })?;
    if bound {
        let offset = data.range.offset.saturating_add(size);
        let tail = ByteRange { offset, size: data.range.size.saturating_sub(size).min(read_at_most) };
        if let Some(offset) = first_non_zero(image, tail)? {
            return Err(Error::TailNotZero { role, partition: data.number, offset });
        }
    }
    Ok(checked)
}

/// The first byte in `range` of the image that is not zero.
fn first_non_zero(image: &Image, range: ByteRange) -> Result<Option<u64>, Error> {
    let source = image.source();
    let mut chunk = vec![0; 64 << 10];
    let mut offset = range.offset;
    while let Some(next) = source.next_data(offset).filter(|next| *next < range.end()) {
        offset = offset.max(next);
        let left = usize::try_from(range.end().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(chunk.len());
        let Some(buf) = chunk.get_mut(..len) else { break };
        source.read_exact_at(offset, buf).map_err(|error| Error::Io {
            step: Step::Tail,
            offset: Some(offset),
            error: Arc::new(error),
        })?;
        let u64_of = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        if let Some(at) = buf.iter().position(|byte| *byte != 0) {
            return Ok(Some(offset.saturating_add(u64_of(at))));
        }
        offset = offset.saturating_add(u64_of(len));
    }
    Ok(None)
}

/// Checks that the data, as they are now, are something that hash blocks cannot be taken for.
pub(crate) fn check_content(
    image: &Image,
    set: &VeritySet,
    tree: &HashTree,
    data: Extent,
    tail: TailRule,
    depth: Depth,
) -> Result<Bound, Error> {
    if set.data_size.is_some() {
        return Ok(Bound::Known);
    }
    let looked = match data.number {
        Some(number) => image.probe(number),
        None => Some(image.whole()),
    };
    let io = |offset, error| io_error(data.range.offset, offset, error);
    let protected = tree.params().data_size().min(data.range.size);
    // also where more was looked at than the image keeps: once for all that is done here
    let bytes = ReadOnce::new(section(image.shared_metadata(), data.range.offset, protected)?);
    let bytes: Arc<dyn ReadAt> = Arc::new(bytes);
    let probe = looked.map_or(Ok(None), |looked| looked.any());
    let look = Look { tail, depth, meter: image.meter() };
    judge(set, data, tree, look, &bytes, probe, io)
}

/// The same of `bytes`, in which `probe` was found. `io` makes an error of one that `bytes` gave.
pub(crate) fn judge(
    set: &VeritySet,
    data: Extent,
    tree: &HashTree,
    look: Look<'_>,
    bytes: &Arc<dyn ReadAt>,
    probe: Result<Option<&Probe>, &Arc<fs::Error>>,
    io: impl FnOnce(u64, io::Error) -> Error,
) -> Result<Bound, Error> {
    let (role, partition) = (set.role, data.number);
    let ambiguous = |error| Error::AmbiguousFileSystem { designator: role.data(), partition, error };
    if let Ok(Some(probe)) = probe
        && let Some(error) = probe.ambiguity()
    {
        // who mounts it with a kind of his own choice sees another one
        return Err(ambiguous(Arc::new(error)));
    }
    match probe {
        Ok(Some(probe)) => check(bytes, probe, tree.params().data_block_size(), look)
            .map_err(|refusal| refusal.of(role, partition, probe.kind, io)),
        Ok(None) => Err(Error::UnrecognisedContent { role, partition }),
        Err(error) => Err(match &**error {
            fs::Error::Io { offset, source } => io(*offset, copy(source, error)),
            _ => ambiguous(Arc::clone(error)),
        }),
    }
}

#[cfg(test)]
mod tests;
