//! Opening a protected partition for reading, without reading all of it.
//!
//! [`prove`](crate::prove::prove) reads every block once and says what it is worth. Here no block is read until somebody
//! wants it, and then it is proven first. Whatever must be known beforehand is therefore proven as well: what is
//! recognised as the content, and with that the rule that the data are no hash blocks (see [`prove`](mod@crate::prove)),
//! is read through the very reader that is handed out.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use ddi_io::ReadAt;
#[cfg(feature = "fec")]
use ddi_verity::{DEFAULT_CACHE_SIZE, ReadStats};
use ddi_verity::{HashTree, VerifiedReader, check_geometry};

use crate::error::{Error, Step};
use crate::image::Image;
use crate::prove::options::ProveOptions;
use crate::prove::outcome::Exception;
use crate::prove::rules::{Bound, Depth, Look, TailRule, judge, widen};
#[cfg(feature = "fec")]
use crate::prove::sources::sources;
use crate::prove::sources::{Piece, metered_sources};
use crate::trust::{KnownRootHash, TrustedRootHash};
use crate::verity_set::{Extent, VeritySet};
use ddi_fs::{FsKind, probe as fs};
use ddi_io::ReadOnce;

/// The protected bytes of a partition, of which none comes out that was not proven.
///
/// That they match the root hash is certain; whose root hash that is, [`trusted`](Self::trusted) says.
pub struct ProvenPartition {
    reader: Arc<VerifiedReader<Piece, Piece>>,
    data: Extent,
    hash: Extent,
    content: Option<Box<fs::Probe>>,
    root_hash: KnownRootHash,
    trusted: Option<TrustedRootHash>,
    exceptions: Vec<Exception>,
}

impl ProvenPartition {
    /// Opens the data of `set`, which is of `image` and was found with [`options.bind()`](ProveOptions::bind).
    ///
    /// # Errors
    /// As [`Proof::problem`](crate::Proof::problem); also if what must be looked at is not what the root hash says:
    /// that is [`Error::Verity`] with a mismatch inside.
    pub fn open(image: &Image, set: &VeritySet, options: &ProveOptions<'_>) -> Result<Self, Error> {
        if let Some(problem) = &set.problem {
            return Err(problem.clone());
        }
        let role = set.role;
        let (Some(tree), Some(data), Some(root_hash)) = (&set.tree, set.data, set.root_hash) else {
            return Err(Error::RootHashUnknown { role });
        };
        let failed = |error| Error::Verity { role, partition: set.hash.number, error: Arc::new(error) };
        let (data_source, hash_source) = metered_sources(image, set, data)?;
        let hash_size = set.hash_size(image);
        let geometry =
            |strictness| check_geometry(tree.clone(), data.range.size, hash_size, strictness).map_err(failed);
        let mut strictness = options.strictness;
        strictness.unprotected_tail |= options.tail == TailRule::Zeros;
        let checked = geometry(strictness)?;
        #[cfg(feature = "fec")]
        let reader = match options.fec.iter().find(|fec| fec.role() == role) {
            None => VerifiedReader::open(data_source, hash_source, checked, &root_hash.hash),
            Some(fec) => {
                let parity = fec.parity(tree, sources(image, set, data)?, image.meter()).map_err(failed)?;
                let (root, cache) = (&root_hash.hash, DEFAULT_CACHE_SIZE);
                VerifiedReader::open_with_parity(data_source, hash_source, checked, root, cache, parity)
            }
        };
        #[cfg(not(feature = "fec"))]
        let reader = VerifiedReader::open(data_source, hash_source, checked, &root_hash.hash);
        let mut proven = ProvenPartition {
            reader: Arc::new(reader.map_err(failed)?),
            data,
            hash: set.hash,
            content: None,
            root_hash,
            trusted: set.trusted(options.trusted),
            exceptions: Vec::new(),
        };
        let bound = proven.check_content(image, set, data, tree, options)?;
        // what lies behind the protected bytes never comes out; that they all are there, the file system says
        strictness.unprotected_tail =
            options.strictness.unprotected_tail || bound == Bound::Known && options.tail == TailRule::Zeros;
        let checked = geometry(strictness)?;
        proven.exceptions.extend(checked.geometry().exceptions.iter().copied().map(Exception::Verity));
        Ok(proven)
    }

