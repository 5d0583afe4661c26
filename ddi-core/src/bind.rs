//! Which data, hash tree and signature belong together.
//!
//! ```text
//!           root hash  29be02267c97efb0 … b7f7b1bc48a5297f44
//!                      └── first 16 bytes ┘ └ last 16 bytes ─┘
//!                               │                   │
//!   data partition's GUID ──────┘                   └────── hash partition's GUID
//!   hash tree's top block ── hashes to the root hash
//!   signature partition's JSON ── names the root hash
//! ```
//!
//! systemd chooses data, hash and signature partition each by itself, the highest version of its type. Here each hash
//! partition is looked at on its own: the digest of its top block *is* the root hash, and that says whose it is.

use std::sync::Arc;

use ddi_gpt::{Architecture, ByteRange};
use ddi_verity::{Examined, Layout, RootHash, Superblock};

use crate::error::Error;
use crate::finding::Finding;
use crate::trust::{KnownRootHash, Role};

/// A hash tree with its data and its signature.
#[derive(Debug)]
#[non_exhaustive]
pub struct VeritySet {
    /// What the data is for.
    pub role: Role,
    /// The machine that it is for, if the partition type says so.
    pub architecture: Option<Architecture>,
    /// The data.
    pub data: Option<Part>,
    /// Superblock and hash tree.
    pub hash: Part,
    /// The signature partition.
    pub signature: Option<Part>,
    /// Does systemd choose all of its partitions?
    pub selected: bool,
    /// The superblock as it is on disk, good or bad. Nothing authenticates it.
    pub examined: Option<Examined>,
    /// The superblock, if it is good.
    pub superblock: Option<Superblock>,
    /// Where its hash tree lies, in bytes from the start of the hash partition or file.
    pub layout: Option<Layout>,
    /// The root hash that the top of the tree hashes to: what the tree itself says.
    pub tree_root: Option<RootHash>,
    /// The root hash under which it will be proven, and where it is from.
    pub root_hash: Option<KnownRootHash>,
    /// Are the GUIDs of data and hash partition the halves of the root hash? `None` if there is nothing to compare.
    pub guids_match: Option<bool>,
    /// Why it cannot be proven; `None` if nothing stands in the way so far.
    pub problem: Option<Arc<Error>>,
    /// What is odd about it.
    pub(crate) findings: Vec<Finding>,
}

/// Where one part of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Number of the partition; `None` for a file beside a bare image, or the bare image itself.
    pub number: Option<u32>,
    /// The bytes, in the image or in the file beside it.
    pub range: ByteRange,
    /// Is it in a file beside the image?
    pub external: bool,
}
