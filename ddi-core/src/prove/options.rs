//! How to prove.

use core::fmt;

use ddi_signature::Certificates;
use ddi_verity::{Options, Strictness};

#[cfg(feature = "fec")]
use crate::prove::fec::FecDevice;
use crate::prove::rules::{ContentRule, TailRule};
use crate::trust::{DataSize, TrustedRootHash};
use crate::verity_set::BindOptions;

/// Which of several verity sets are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// With a root hash from the caller, the ones in use; without, all of them.
    #[default]
    Auto,
    /// One for root, one for usr: those that the caller's root hashes are for, else those that systemd would choose.
    InUse,
    /// Every hash tree in the image: all versions, all architectures.
    All,
}

/// How to prove.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct ProveOptions<'a> {
    /// The root hashes that the caller vouches for, one for each role at most.
    pub trusted: &'a [TrustedRootHash],
    /// Whose signatures the caller trusts. `None`: signatures are not checked, and vouch for nothing.
    pub certificates: Option<&'a Certificates>,
    /// The sizes of protected data that the caller vouches for, one for each role at most.
    pub data_sizes: &'a [DataSize],
    /// What no trusted key signed the size of, along with the root hash, is refused: a signature must bind the tree.
    pub require_bound_size: bool,
    /// Which verity parameters and sizes are taken.
    pub strictness: Strictness,
    /// What a protected partition must hold.
    pub content: ContentRule,
    /// What may follow the protected blocks, unless `strictness` allows anything there.
    pub tail: TailRule,
    /// Which sets.
    pub scope: Scope,
    /// The image is for the machine that it was dissected for, and for no other. Else it is not proven as long as there is a
    /// root or usr partition for another architecture that nothing protects.
    pub one_architecture: bool,
    /// For a bare image with its tree behind the data: where the superblock is, in bytes.
    pub hash_offset: Option<u64>,
    /// Parity, one for each role at most: what is read through a [`ProvenPartition`](crate::ProvenPartition) is healed where it is damaged. A proof of
    /// all blocks says what is there, and makes no use of it.
    #[cfg(feature = "fec")]
    pub fec: &'a [FecDevice],
    /// Threads, kernel, cancelling. Its progress is not used.
    pub engine: Options<'a>,
    /// Called with the bytes of data done and in all, over all sets.
    pub progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

impl<'a> ProveOptions<'a> {
    /// What the search for sets needs of it.
    pub fn bind(&self) -> BindOptions<'a> {
        BindOptions {
            trusted: self.trusted,
            certificates: self.certificates,
            data_sizes: self.data_sizes,
            require_bound_size: self.require_bound_size,
            hash_offset: self.hash_offset,
        }
    }
}

impl fmt::Debug for ProveOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProveOptions")
            .field("trusted", &self.trusted)
            .field("certificates", &self.certificates.map(|certificates| certificates.trusted().len()))
            .field("data_sizes", &self.data_sizes)
            .field("require_bound_size", &self.require_bound_size)
            .field("strictness", &self.strictness)
            .field("content", &self.content)
            .field("scope", &self.scope)
            .field("hash_offset", &self.hash_offset)
            .finish_non_exhaustive()
    }
}
