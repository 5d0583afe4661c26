//! From blocks to lanes: what every kernel that hashes several blocks at once has in common.
//!
//! The message of each lane falls into three parts of whole compression blocks. The parts at both ends are put
//! together in scratch memory, the middle is read where it lies:
//!
//! ```text
//! hash type 1   [whole salt blocks] [rest of salt | data] [data] … [data] [data | padding] [padding]
//!                    midstate               head           middle                 tail
//! hash type 0                                              [data] … [data] [salt | padding] …
//! ```

use super::{Algorithm, HashType, MAX_SALT, Plan, constants};
use sha2::block_api::{compress256, compress512};

/// The state after the whole compression blocks of salt at the start of a message.
#[derive(Clone)]
pub(super) enum Midstate {
    /// SHA-256.
    Short([u32; 8]),
    /// SHA-384 or SHA-512.
    Long([u64; 8]),
}

impl Midstate {
    pub(super) fn new(algorithm: Algorithm, prefix: &[u8]) -> Self {
        let mut long = match algorithm {
            Algorithm::Sha1 | Algorithm::Sha256 => {
                let mut short = constants::SHA256;
                compress256(&mut short, prefix.as_chunks().0);
                return Self::Short(short);
            }
            Algorithm::Sha384 => constants::SHA384,
            Algorithm::Sha512 => constants::SHA512,
        };
        compress512(&mut long, prefix.as_chunks().0);
        Self::Long(long)
    }
}

/// A word of the algorithm: its size, its order, the initial values and the padding.
pub(super) trait Word: Copy {
    /// The state after the whole blocks of salt.
    fn midstate(midstate: &Midstate) -> [Self; 8];
    /// Writes as much of the big-endian word as `out` has room for.
    fn write(self, out: &mut [u8]);
}

impl Word for u32 {
    fn midstate(midstate: &Midstate) -> [Self; 8] {
        match *midstate {
            Midstate::Short(words) => words,
            Midstate::Long(_) => unreachable!("a kernel of SHA-256 was given another algorithm"),
        }
    }
    fn write(self, out: &mut [u8]) {
        out.copy_from_slice(&self.to_be_bytes()[..out.len()]);
    }
}

impl Word for u64 {
    fn midstate(midstate: &Midstate) -> [Self; 8] {
        match *midstate {
            Midstate::Long(words) => words,
            Midstate::Short(_) => unreachable!("a kernel of SHA-512 was given another algorithm"),
        }
    }
    fn write(self, out: &mut [u8]) {
        out.copy_from_slice(&self.to_be_bytes()[..out.len()]);
    }
}

/// The chaining values of `N` lanes: as the kernel wants them, either by word or by lane.
pub(super) trait State {
    /// `u32` or `u64`.
    type Word: Word;
    /// Every lane at `midstate`.
    fn start(midstate: &[Self::Word; 8]) -> Self;
    /// One word of one lane.
    fn word(&self, lane: usize, index: usize) -> Self::Word;
}

/// Eight vectors of one word of every lane: for kernels with a lane per vector element.
#[cfg(target_arch = "x86_64")]
#[repr(align(64))]
pub(super) struct ByWord<W, const N: usize>(pub(super) [[W; N]; 8]);

#[cfg(target_arch = "x86_64")]
impl<W: Word, const N: usize> State for ByWord<W, N> {
    type Word = W;
    fn start(midstate: &[W; 8]) -> Self {
        Self(midstate.map(|word| [word; N]))
    }
    fn word(&self, lane: usize, index: usize) -> W {
        self.0[index][lane]
    }
}

/// Eight words for each lane: for kernels with a lane per instruction.
pub(super) struct ByLane<W, const N: usize>(pub(super) [[W; 8]; N]);

impl<W: Word, const N: usize> State for ByLane<W, N> {
    type Word = W;
    fn start(midstate: &[W; 8]) -> Self {
        Self([*midstate; N])
    }
    fn word(&self, lane: usize, index: usize) -> W {
        self.0[lane][index]
    }
}

/// What the lanes read: as many compression blocks of `B` bytes in each, all of them in one `Vec`-like slice.
pub(super) type Lanes<'a, const B: usize, const N: usize> = [&'a [[u8; B]]; N];

