//! Data that comes by once, such as through a pipe, against a tree in a file.
//!
//! One thread at a time takes from the stream: it proves the hash blocks that are next, and reads a piece of the data that they
//! vouch for. Then it hashes that piece while another takes the next one.

use core::ops::Range;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Storage};
use crate::geometry::CheckedTree;
use crate::hash::RootHash;
use crate::options::Options;
use crate::parallel::{self, Control};
use crate::tree::verify::{Descent, Top, nothing_yet, single_block};
use crate::tree::{PIECE, Work};
use crate::verdict::Verdict;
use ddi_io::{Pipeline, PipelineError, ReadAt};

/// Bytes that are passed over at once.
const SKIP: usize = 64 << 10;

impl CheckedTree {
    /// As [`verify`](Self::verify), but `data` is read once, from its beginning to its end, and never kept.
    ///
    /// Read by one thread at a time and hashed by all, which are threads of its own; the verdict does not depend on their number.
    /// Memory is bounded by constants as it is there: a few MiB, and 1 MiB (or a data block) a thread.
    ///
    /// Not a byte behind the last data block is read; the caller who wants no more to come has to look. Data of which
    /// nothing can be proven is passed over, or, if nothing follows that can be, not read at all: above all when the top
    /// of the tree is not what `root` says.
    ///
    /// # Errors
    /// As [`verify`](Self::verify). [`Error::TooShort`] if `data` ends before its last block does.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, Salt};
    ///
    /// let data = vec![7; 300 * 4096];
    /// let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::EMPTY)?;
    /// let tree = HashTree::new(params, Placement::Bare(0))?.vouched();
    /// let hash = Mutex::new(Vec::new());
    /// let root = tree.build(&data, &hash, &Options::new())?;
    ///
    /// let hash = hash.into_inner()?;
    /// let mut pipe = &data[..];
    /// assert!(tree.verify_stream(&mut pipe, &hash, &root, &Options::new())?.is_proven());
    /// assert!(pipe.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify_stream(
        &self,
        data: &mut (dyn Read + Send),
        hash: &dyn ReadAt,
        root: &RootHash,
        options: &Options<'_>,
    ) -> Result<Verdict, Error> {
        let workers = parallel::workers(options, self.params().data_size());
        self.verify_stream_on(workers, data, hash, root, options)
    }

    fn verify_stream_on(
        &self,
        workers: usize,
        data: &mut (dyn Read + Send),
        hash: &dyn ReadAt,
        root: &RootHash,
        options: &Options<'_>,
    ) -> Result<Verdict, Error> {
        let tree = self.tree();
        tree.check_root_size(root)?;
        tree.check_size(Storage::Hash, hash.size())?;
        let stream = Stream { data, position: 0, size: self.params().data_size() };
        let control = Control::new(options, stream.size);
        // claims in the order of the data
        let work = match tree.layout().levels() {
            [] => {
                let stream = Mutex::new(stream);
                let fill =
                    |block: &mut [u8]| stream.lock().unwrap_or_else(PoisonError::into_inner).fill(block);
                return single_block(tree, &fill, root, &control, options);
            }
            _ => Work::serial(tree, options),
        };
        // on this thread, but where a panic of the source is caught
        let (top, mut verdict) =
            parallel::run(&control, 1, 1, || (), |(), _| Ok(Top::prove(&work, hash, root)?))?
                .pop()
                .ok_or(Error::Worker)?;
        if options.stop_at_first && !verdict.is_clean() {
            verdict.is_complete = false;
            return Ok(verdict);
        }

        let mut intake = Intake {
            work: &work,
            stream,
            descent: Descent::new(&work, hash, &top),
            claims: (0..work.parts).flat_map(|part| work.claims(part)),
            runs: Vec::new(),
        };
        let outcome = Pipeline::new(workers).run(
            || Piece::new(&work),
            |piece| match control.is_cancelled() {
                true => Err(Error::Cancelled),
                false => intake.take(piece),
            },
            |piece| Ok((piece.ends_claim, piece.covers, piece.judge(&work))),
            |(ends_claim, covers, found)| {
                verdict.append(found);
                control.advance(covers);
                // all of the claim, as there
                let stops = options.stop_at_first && ends_claim && !verdict.is_clean();
                verdict.is_complete &= !stops;
                Ok(!stops)
            },
        );
        match outcome {
            Ok(()) => Ok(verdict),
            Err(PipelineError::Failed(error)) => Err(error),
            Err(PipelineError::Panicked) => Err(Error::Worker),
        }
    }
}

