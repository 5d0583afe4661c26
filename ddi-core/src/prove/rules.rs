//! What the data under a root hash must be, so that they cannot be hash blocks of the tree.
//!
//! Whoever has a file in a signed image, and knows the salt, chooses blocks whose digests are partly as he likes: each
//! digest, a slot of 32 bytes in a hash block, can be ground by itself. So a magic number of a few bytes proves nothing.
//! What is asked for here is spread over so many bytes that one slot at least costs 2⁶⁰ hashes and more; the table in
//! `docs/design.md` adds it up for each kind.

use core::fmt;
use std::io;
use std::sync::Arc;

use ddi_io::ReadAt;

use crate::error::{Error, Step};
use crate::trust::Role;
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

/// Why recognised content does not count.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Unfit {
    /// systemd does not mount this kind.
    NotMounted,
    /// Too few bytes of this kind are checked by anybody: a hash block can be made to look like it.
    EasilyForged,
    /// The superblock does not say how large it is, or says things that no kernel takes.
    Superblock,
    /// It ends before the data does, and what follows is not only zeros, or more than a block where nothing may follow.
    Smaller {
        /// What it claims, in bytes.
        claimed: u64,
        /// What there is, in bytes.
        available: u64,
    },
    /// This build has no reader for it, because this feature of `ddi-core` is off.
    NoReader {
        /// The feature.
        feature: &'static str,
    },
    /// Its root directory cannot be read.
    RootDirectory(Arc<files::Error>),
}

impl Unfit {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Unfit::NotMounted => "content-not-mountable",
            Unfit::EasilyForged => "content-easily-forged",
            Unfit::Superblock => "content-without-size",
            Unfit::Smaller { .. } => "content-too-small",
            Unfit::NoReader { .. } => "content-without-reader",
            Unfit::RootDirectory(_) => "content-unreadable",
        }
    }
}

/// What helps where it is no fault of the data that it does not count.
const VOUCH: &str = "; whoever knows how many bytes the root hash is over can vouch for that with --data-size, and then need not read it";

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::NotMounted => f.write_str("systemd does not mount it, and hash blocks could look like it"),
            Unfit::EasilyForged => write!(f, "hash blocks could look like it{VOUCH}"),
            Unfit::Superblock => f.write_str("its superblock does not bind the size of the data"),
            Unfit::Smaller { claimed, available } => {
                write!(f, "it ends after {claimed} bytes, and {available} are protected")
            }
            Unfit::NoReader { feature } => {
                write!(f, "there is no reader for it without the feature {feature}{VOUCH}")
            }
            Unfit::RootDirectory(error) => {
                write!(f, "its root directory cannot be read: {error}")?;
                // it may be as it should be, and is only beyond the reader
                match **error {
                    files::Error::Unsupported { .. } | files::Error::Features { .. } => f.write_str(VOUCH),
                    _ => Ok(()),
                }
            }
        }
    }
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

/// Is what was recognised in `bytes`, all of the protected data, something that hash blocks cannot be? `block_size` is that of
/// the data.
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

/// Are there zeros alone at both ends of a range of `bytes`?
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

#[cfg(test)]
mod tests;
