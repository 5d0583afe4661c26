//! What the root hash does not bind: the parameters against the sizes of what they describe.
//!
//! A root hash says nothing of the level it belongs to, the hash type or the number of blocks: hash blocks presented as
//! data, or a shortened device, may hash to the same root. So the size of the data must be the one that the parameters
//! name, and everything unusual must be asked for.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use core::ops::Deref;

use crate::error::{Error, Storage};
pub use crate::exception::GeometryException;
use crate::hash::{Algorithm, HashType};
use crate::tree::HashTree;

/// Which images are taken. The default takes what systemd-repart can make: hash type 1, SHA-256, SHA-384 or SHA-512,
/// blocks of 512 to 4096 bytes, and all of the data protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Strictness {
    /// Data behind the last protected block, which nothing vouches for.
    pub unprotected_tail: bool,
    /// Hash type 0.
    pub chrome_os: bool,
    /// SHA-1.
    pub sha1: bool,
    /// Blocks of more than 4096 bytes, which no kernel with pages of 4 KiB opens.
    pub large_blocks: bool,
}

impl Strictness {
    /// The strict default.
    pub const STRICT: Strictness =
        Strictness { unprotected_tail: false, chrome_os: false, sha1: false, large_blocks: false };

    /// All that the format allows, as `veritysetup` does.
    pub const ANY: Strictness =
        Strictness { unprotected_tail: true, chrome_os: true, sha1: true, large_blocks: true };
}

/// How parameters and sources fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// What would have been refused without an option; empty for an image that is fit for the strict default.
    pub exceptions: Vec<GeometryException>,
    /// Bytes of the hash source behind the tree. Nothing reads them.
    pub unused_hash_bytes: u64,
}

/// A hash tree that somebody stands for: data are proven and read through no other.
///
/// The root hash is also that of other trees, such as the upper levels of this one over its own hash blocks. So whoever
/// proves has looked at the sizes ([`check_geometry`]), or knows ([`HashTree::vouched`]). The first is not all: hash blocks in
/// a partition of just their size pass it. What the data are has to be asked as well, if they are not the caller's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTree {
    tree: HashTree,
    geometry: Geometry,
}

impl CheckedTree {
    /// The tree.
    pub fn tree(&self) -> &HashTree {
        &self.tree
    }

    /// How parameters and sources fit together.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }
}

impl Deref for CheckedTree {
    type Target = HashTree;

    fn deref(&self) -> &HashTree {
        &self.tree
    }
}

impl HashTree {
    /// The caller vouches for the parameters, as for the root hash: that they are those that the root hash was made with.
    /// Then there is nothing to check against sizes. True of a tree that the caller made; never of one whose superblock was
    /// read from storage, unless the number of data blocks is known from elsewhere.
    pub fn vouched(self) -> CheckedTree {
        CheckedTree { tree: self, geometry: Geometry { exceptions: Vec::new(), unused_hash_bytes: 0 } }
    }
}