/// What comes by.
struct Stream<'a> {
    data: &'a mut (dyn Read + Send),
    position: u64,
    /// Bytes that are wanted of it.
    size: u64,
}

impl Stream<'_> {
    fn fill(&mut self, mut buf: &mut [u8]) -> Result<(), Error> {
        let offset = self.position;
        while !buf.is_empty() {
            match self.data.read(buf) {
                Ok(0) => {
                    let (needed, found) = (self.size, self.position);
                    return Err(Error::TooShort { storage: Storage::Data, needed, found });
                }
                Ok(read) => {
                    self.position += read as u64;
                    buf = &mut buf[read..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Io { storage: Storage::Data, offset, error }),
            }
        }
        Ok(())
    }

    /// Goes on to `offset`, which is not behind.
    fn pass_to(&mut self, offset: u64) -> Result<(), Error> {
        let mut passed = Vec::new();
        while self.position < offset {
            passed.resize(SKIP, 0);
            let now = usize::try_from(offset - self.position).unwrap_or(SKIP).min(SKIP);
            self.fill(&mut passed[..now])?;
        }
        Ok(())
    }
}

/// Where pieces come from: one for each stretch of data of a claim whose hash blocks are proven, or are not, and several if
/// it is long.
struct Intake<'a, C> {
    work: &'a Work<'a>,
    stream: Stream<'a>,
    descent: Descent<'a>,
    claims: C,
    /// What is left of the claim, the last first: data blocks, and whether their hash blocks are proven.
    runs: Vec<(Range<u64>, bool)>,
}

impl<C: Iterator<Item = Range<u64>>> Intake<'_, C> {
    /// Puts the next piece into `piece`; false if there is none.
    fn take(&mut self, piece: &mut Piece) -> Result<bool, Error> {
        let (work, layout) = (self.work, self.work.layout());
        let block_size = work.data_block_size() as usize;
        piece.found = nothing_yet(work.tree);
        if self.runs.is_empty() {
            let Some(claim) = self.claims.next() else { return Ok(false) };
            self.descent.load(0, claim.clone(), &mut piece.found)?;
            let mut blocks = claim;
            for run in self.descent.lowest().proven().chunk_by(|a, b| a == b) {
                let end = blocks.start + run.len() as u64;
                let data = layout.children_of(0, blocks.start).start..layout.children_of(0, end - 1).end;
                self.runs.push((data, run[0]));
                blocks.start = end;
            }
            self.runs.reverse();
        }
        let Some((data, proven)) = self.runs.last_mut() else { return Ok(false) };
        let most = if *proven { (PIECE / block_size).max(1) as u64 } else { u64::MAX };
        piece.blocks = data.start..data.end.min(data.start.saturating_add(most));
        let proven = *proven;
        data.start = piece.blocks.end;
        if data.is_empty() {
            self.runs.pop();
        }
        let count = piece.blocks.end - piece.blocks.start;
        piece.covers = count * block_size as u64;
        piece.ends_claim = self.runs.is_empty();
        piece.expected.clear();
        if !proven {
            piece.found.unproven_data.push(piece.blocks.clone());
            return Ok(true);
        }
        self.stream.pass_to(piece.blocks.start * block_size as u64)?;
        piece.bytes.resize(count as usize * block_size, 0);
        self.stream.fill(&mut piece.bytes)?;
        for block in piece.blocks.clone() {
            piece.expected.extend_from_slice(self.descent.lowest().expected(work, block).digest);
        }
        Ok(true)
    }
}

/// Data as one thread has it, and the digests that it must have.
struct Piece {
    /// True if nothing more of the claim follows.
    ends_claim: bool,
    /// Bytes of the image that are done with it.
    covers: u64,
    blocks: Range<u64>,
    bytes: Vec<u8>,
    expected: Vec<u8>,
    digests: Vec<u8>,
    /// What is known without the data.
    found: Verdict,
}