/// Compression blocks in the longest tail: 64-byte ones of a hash type 0 message with 256 bytes of salt.
const MAX_TAIL: usize = (MAX_SALT + 9).div_ceil(64);

/// The ends of the messages of `N` lanes, and where they are cut.
pub(super) struct Ends<const B: usize, const N: usize> {
    head: [[[u8; B]; 1]; N],
    tail: [[[u8; B]; MAX_TAIL]; N],
    /// Bytes of salt at the start of the head; 0 means that there is no head.
    head_salt: usize,
    tail_blocks: usize,
    /// Bytes of data at the start of the tail.
    tail_data: usize,
}

impl<const B: usize, const N: usize> Ends<B, N> {
    /// `block_size` is a multiple of `B`.
    pub(super) fn new(plan: &Plan, block_size: usize) -> Self {
        let salt = plan.salt();
        let (head_salt, suffix): (&[u8], &[u8]) = match plan.hash_type {
            HashType::Normal => (&salt[salt.len() / B * B..], &[]),
            HashType::ChromeOs => (&[], salt),
        };
        let mut head = [0; B];
        head[..head_salt.len()].copy_from_slice(head_salt);

        // a head takes B - head_salt bytes of data, which leaves head_salt for the tail
        let tail_data = head_salt.len();
        let used = tail_data + suffix.len();
        // one byte 0x80 and the length in bits, as two words
        let tail_blocks = (used + 1 + B / 8).div_ceil(B);
        let mut tail = [[0; B]; MAX_TAIL];
        {
            let tail = tail[..tail_blocks].as_flattened_mut();
            tail[tail_data..used].copy_from_slice(suffix);
            tail[used] = 0x80;
            let bits = 8 * (salt.len() as u64 + block_size as u64);
            let end = tail.len();
            tail[end - 8..].copy_from_slice(&bits.to_be_bytes());
        }
        Self { head: [[head]; N], tail: [tail; N], head_salt: head_salt.len(), tail_blocks, tail_data }
    }
}

/// Hashes `blocks`, `N` at a time and the last, incomplete group as well. `compress` takes the state of all lanes
/// over their compression blocks, of which each lane has the same number.
///
/// `B` divides `block_size`, `block_size` divides `blocks.len()`, and `out` has room.
pub(super) fn hash_blocks<S: State, const B: usize, const N: usize>(
    plan: &Plan,
    blocks: &[u8],
    block_size: usize,
    out: &mut [u8],
    stride: usize,
    mut compress: impl FnMut(&mut S, &Lanes<'_, B, N>),
) {
    let digest_size = plan.algorithm.digest_size();
    let midstate = S::Word::midstate(&plan.midstate);
    let ends = &mut Ends::<B, N>::new(plan, block_size);
    let head_data = if ends.head_salt > 0 { B - ends.head_salt } else { 0 };

    for (group, out) in blocks.chunks(N * block_size).zip(out.chunks_mut(N * stride)) {
        let mut state = S::start(&midstate);
        let used = group.len() / block_size;
        // lanes without a block of their own do the first one again
        let data: [&[u8]; N] = core::array::from_fn(|lane| {
            let lane = if lane < used { lane } else { 0 };
            &group[lane * block_size..][..block_size]
        });
        if ends.head_salt > 0 {
            for (head, data) in ends.head.iter_mut().zip(data) {
                head[0][ends.head_salt..].copy_from_slice(&data[..head_data]);
            }
            compress(&mut state, &ends.head.each_ref().map(|head| &head[..]));
        }
        compress(&mut state, &data.map(|data| data[head_data..].as_chunks().0));
        for (tail, data) in ends.tail.iter_mut().zip(data) {
            tail[0][..ends.tail_data].copy_from_slice(&data[block_size - ends.tail_data..]);
        }
        compress(&mut state, &ends.tail.each_ref().map(|tail| &tail[..ends.tail_blocks]));

        for (lane, out) in out.chunks_mut(stride).take(used).enumerate() {
            let words = out[..digest_size].chunks_mut(size_of::<S::Word>());
            for (index, out) in words.enumerate() {
                state.word(lane, index).write(out);
            }
        }
    }
}
