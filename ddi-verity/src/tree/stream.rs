//! Data that comes by once, such as through a pipe, against a tree in a file.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Storage};
use crate::geometry::CheckedTree;
use crate::hash::RootHash;
use crate::options::Options;
use crate::verdict::Verdict;
use ddi_io::ReadAt;

/// Bytes that are passed over at once.
const SKIP: usize = 64 << 10;

impl CheckedTree {
    /// As [`verify`](Self::verify), but `data` is read once, from its beginning to its end, and never kept.
    ///
    /// All on the calling thread; memory is bounded by constants as it is there: a few MiB.
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
        let state = Mutex::new(State { data, position: 0, ended: false });
        let forward = Forward { state, size: self.params().data_size() };
        // one thread takes the claims in order
        let verdict = super::verify::verify(self.tree(), &forward, hash, root, &options.threads(1));
        let state = forward.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            Err(Error::Io { storage: Storage::Data, .. }) if state.ended => {
                Err(Error::TooShort { storage: Storage::Data, needed: forward.size, found: state.position })
            }
            verdict => verdict,
        }
    }
}

/// A stream as a source that is read in ascending order.
struct Forward<'a> {
    state: Mutex<State<'a>>,
    size: u64,
}

struct State<'a> {
    data: &'a mut (dyn Read + Send),
    position: u64,
    ended: bool,
}

impl State<'_> {
    fn fill(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.data.read(buf) {
                Ok(0) => {
                    self.ended = true;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(read) => {
                    self.position += read as u64;
                    buf = &mut buf[read..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ReadAt for Forward<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // a stream does not go back
        let mut skip = offset.checked_sub(state.position).ok_or(io::ErrorKind::NotSeekable)?;
        if skip > 0 {
            let mut passed = vec![0; SKIP];
            while skip > 0 {
                let now = usize::try_from(skip).unwrap_or(SKIP).min(SKIP);
                state.fill(&mut passed[..now])?;
                skip -= now as u64;
            }
        }
        state.fill(buf)
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
            for piece in [1000, 1 << 20] {
                let mut pipe = Pipe::new(data, piece);
                let of_pipe = example.tree.verify_stream(&mut pipe, &hash, &example.root, &options).unwrap();
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