impl Piece {
    fn new(work: &Work<'_>) -> Self {
        Piece {
            ends_claim: false,
            covers: 0,
            blocks: 0..0,
            bytes: Vec::new(),
            expected: Vec::new(),
            digests: Vec::new(),
            found: nothing_yet(work.tree),
        }
    }

    /// Compares each block with its digest.
    fn judge(&mut self, work: &Work<'_>) -> Verdict {
        let mut found = core::mem::replace(&mut self.found, nothing_yet(work.tree));
        let (block_size, digest_size) = (work.data_block_size() as usize, work.layout().digest_size());
        if self.expected.is_empty() {
            return found;
        }
        self.digests.resize(self.expected.len(), 0);
        work.hash(None, &self.bytes, block_size, &mut self.digests, digest_size);
        let digests = self.digests.chunks_exact(digest_size).zip(self.expected.chunks_exact(digest_size));
        for (block, (digest, expected)) in self.blocks.clone().zip(digests) {
            if digest == expected {
                found.proven_data += 1;
            } else {
                found.corrupt_data.push(block..block + 1);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{Algorithm, HashType};
    use crate::tree::model::{Example, SHA256, shapes};

    /// Gives a few bytes at a time, is interrupted between, and fails at some place.
    struct Pipe<'a> {
        data: &'a [u8],
        piece: usize,
        turn: usize,
        fails_at: Option<usize>,
    }

    impl<'a> Pipe<'a> {
        fn new(data: &'a [u8], piece: usize) -> Self {
            Pipe { data, piece, turn: 0, fails_at: None }
        }
    }

    impl Read for Pipe<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.turn += 1;
            if self.turn.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.fails_at.is_some_and(|at| at >= self.data.len()) {
                return Err(io::Error::other("broken"));
            }
            let len = self.piece.min(buf.len()).min(self.data.len());
            let (now, later) = self.data.split_at(len);
            buf[..len].copy_from_slice(now);
            self.data = later;
            Ok(len)
        }
    }

    fn examples() -> Vec<Example> {
        use {Algorithm::*, HashType::*};
        vec![
            Example::new(SHA256, 512, 512, 1, b"s"),
            Example::new(SHA256, 512, 512, 2, b"s"),
            Example::new(SHA256, 512, 512, 5000, b"s"),
            Example::new(SHA256, 4096, 512, 257, b""),
            Example::new((ChromeOs, Sha384), 512, 1024, 700, b"salt"),
            Example::new((Normal, Sha512), 1024, 512, 600, &[1; 256]),
        ]
    }

    /// Small windows too, so that small images go through all of the machinery.
    fn options() -> [Options<'static>; 2] {
        [Options::new(), Options { resident: Some(64), ..Options::new() }]
    }

    fn assert_same(example: &Example, data: &[u8], hash: &[u8]) {
        for options in options() {
            let of_file = example.tree.verify(&data, &hash, &example.root, &options).unwrap();
            for (piece, threads) in [(1000, 1), (1 << 20, 3)] {
                let mut pipe = Pipe::new(data, piece);
                let of_pipe = example
                    .tree
                    .verify_stream_on(threads, &mut pipe, &hash, &example.root, &options)
                    .unwrap();
                assert_eq!(of_pipe, of_file);
                assert!(!of_pipe.is_proven() || pipe.data.is_empty());
            }
        }
    }

    #[test]
    fn says_what_verify_says() {
        for example in examples() {
            assert_same(&example, &example.data, &example.hash);
            for at in [0, example.data.len() / 2, example.data.len() - 1] {
                let mut data = example.data.clone();
                data[at] ^= 1;
                assert_same(&example, &data, &example.hash);
            }
            for block in (0..example.hash.len() / 512).step_by(7) {
                let mut hash = example.hash.clone();
                hash[block * 512] ^= 1;
                assert_same(&example, &example.data, &hash);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn says_what_verify_says_of_any_tree(
            shape in shapes(),
            n in 1_u64..400,
            damage in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1_u8..), 0..4),
        ) {
            let example = shape.example(n);
            let (mut data, mut hash) = (example.data.clone(), example.hash.clone());
            for (in_tree, place, flip) in damage {
                let bytes = if in_tree && !hash.is_empty() { &mut hash } else { &mut data };
                let at = place.index(bytes.len());
                bytes[at] ^= flip;
            }
            assert_same(&example, &data, &hash);
        }
    }

