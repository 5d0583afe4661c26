//! Whole devices: a tree made with its superblock, and a superblock taken at its word as far as that can be checked.
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

use ddi_io::{ReadAt, WriteAt};

use crate::error::{Error, Storage};
use crate::geometry::{CheckedTree, Strictness, check_geometry};
use crate::hash::{Algorithm, HashType, RootHash};
use crate::layout::Placement;
use crate::options::Options;
use crate::params::{Params, Salt};
use crate::superblock::Superblock;
use crate::tree::HashTree;
use crate::verdict::Verdict;

/// Size of a random salt in bytes, as veritysetup has it.
const SALT_SIZE: usize = 32;
/// Bytes of zeros written at once, between superblock and tree.
const PIECE: usize = 4096;

/// How [`HashTree::format`] makes a tree. The default is that of `veritysetup format`: hash type 1, SHA-256, blocks of 4096
/// bytes, all whole blocks of the data, a random salt of 32 bytes, a random UUID, the superblock at byte 0.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FormatOptions<'a> {
    hash_type: HashType,
    algorithm: Algorithm,
    data_block_size: u32,
    hash_block_size: u32,
    data_blocks: Option<u64>,
    salt: Option<Salt>,
    uuid: Option<[u8; 16]>,
    placement: Placement,
    options: Options<'a>,
}

impl Default for FormatOptions<'_> {
    fn default() -> Self {
        FormatOptions {
            hash_type: HashType::Normal,
            algorithm: Algorithm::Sha256,
            data_block_size: 4096,
            hash_block_size: 4096,
            data_blocks: None,
            salt: None,
            uuid: None,
            placement: Placement::Superblock(0),
            options: Options::new(),
        }
    }
}

impl<'a> FormatOptions<'a> {
    /// The defaults of `veritysetup format`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash type.
    #[must_use]
    pub fn hash_type(mut self, hash_type: HashType) -> Self {
        self.hash_type = hash_type;
        self
    }

    /// The hash algorithm.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sizes of data and hash blocks in bytes.
    #[must_use]
    pub fn block_sizes(mut self, data: u32, hash: u32) -> Self {
        (self.data_block_size, self.hash_block_size) = (data, hash);
        self
    }

    /// The number of data blocks; without it as many as fit.
    #[must_use]
    pub fn data_blocks(mut self, blocks: u64) -> Self {
        self.data_blocks = Some(blocks);
        self
    }

    /// The salt; without it a random one. The same salt for each version of an image lets versions share blocks.
    #[must_use]
    pub fn salt(mut self, salt: Salt) -> Self {
        self.salt = Some(salt);
        self
    }

    /// The UUID in the superblock, in the order of its text; without it a random one.
    #[must_use]
    pub fn uuid(mut self, uuid: [u8; 16]) -> Self {
        self.uuid = Some(uuid);
        self
    }

    /// Where the hash area is, with a superblock or without.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// How the tree is computed. None of this changes the result.
    #[must_use]
    pub fn options(mut self, options: Options<'a>) -> Self {
        self.options = options;
        self
    }
}

/// What [`HashTree::format`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Formatted {
    /// The root hash: to be kept where whoever can write the data cannot write.
    pub root_hash: RootHash,
    /// The salt.
    pub salt: Salt,
    /// The UUID in the superblock, in the order of its text; `None` without a superblock.
    pub uuid: Option<[u8; 16]>,
    /// Bytes at the end of the data that no block covers.
    pub unprotected_bytes: u64,
    /// The tree that was made, ready to check or to read through.
    pub tree: CheckedTree,
}

