//! Where a root hash came from and who vouches for it.
//!
//! A root hash says which blocks belong together, not who put them there. So there are two types:
//!
//! | type | where from | what a proof under it is worth |
//! | --- | --- | --- |
//! | [`KnownRootHash`] | the image, or a file beside it | *intact*: the blocks match each other |
//! | [`TrustedRootHash`] | the caller, or a key that the caller trusts | *trusted*: the blocks are those that were meant |
//!
//! Nothing in an image, beside it, or in the environment makes the second out of the first.

mod caller;
pub(crate) mod signature;

pub use caller::Trust;

use core::fmt;

use ddi_gpt::Designator;
use ddi_signature::{Fingerprint, VerifiedRootHash};
use ddi_verity::RootHash;

/// What a verity-protected partition is for. A root hash is for one of the two and never opens the other: with
/// the keys of a machine bound to "the root file system is genuine", a genuine `/usr` must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The root file system.
    Root,
    /// `/usr`.
    Usr,
}

/// How many bytes of data the root hash of a role is over, by the caller's word.
///
/// As much part of what is trusted as the root hash itself, which does not say it: see [`prove`](crate::steps::prove()).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSize {
    /// Whose data.
    pub role: Role,
    /// Their size: data blocks times the size of one.
    pub bytes: u64,
}

impl Role {
    /// Both.
    pub const ALL: [Role; 2] = [Role::Root, Role::Usr];

    /// The designator of the data partition.
    pub fn data(self) -> Designator {
        match self {
            Role::Root => Designator::Root,
            Role::Usr => Designator::Usr,
        }
    }

    /// The designator of the partition with the hash tree.
    pub fn hash(self) -> Designator {
        match self {
            Role::Root => Designator::RootVerity,
            Role::Usr => Designator::UsrVerity,
        }
    }

    /// The designator of the partition with the signature.
    pub fn signature(self) -> Designator {
        match self {
            Role::Root => Designator::RootVeritySig,
            Role::Usr => Designator::UsrVeritySig,
        }
    }

    /// The role that a designator, of data, hash or signature partition, has a part in.
    pub fn of(designator: Designator) -> Option<Role> {
        Role::ALL.into_iter().find(|role| [role.data(), role.hash(), role.signature()].contains(&designator))
    }

    /// `root` or `usr`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Usr => "usr",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a root hash was found, in the order in which systemd looks (`verity_settings_load`,
/// `dissected_image_load_verity_sig_partition`, `dissected_image_guess_verity_roothash`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootHashOrigin {
    /// The caller named it.
    Caller,
    /// The extended attribute `user.verity.roothash` or `user.verity.usrhash` of the image file.
    Xattr,
    /// A file beside the image: `NAME.roothash` or `NAME.usrhash`.
    Sidecar,
    /// The JSON of the signature partition. A signature *is there*; nobody has checked it.
    SignaturePartition,
    /// Put together from the GUIDs of data and hash partition: a guess, possible for 32-byte root hashes only.
    PartitionGuids,
}

impl RootHashOrigin {
    /// Stable name for programs: `caller`, `xattr`, `sidecar`, `signature-partition`, `partition-guids`.
    pub fn name(self) -> &'static str {
        match self {
            RootHashOrigin::Caller => "caller",
            RootHashOrigin::Xattr => "xattr",
            RootHashOrigin::Sidecar => "sidecar",
            RootHashOrigin::SignaturePartition => "signature-partition",
            RootHashOrigin::PartitionGuids => "partition-guids",
        }
    }

    /// Returns true if the hash is put together from halves rather than written down anywhere.
    pub fn is_guess(self) -> bool {
        self == RootHashOrigin::PartitionGuids
    }
}

impl fmt::Display for RootHashOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RootHashOrigin::Caller => "given by the caller",
            RootHashOrigin::Xattr => "extended attribute of the image",
            RootHashOrigin::Sidecar => "file beside the image",
            RootHashOrigin::SignaturePartition => "named in the signature partition",
            RootHashOrigin::PartitionGuids => "guessed from the partition GUIDs",
        })
    }
}

/// How far a fact can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Assurance {
    /// The image says so.
    #[default]
    Claimed,
    /// Every block matched a root hash that nobody vouched for: the data is whole, but nobody says whose it is.
    Intact,
    /// Every block matched a root hash that the caller trusts.
    Authenticated,
}

impl Assurance {
    /// `claimed`, `intact`, `authenticated`.
    pub fn name(self) -> &'static str {
        match self {
            Assurance::Claimed => "claimed",
            Assurance::Intact => "intact",
            Assurance::Authenticated => "authenticated",
        }
    }
}

/// A root hash and where it was found. Good for finding damage, not for trusting anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRootHash {
    /// The hash.
    pub hash: RootHash,
    /// Which partition it is for.
    pub role: Role,
    /// Where it was found.
    pub origin: RootHashOrigin,
}

impl KnownRootHash {
    /// The root hash and where it is from; a file by the end of its name.
    pub(crate) fn fmt_with_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.hash)?;
        match (self.origin, self.role) {
            (RootHashOrigin::Sidecar, Role::Root) => f.write_str(".roothash ")?,
            (RootHashOrigin::Sidecar, Role::Usr) => f.write_str(".usrhash ")?,
            _ => {}
        }
        write!(f, "{})", self.origin)
    }
}