    /// Checks, by their proven bytes, that the data are something that hash blocks cannot be taken for.
    fn check_content(
        &mut self,
        image: &Image,
        set: &VeritySet,
        data: Extent,
        tree: &HashTree,
        options: &ProveOptions<'_>,
    ) -> Result<Bound, Error> {
        // recognised and gone into: the same bytes
        let bytes: Arc<dyn ReadAt> = Arc::new(ReadOnce::new(self.reader.clone()));
        let probe = match fs::probe(&*bytes) {
            Err(fs::Error::Io { offset, source }) => return Err(unreadable(set, offset, source)),
            Ok(probe) => Ok(probe),
            Err(error) => Err(Arc::new(error)),
        };
        let found = probe.as_ref().map(Option::as_ref);
        let look = Look { tail: options.tail, depth: Depth::All, meter: image.meter() };
        let io = |offset, error| unreadable(set, offset, error);
        let judged = if set.data_size.is_some() {
            Ok(Bound::Known)
        } else {
            judge(set, data, tree, look, &bytes, found, io)
        };
        let bound = judged.or_else(|error| {
            self.exceptions.push(widen(error, options.content)?);
            Ok(Bound::No)
        })?;
        self.content = probe.ok().flatten().map(Box::new);
        Ok(bound)
    }

    /// The root hash that every byte is proven by, and where it was found.
    pub fn root_hash(&self) -> &KnownRootHash {
        &self.root_hash
    }

    /// Who vouches for that root hash; `None`: the bytes are intact, and that is all.
    pub fn trusted(&self) -> Option<TrustedRootHash> {
        self.trusted
    }

    /// The file system or LUKS volume in it, by its proven bytes. `None` only if the options allow anything.
    pub fn content(&self) -> Option<FsKind> {
        self.probe().map(|probe| probe.kind)
    }

    /// What that says of itself, by its proven bytes.
    pub fn probe(&self) -> Option<&fs::Probe> {
        self.content.as_deref()
    }

    /// Where its data is.
    pub fn data(&self) -> Extent {
        self.data
    }

    /// Where its hash tree is.
    pub fn hash(&self) -> Extent {
        self.hash
    }

    /// The hash tree: its parameters, and which block is where.
    pub fn tree(&self) -> &HashTree {
        self.reader.tree()
    }

    /// A block of the hash tree, proven. Level 0 holds the digests of the data.
    ///
    /// # Errors
    /// As [`VerifiedReader::hash_block`].
    pub fn hash_block(&self, level: usize, block: u64) -> Result<Arc<[u8]>, ddi_verity::Error> {
        self.reader.hash_block(level, block)
    }

    /// Parts of `range`, in bytes, that read as zeros: whole blocks, by their proven digests, cut to the range. No data is read.
    ///
    /// # Errors
    /// As [`ReadAt::read_exact_at`].
    pub fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        if range.start > range.end || range.end > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let block_size = u64::from(self.tree().params().data_block_size());
        let first = range.start.checked_div(block_size).unwrap_or(0);
        let blocks = first..range.end.div_ceil(block_size);
        let zeros = self.reader.zeros(blocks).map_err(into_io)?;
        let bytes = |block: u64| block.saturating_mul(block_size).clamp(range.start, range.end);
        let cut = zeros.into_iter().map(|blocks| bytes(blocks.start)..bytes(blocks.end));
        Ok(cut.filter(|zeros| !zeros.is_empty()).collect())
    }

    /// How many damaged blocks were healed so far; `None` without parity.
    #[cfg(feature = "fec")]
    pub fn stats(&self) -> Option<&ReadStats> {
        self.reader.stats()
    }

    /// Rules that would have been broken, had the options not widened them.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }
}