impl HashTree {
    /// Makes the hash tree of `data` in `hash`, with its superblock, as `veritysetup format` does, and the same byte for byte
    /// if salt and UUID are given.
    ///
    /// The superblock is written last, after the tree was synchronised, and what was there before is overwritten first: a hash
    /// device that was not finished is not taken for one that was. Of `hash`, only its hash area is written.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use ddi_verity::{FormatOptions, HashTree, OpenOptions, Options};
    ///
    /// let data = vec![7; 300 * 4096];
    /// let hash = Mutex::new(Vec::new());
    /// let root_hash = HashTree::format(&data, &hash, &FormatOptions::new())?.root_hash;
    ///
    /// // later, elsewhere
    /// let hash = hash.into_inner()?;
    /// let tree = HashTree::open(&data, &hash, &OpenOptions::new())?;
    /// assert!(tree.verify(&data, &hash, &root_hash, &Options::new())?.is_proven());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Params::new`], [`HashTree::new`] and [`HashTree::build`]. Nothing was written if the parameters are refused.
    pub fn format(
        data: &dyn ReadAt,
        hash: &dyn WriteAt,
        options: &FormatOptions<'_>,
    ) -> Result<Formatted, Error> {
        let available = data.size();
        let all = available.checked_div(options.data_block_size.into()).unwrap_or(0);
        let salt = match options.salt {
            Some(salt) => salt,
            None => Salt::new(&random::<SALT_SIZE>()?)?,
        };
        let params = Params::new(
            options.hash_type,
            options.algorithm,
            options.data_block_size,
            options.hash_block_size,
            options.data_blocks.unwrap_or(all),
            salt,
        )?;
        let tree = HashTree::new(params, options.placement)?;
        let needed = params.data_size();
        let Some(unprotected_bytes) = available.checked_sub(needed) else {
            return Err(Error::TooShort { storage: Storage::Data, needed, found: available });
        };
        tree.check_may_build(&options.options)?;

        let area = tree.layout().hash_area();
        let (uuid, head) = match options.placement {
            Placement::Superblock(offset) => {
                let uuid = match options.uuid {
                    Some(uuid) => uuid,
                    None => random_uuid()?,
                };
                // no superblock is there until all is; up to the tree it is zero, whatever was there
                let mut at = offset;
                while let Some(rest) = tree.layout().tree().start.checked_sub(at).filter(|rest| *rest > 0) {
                    let size = usize::try_from(rest).map_or(PIECE, |rest| rest.min(PIECE));
                    let zeros = [0; PIECE];
                    write(hash, at, zeros.get(..size).unwrap_or(&zeros))?;
                    at = at.saturating_add(u64::try_from(size).unwrap_or(rest));
                }
                (Some(uuid), Some((offset, Superblock { params, uuid }.to_bytes())))
            }
            Placement::Bare(_) => (None, None),
        };
        let root_hash = tree.build(data, hash, &options.options)?;
        sync(hash, area.start)?;
        if let Some((offset, superblock)) = head {
            write(hash, offset, &superblock)?;
            sync(hash, offset)?;
        }
        Ok(Formatted { root_hash, salt, uuid, unprotected_bytes, tree: tree.vouched() })
    }

    /// The tree that the superblock in `hash` describes, checked against the sizes of both sources.
    ///
    /// # Errors
    /// As [`Superblock::read`], [`HashTree::new`] and [`check_geometry`].
    pub fn open(data: &dyn ReadAt, hash: &dyn ReadAt, options: &OpenOptions) -> Result<CheckedTree, Error> {
        let params = match options.params {
            Some(params) => params,
            None => Superblock::read(hash, options.offset)?.params,
        };
        let placement = match options.params {
            Some(_) => Placement::Bare(options.offset),
            None => Placement::Superblock(options.offset),
        };
        let tree = HashTree::new(params, placement)?;
        match options.data_blocks {
            // the caller knows what the superblock only says
            Some(blocks) if blocks != params.data_blocks() => {
                Err(Error::DataSize { expected: params.data_size(), found: data.size() })
            }
            _ => check_geometry(tree, data.size(), hash.size(), options.strictness),
        }
    }