/// Who vouches for a trusted root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Voucher {
    /// The caller named the root hash itself.
    Caller,
    /// A certificate that the caller trusts: the root hash was signed with its key.
    Certificate(Fingerprint),
}

/// A root hash that the caller vouches for, and the role that it is for.
///
/// There is no way to make one from what an image holds:
///
/// ```
/// use ddi_core::{Role, TrustedRootHash};
///
/// let hash = "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686".parse()?;
/// let trusted = TrustedRootHash::by_caller(hash, Role::Usr);
/// assert!(trusted.vouches_for(&hash, Role::Usr));
/// assert!(!trusted.vouches_for(&hash, Role::Root));
/// # Ok::<(), ddi_verity::ParseRootHashError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedRootHash {
    hash: RootHash,
    role: Role,
    voucher: Voucher,
}

impl TrustedRootHash {
    /// On the word of the caller: `hash` must come from a place that whoever made the image cannot write to, never
    /// from the image or from beside it.
    pub fn by_caller(hash: RootHash, role: Role) -> Self {
        TrustedRootHash { hash, role, voucher: Voucher::Caller }
    }

    /// On the word of whoever holds the key of a certificate that the caller trusts. The signature covers the root hash
    /// alone: that it is for `role` is what the caller says.
    pub fn by_signature(verified: &VerifiedRootHash, role: Role) -> Self {
        let voucher = Voucher::Certificate(verified.signer().certificate.fingerprint());
        TrustedRootHash { hash: *verified.root_hash(), role, voucher }
    }

    /// The hash.
    pub fn hash(&self) -> &RootHash {
        &self.hash
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who vouches for it.
    pub fn voucher(&self) -> Voucher {
        self.voucher
    }

    /// Returns true if it is this very hash, for this very role, that is vouched for.
    pub fn vouches_for(&self, hash: &RootHash, role: Role) -> bool {
        self.role == role && self.hash == *hash
    }
}

impl From<TrustedRootHash> for KnownRootHash {
    fn from(trusted: TrustedRootHash) -> Self {
        KnownRootHash { hash: trusted.hash, role: trusted.role, origin: RootHashOrigin::Caller }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> RootHash {
        RootHash::from_bytes(&[byte; 32]).unwrap()
    }

    /// Every combination of hash and role: only the very same pair is vouched for.
    #[test]
    fn a_hash_for_usr_never_opens_root() {
        for role in Role::ALL {
            let trusted = TrustedRootHash::by_caller(hash(1), role);
            for other in Role::ALL {
                for byte in [1, 2] {
                    assert_eq!(trusted.vouches_for(&hash(byte), other), byte == 1 && other == role);
                }
            }
        }
    }

    /// A file beside the image is told by the end of its name.
    #[test]
    fn where_a_root_hash_is_from() {
        struct Shown(KnownRootHash);
        impl fmt::Display for Shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt_with_place(f)
            }
        }
        for (role, origin, place) in [
            (Role::Root, RootHashOrigin::Sidecar, ".roothash file beside the image"),
            (Role::Usr, RootHashOrigin::Sidecar, ".usrhash file beside the image"),
            (Role::Usr, RootHashOrigin::Caller, "given by the caller"),
        ] {
            let known = KnownRootHash { hash: hash(1), role, origin };
            assert_eq!(Shown(known).to_string(), format!("{} ({place})", "01".repeat(32)));
        }
    }

    #[test]
    fn a_prefix_of_the_hash_is_another_hash() {
        let trusted = TrustedRootHash::by_caller(hash(1), Role::Root);
        assert!(!trusted.vouches_for(&RootHash::from_bytes(&[1; 31]).unwrap(), Role::Root));
        assert!(!trusted.vouches_for(&RootHash::from_bytes(&[1; 64]).unwrap(), Role::Root));
    }

    /// Of every length that a root hash may have, one bit is enough.
    #[test]
    fn d6_every_bit_of_the_hash_counts() {
        for len in RootHash::MIN_SIZE..=RootHash::MAX_SIZE {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let right = RootHash::from_bytes(&bytes).unwrap();
            let trusted = TrustedRootHash::by_caller(right, Role::Usr);
            assert!(trusted.vouches_for(&right, Role::Usr));
            for bit in 0..8 * len {
                let mut wrong = bytes.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                let wrong = RootHash::from_bytes(&wrong).unwrap();
                assert!(!trusted.vouches_for(&wrong, Role::Usr), "{len} bytes, bit {bit}");
            }
            for other in RootHash::MIN_SIZE..len {
                let other = RootHash::from_bytes(&bytes[..other]).unwrap();
                assert!(!trusted.vouches_for(&other, Role::Usr));
                assert!(!TrustedRootHash::by_caller(other, Role::Usr).vouches_for(&right, Role::Usr));
            }
        }
    }

    #[test]
    fn designators_have_roles() {
        for designator in Designator::ALL {
            let role = Role::of(designator);
            assert_eq!(
                role.is_some(),
                designator.name().starts_with("root") || designator.name().starts_with("usr")
            );
            if let Some(role) = role {
                assert!(designator.name().starts_with(role.name()));
            }
        }
    }
}