    /// Several pieces in a claim, and several claims: each number of threads ends in the same way, whatever is wrong and however
    /// much of it.
    #[test]
    fn x4_the_number_of_threads_is_not_seen() {
        let example = Example::new(SHA256, 4096, 4096, 3000, b"s");
        let layout = example.tree.layout();
        let n = example.data.len();
        let flip = |bytes: &[u8], places: &[usize]| {
            let mut bytes = bytes.to_vec();
            places.iter().for_each(|place| bytes[*place] ^= 1);
            bytes
        };
        let block = |number: usize| layout.levels()[0].offset as usize + number * 4096 + 5;
        let bad_data = [vec![], vec![0], vec![n - 1], vec![5 << 20, (5 << 20) + 4096, 9 << 20, n / 2]];
        let bad_hash = [vec![], vec![block(0)], vec![block(7), block(8)], vec![block(23)]];
        for (data, hash) in bad_data.iter().flat_map(|data| bad_hash.iter().map(move |hash| (data, hash))) {
            let (data, hash) = (flip(&example.data, data), flip(&example.hash, hash));
            for stop in [false, true] {
                for end in [n, n - 1, 3 << 20, 100] {
                    let options = Options::new().stop_at_first(stop);
                    let run = |threads: usize| {
                        let seen = Mutex::new(Vec::new());
                        let progress = |done, total| seen.lock().unwrap().push((done, total));
                        let options = options.progress(&progress);
                        let mut pipe = Pipe::new(&data[..end], 1 << 18);
                        let outcome = example
                            .tree
                            .verify_stream_on(threads, &mut pipe, &hash, &example.root, &options)
                            .map_err(|error| error.to_string());
                        (outcome, seen.into_inner().unwrap())
                    };
                    let one = run(1);
                    if end == n {
                        let of_file = example.tree.verify(&data, &hash, &example.root, &options.threads(1));
                        assert_eq!(one.0, Ok(of_file.unwrap()));
                    }
                    for threads in [2, 5] {
                        assert!(run(threads) == one, "{threads}: {:?}", one.0);
                    }
                }
            }
        }
    }

    #[test]
    fn what_follows_is_left_alone() {
        let example = Example::new(SHA256, 512, 512, 300, b"s");
        let mut data = example.data.clone();
        data.extend(*b"more");
        let mut pipe = &data[..];
        let verdict =
            example.tree.verify_stream(&mut pipe, &example.hash, &example.root, &Options::new()).unwrap();
        assert!(verdict.is_proven());
        assert_eq!(pipe, b"more");
    }

    #[test]
    fn a_stream_that_ends_early() {
        for example in examples() {
            for found in [0, 1, 511, example.data.len() / 2, example.data.len() - 1] {
                let mut pipe = Pipe::new(&example.data[..found], 700);
                let outcome =
                    example.tree.verify_stream(&mut pipe, &example.hash, &example.root, &Options::new());
                match outcome.unwrap_err() {
                    Error::TooShort { storage: Storage::Data, needed, found: ended } => {
                        assert_eq!((needed, ended), (example.data.len() as u64, found as u64));
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }

    #[test]
    fn a_stream_that_fails() {
        let example = Example::new(SHA256, 512, 512, 300, b"s");
        let mut pipe = Pipe { fails_at: Some(1000), ..Pipe::new(&example.data, 700) };
        let outcome = example.tree.verify_stream(&mut pipe, &example.hash, &example.root, &Options::new());
        let error = outcome.unwrap_err();
        assert!(matches!(&error, Error::Io { storage: Storage::Data, .. }), "{error}");
        assert!(error.to_string().ends_with("broken"), "{error}");
    }

    #[test]
    fn data_without_a_proof_is_not_waited_for() {
        let example = Example::new(SHA256, 512, 512, 300, b"s");
        let other = Example::new(SHA256, 512, 512, 300, b"t").root;
        let mut pipe = Pipe { fails_at: Some(usize::MAX), ..Pipe::new(&[], 1) };
        let verdict = example.tree.verify_stream(&mut pipe, &example.hash, &other, &Options::new()).unwrap();
        assert!(!verdict.root_matches() && !verdict.is_proven());
    }
}