    /// Opens the tree and checks every block of data and tree against the root hash, as `veritysetup verify` does, which stops
    /// at nothing but asks for less: see [`OpenOptions::strictness`].
    ///
    /// ```
    /// use ddi_verity::{FormatOptions, HashTree, OpenOptions, Options};
    /// # let mut data = vec![7; 300 * 4096];
    /// # let hash = std::sync::Mutex::new(Vec::new());
    /// # let root_hash = HashTree::format(&data, &hash, &FormatOptions::new())?.root_hash;
    /// # let hash = hash.into_inner()?;
    /// data[5 * 4096] ^= 1;
    /// let verdict = HashTree::check(&data, &hash, &root_hash, &OpenOptions::new(), &Options::new())?;
    /// assert_eq!(verdict.corrupt_data.ranges(), [5..6]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`CheckedTree::verify`]. That blocks do not match is no error but in the verdict.
    pub fn check(
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        root_hash: &RootHash,
        open: &OpenOptions,
        options: &Options<'_>,
    ) -> Result<Verdict, Error> {
        Self::open(data, hash, open)?.verify(data, hash, root_hash, options)
    }
}

/// Where [`HashTree::open`] finds a tree, and what it takes.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    offset: u64,
    params: Option<Params>,
    data_blocks: Option<u64>,
    strictness: Strictness,
}

impl OpenOptions {
    /// A superblock at byte 0, and nothing unusual.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the hash area begins in its source, in bytes.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The parameters of a tree without a superblock.
    #[must_use]
    pub fn without_superblock(mut self, params: Params) -> Self {
        self.params = Some(params);
        self
    }

    /// The number of data blocks, from a source as good as that of the root hash, which does not bind it: a superblock that
    /// says another is refused.
    #[must_use]
    pub fn data_blocks(mut self, blocks: u64) -> Self {
        self.data_blocks = Some(blocks);
        self
    }

    /// What is taken that systemd-repart does not make.
    #[must_use]
    pub fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }
}

fn write(hash: &dyn WriteAt, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    hash.write_all_at(offset, bytes).map_err(|error| Error::Io { storage: Storage::Hash, offset, error })
}

fn sync(hash: &dyn WriteAt, offset: u64) -> Result<(), Error> {
    hash.sync().map_err(|error| Error::Io { storage: Storage::Hash, offset, error })
}

/// Random bytes from the kernel.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let got = rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| Error::Random { error: errno.into() })?;
        filled = filled.saturating_add(got);
    }
    Ok(bytes)
}