/// Checks the parameters of a tree against the sizes (in bytes) of the two sources and against `strictness`.
///
/// # Errors
/// [`Error::TooShort`] if a source ends before the data or the tree does, [`Error::DataSize`] if the data goes on behind
/// its last protected block, [`Error::NotAllowed`] for what `strictness` does not allow.
pub fn check_geometry(
    tree: HashTree,
    data_size: u64,
    hash_size: u64,
    strictness: Strictness,
) -> Result<CheckedTree, Error> {
    let (params, layout) = (tree.params(), tree.layout());
    let protected = params.data_size();
    let tail = data_size.checked_sub(protected).ok_or(Error::TooShort {
        storage: Storage::Data,
        needed: protected,
        found: data_size,
    })?;
    let needed = layout.least_size();
    if hash_size < needed {
        return Err(Error::TooShort { storage: Storage::Hash, needed, found: hash_size });
    }

    let mut exceptions = Vec::new();
    let mut check = |is_so: bool, allowed: bool, what: GeometryException| match (is_so, allowed) {
        (false, _) => Ok(()),
        (true, true) => {
            exceptions.push(what);
            Ok(())
        }
        (true, false) => Err(Error::NotAllowed(what)),
    };
    if tail > 0 && !strictness.unprotected_tail {
        return Err(Error::DataSize { expected: protected, found: data_size });
    }
    check(tail > 0, true, GeometryException::UnprotectedTail(tail))?;
    check(params.hash_type() == HashType::ChromeOs, strictness.chrome_os, GeometryException::ChromeOs)?;
    check(params.algorithm() == Algorithm::Sha1, strictness.sha1, GeometryException::Sha1)?;
    let largest = params.data_block_size().max(params.hash_block_size());
    check(largest > 4096, strictness.large_blocks, GeometryException::LargeBlocks(largest))?;
    let unused_hash_bytes = hash_size.saturating_sub(layout.tree().end);
    Ok(CheckedTree { geometry: Geometry { exceptions, unused_hash_bytes }, tree })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Placement;
    use crate::params::{Params, Salt};

    const DATA: u64 = 300 * 4096;
    const HASH: u64 = 5 * 4096;

    fn check(
        params: (HashType, Algorithm, u32),
        sizes: (u64, u64),
        strictness: Strictness,
    ) -> Result<Geometry, Error> {
        let (hash_type, algorithm, block_size) = params;
        let params = Params::new(
            hash_type,
            algorithm,
            block_size,
            block_size,
            DATA / u64::from(block_size),
            Salt::EMPTY,
        )?;
        let tree = HashTree::new(params, Placement::Superblock(0))?;
        check_geometry(tree, sizes.0, sizes.1, strictness).map(|checked| checked.geometry().clone())
    }
    const USUAL: (HashType, Algorithm, u32) = (HashType::Normal, Algorithm::Sha256, 4096);

    #[test]
    fn data_must_have_the_size_that_is_named() {
        assert_eq!(check(USUAL, (DATA, HASH), Strictness::STRICT).unwrap().exceptions, []);
        for (found, ok) in [(DATA + 1, true), (DATA + 4096, true), (DATA - 1, false), (0, false)] {
            let strict = check(USUAL, (found, HASH), Strictness::STRICT).unwrap_err();
            let wide = check(USUAL, (found, HASH), Strictness::ANY);
            if ok {
                assert!(matches!(strict, Error::DataSize { expected: DATA, found: f } if f == found));
                assert_eq!(wide.unwrap().exceptions, [GeometryException::UnprotectedTail(found - DATA)]);
            } else {
                for error in [strict, wide.unwrap_err()] {
                    assert!(matches!(error, Error::TooShort { storage: Storage::Data, needed: DATA, .. }));
                }
            }
        }
    }

    #[test]
    fn tree_must_fit() {
        let short = check(USUAL, (DATA, HASH - 1), Strictness::ANY).unwrap_err();
        assert!(matches!(short, Error::TooShort { storage: Storage::Hash, needed: HASH, .. }), "{short}");
        assert_eq!(check(USUAL, (DATA, HASH + 7), Strictness::STRICT).unwrap().unused_hash_bytes, 7);
    }

    #[test]
    fn the_unusual_must_be_asked_for() {
        use {Algorithm::*, HashType::*};
        for (params, strictness, exception) in [
            (
                (ChromeOs, Sha256, 4096),
                Strictness { chrome_os: true, ..Default::default() },
                GeometryException::ChromeOs,
            ),
            ((Normal, Sha1, 4096), Strictness { sha1: true, ..Default::default() }, GeometryException::Sha1),
            (
                (Normal, Sha256, 8192),
                Strictness { large_blocks: true, ..Default::default() },
                GeometryException::LargeBlocks(8192),
            ),
        ] {
            let error = check(params, (DATA, 1 << 20), Strictness::STRICT).unwrap_err();
            assert!(matches!(error, Error::NotAllowed(what) if what == exception), "{error}");
            assert_eq!(check(params, (DATA, 1 << 20), strictness).unwrap().exceptions, [exception]);
        }
        for params in [(Normal, Sha384, 512), (Normal, Sha512, 1024), (Normal, Sha256, 2048)] {
            assert_eq!(check(params, (DATA, 1 << 20), Strictness::STRICT).unwrap().exceptions, []);
        }
    }

    #[test]
    fn widened_rules_as_text() {
        for (exception, text) in [
            (GeometryException::UnprotectedTail(1), "1 byte of data is not protected"),
            (GeometryException::UnprotectedTail(512), "512 bytes of data are not protected"),
            (GeometryException::ChromeOs, "hash type is 0"),
            (GeometryException::Sha1, "hash algorithm is sha1"),
            (GeometryException::LargeBlocks(8192), "block size is 8192"),
        ] {
            assert_eq!(exception.to_string(), text);
        }
    }
}