/// As the reader gives it out.
fn into_io(error: ddi_verity::Error) -> io::Error {
    let kind = match &error {
        ddi_verity::Error::Io { error, .. } => error.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

/// A block that is not what the root hash says, or a source that failed.
fn unreadable(set: &VeritySet, offset: u64, error: io::Error) -> Error {
    match error.downcast::<ddi_verity::Error>() {
        Ok(error) => Error::Verity { role: set.role, partition: set.hash.number, error: Arc::new(error) },
        Err(error) => Error::Io { step: Step::Probe, offset: Some(offset), error: Arc::new(error) },
    }
}

impl ReadAt for ProvenPartition {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact_at(offset, buf)
    }
}

impl fmt::Debug for ProvenPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenPartition")
            .field("root_hash", &self.root_hash)
            .field("trusted", &self.trusted)
            .field("widened", &self.exceptions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{DissectOptions, DissectionRecord, VeritySettings};
    use crate::prove::ContentRule;
    use crate::testing::{Disk, DiskImage as _, Set, erofs};
    use crate::trust::Role;
    use crate::verity_set::verity_sets;

    fn open<T>(
        disk: &Disk,
        options: &ProveOptions<'_>,
        then: impl FnOnce(Result<ProvenPartition, Error>) -> T,
    ) -> T {
        let image = disk.image();
        let verity = VeritySettings::new(options.trusted, image.sidecars());
        let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
        let sets = verity_sets(&image, &dissection, &options.bind());
        then(ProvenPartition::open(&image, &sets[0], options))
    }

    #[test]
    fn proven_bytes_and_whose_they_are() {
        let set = Set::new(erofs(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set);
        let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
        for trusted in [&trusted[..], &[]] {
            let options = ProveOptions { trusted, ..Default::default() };
            open(&disk, &options, |opened| {
                let partition = opened.unwrap();
                let mut data = vec![0; set.data.len()];
                assert_eq!(partition.size(), 300 * 4096);
                partition.read_exact_at(0, &mut data).unwrap();
                assert!(data == set.data);
                assert_eq!(partition.trusted(), trusted.first().copied());
                assert_eq!((partition.root_hash().hash, partition.exceptions().len()), (set.root, 0));
            });
        }
    }

    /// A LUKS header says how long it is itself, not its volume: what follows the protected bytes may be part of that, so
    /// it is not passed over, not even zeros. A file system is told apart.
    #[test]
    fn a_luks_volume_bounds_nothing() {
        for tail in [4096, 8192, 1 << 20] {
            for (content, is_bound) in [(crate::testing::luks(), false), (erofs(16, 1), true)] {
                let set = Set::new(content).with_tail(&vec![0; tail]);
                let disk = Disk::new().set("root-x86-64", "os", &set);
                let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
                let options = ProveOptions { trusted: &trusted, ..Default::default() };
                let code = open(&disk, &options, |opened| opened.map(drop).map_err(|error| error.code()));
                assert_eq!(code, if is_bound { Ok(()) } else { Err("verity-data-size") }, "tail of {tail}");
                let image = disk.image();
                let verity = VeritySettings::new(&trusted, image.sidecars());
                let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
                let outcome = crate::prove::prove(&image, &dissection, &options).outcome;
                assert_eq!(outcome == crate::Outcome::Verified, is_bound, "tail of {tail}");
            }
        }
    }

    /// What is looked at to recognise the content is proven itself: block 0 here is not, and shows a file system.
    #[test]
    fn content_is_recognised_by_proven_bytes() {
        let set = Set::new(erofs(300, 1));
        let damaged =
            Disk::new().set("root-x86-64", "os", &set).edit_number(1, |part| part.content[1100] ^= 1);
        let error = open(&damaged, &ProveOptions::default(), |opened| opened.unwrap_err());
        match error {
            Error::Verity { role: Role::Root, partition: Some(2), error } => {
                assert!(
                    matches!(*error, ddi_verity::Error::BlockMismatch { level: None, block: 0 }),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn content_that_is_none_or_does_not_fit() {
        let nothing = Disk::new().set("root-x86-64", "os", &Set::new(vec![7; 20 * 4096]));
        let mut large = erofs(20, 1);
        large[1060] = 21;
        let large = Disk::new().set("root-x86-64", "os", &Set::new(large));
        let strict = ProveOptions::default();
        let error = open(&nothing, &strict, |opened| opened.unwrap_err());
        assert!(matches!(error, Error::UnrecognisedContent { partition: Some(1), .. }), "{error:?}");
        let error = open(&large, &strict, |opened| opened.unwrap_err());
        assert!(
            matches!(error, Error::ContentTooLarge { claimed: 86016, available: 81920, .. }),
            "{error:?}"
        );
        let any = ProveOptions { content: ContentRule::Any, ..Default::default() };
        for (disk, widened) in [
            (nothing, Exception::UnrecognisedContent),
            (large, Exception::ContentTooLarge { claimed: 86016, available: 81920 }),
        ] {
            open(&disk, &any, |opened| assert_eq!(opened.unwrap().exceptions(), [widened]));
        }
    }

    /// Bytes behind the protected ones never come out, and are allowed only if a file system says that it ends before.
    #[test]
    fn tail() {
        let set = Set::new(erofs(20, 1)).with_tail(&[7; 4096]);
        let disk = Disk::new().set("root-x86-64", "os", &set);
        open(&disk, &ProveOptions::default(), |opened| assert_eq!(opened.unwrap().size(), 20 * 4096));
        let strict = ProveOptions { tail: TailRule::Nothing, ..Default::default() };
        let error = open(&disk, &strict, |opened| opened.unwrap_err());
        assert_eq!(error.code(), "verity-data-size");
    }
}