/// A random UUID, version 4.
fn random_uuid() -> Result<[u8; 16], Error> {
    let mut uuid = random::<16>()?;
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    Ok(uuid)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::superblock::SUPERBLOCK_SIZE;

    /// Remembers what was written where.
    struct Journal(Mutex<Vec<(u64, usize)>>, Mutex<Vec<u8>>);

    impl WriteAt for Journal {
        fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().push((offset, bytes.len()));
            self.1.write_all_at(offset, bytes)
        }
        fn sync(&self) -> io::Result<()> {
            self.0.lock().unwrap().push((u64::MAX, 0));
            Ok(())
        }
    }

    #[test]
    fn the_superblock_comes_last() {
        let journal = Journal(Mutex::new(Vec::new()), Mutex::new(vec![0xff; 3 * 4096]));
        let made = HashTree::format(&vec![1; 4096 * 9], &journal, &FormatOptions::new()).unwrap();
        let steps = journal.0.into_inner().unwrap();
        assert_eq!(steps[0], (0, 4096), "what was there is gone first");
        assert_eq!(steps[steps.len() - 3..], [(u64::MAX, 0), (0, SUPERBLOCK_SIZE), (u64::MAX, 0)]);
        let hash = journal.1.into_inner().unwrap();
        let superblock = Superblock::read(&hash, 0).unwrap();
        assert_eq!((Some(superblock.uuid), *superblock.params.salt()), (made.uuid, made.salt));
        assert!(hash[SUPERBLOCK_SIZE..4096].iter().all(|byte| *byte == 0));
        assert!(hash[2 * 4096..].iter().all(|byte| *byte == 0xff), "only the hash area");
        assert_eq!(made.tree.layout().hash_area(), 0..2 * 4096);
    }

    #[test]
    fn random_parts_are_not_twice_the_same() {
        let made = [(); 2].map(|()| {
            let hash = Mutex::new(Vec::new());
            HashTree::format(&vec![1; 4096 * 3], &hash, &FormatOptions::new()).unwrap()
        });
        assert_ne!(made[0].salt, made[1].salt);
        assert_ne!(made[0].uuid, made[1].uuid);
        assert_ne!(made[0].root_hash, made[1].root_hash);
        for uuid in made.map(|made| made.uuid.unwrap()) {
            assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (4, 2));
        }
    }

    #[test]
    fn what_is_refused_is_refused_before_the_first_byte() {
        let nothing = || Journal(Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let data = vec![1; 4096 * 3];
        for options in [
            FormatOptions::new().data_blocks(4),
            FormatOptions::new().block_sizes(4096, 4095),
            FormatOptions::new().block_sizes(0, 4096),
            FormatOptions::new().algorithm(Algorithm::Sha1),
            FormatOptions::new().placement(Placement::Superblock(u64::MAX - 511)),
            FormatOptions::new().data_blocks(u64::MAX),
        ] {
            let hash = nothing();
            assert!(HashTree::format(&data, &hash, &options).is_err(), "{options:?}");
            assert!(hash.0.into_inner().unwrap().is_empty(), "{options:?}");
        }
    }

    #[test]
    fn data_blocks_that_the_caller_knows_must_be_those_of_the_superblock() {
        let (data, hash) = (vec![1; 4096 * 3], Mutex::new(Vec::new()));
        let made = HashTree::format(&data, &hash, &FormatOptions::new()).unwrap();
        let hash = hash.into_inner().unwrap();
        let open = |blocks| HashTree::open(&data, &hash, &OpenOptions::new().data_blocks(blocks));
        assert_eq!(open(3).unwrap().tree(), made.tree.tree());
        assert!(matches!(open(2), Err(Error::DataSize { .. })));
        let longer = vec![1; 4096 * 3 + 1];
        assert!(matches!(HashTree::open(&longer, &hash, &OpenOptions::new()), Err(Error::DataSize { .. })));
        let lax = OpenOptions::new().strictness(Strictness::ANY);
        assert!(HashTree::open(&longer, &hash, &lax).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_made_can_be_opened_and_every_flip_is_found(
            data_log in 9u32..13, hash_log in 9u32..13, blocks in 1usize..40, tail in 0usize..512,
            salt in proptest::collection::vec(any::<u8>(), 0..40), offset in 0u64..4, bare: bool, flip: prop::sample::Index,
        ) {
            let sizes = (1 << data_log, 1 << hash_log);
            let mut data: Vec<u8> = (0..(blocks << data_log) + tail).map(|at| (at / 7) as u8).collect();
            let salt = Salt::new(&salt).unwrap();
            let offset = offset * u64::from(sizes.1);
            let placement = if bare { Placement::Bare(offset) } else { Placement::Superblock(offset) };
            let hash = Mutex::new(Vec::new());
            let options = FormatOptions::new().block_sizes(sizes.0, sizes.1).salt(salt).placement(placement).uuid([3; 16]);
            let made = HashTree::format(&data, &hash, &options).unwrap();
            prop_assert_eq!(made.unprotected_bytes, tail as u64);
            prop_assert_eq!(made.uuid.is_none(), bare);
            let hash = hash.into_inner().unwrap();
            let mut open = OpenOptions::new().offset(offset).strictness(Strictness::ANY);
            if bare {
                open = open.without_superblock(*made.tree.params());
            }
            let verdict = HashTree::check(&data, &hash, &made.root_hash, &open, &Options::new()).unwrap();
            prop_assert!(verdict.is_proven());
            let at = flip.index(blocks << data_log);
            data[at] ^= 1;
            let verdict = HashTree::check(&data, &hash, &made.root_hash, &open, &Options::new()).unwrap();
            let block = (at >> data_log) as u64;
            let bad = block..block + 1;
            prop_assert_eq!(verdict.corrupt_data.ranges(), [bad]);
        }
    }
}
