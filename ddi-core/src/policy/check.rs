//! What is known of a partition, against what a policy asks for.

use core::fmt;

use ddi_gpt::Designator;

use super::{Flags, ImagePolicy};

/// By what a policy is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// What was proven: `signed` is met by a verified signature, `verity` by blocks that match a root hash which
    /// the caller gave or a trusted key signed, and all conditions must be met by one and the same use.
    Proven,
    /// What is there, as systemd 258 and newer goes by when it looks at an image: `signed` is met by the presence
    /// of a signature partition, `verity` by that of a hash tree. Weaker, and for comparison only.
    Presence,
}

/// What is known of the partition of one designator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether there is one.
    pub presence: Presence,
    /// True if its hash tree is there: `X-verity` for `X`, or external verity data.
    pub hash_tree: bool,
    /// True if the signature of its root hash is there, whether or not it verifies.
    pub signature: bool,
    /// What was proven of its blocks.
    pub proof: ProofLevel,
    /// Whether it is encrypted, and how.
    pub encryption: Encryption,
    /// Its read-only attribute.
    pub read_only: bool,
    /// Its grow-file-system attribute.
    pub grow_file_system: bool,
}

impl Facts {
    /// No such partition.
    pub const ABSENT: Facts = Facts {
        presence: Presence::Absent,
        hash_tree: false,
        signature: false,
        proof: ProofLevel::None,
        encryption: Encryption::Unknown,
        read_only: false,
        grow_file_system: false,
    };

    /// A partition of which nothing is known yet.
    pub const PRESENT: Facts = Facts { presence: Presence::Present, ..Facts::ABSENT };

    /// The uses that the partition table and the proofs leave open.
    fn table_uses(&self, reading: Reading) -> Flags {
        let protection = match (self.presence, reading) {
            (Presence::Absent, _) => return Flags::ABSENT,
            (Presence::Ignored, _) => return Flags::UNUSED,
            (Presence::Present, Reading::Proven) => match self.proof {
                ProofLevel::None | ProofLevel::Intact => Flags::EMPTY,
                ProofLevel::RootHash => Flags::VERITY,
                ProofLevel::Signature => Flags::VERITY | Flags::SIGNED,
            },
            (Presence::Present, Reading::Presence) => match (self.hash_tree, self.signature) {
                (true, true) => Flags::VERITY | Flags::SIGNED,
                (true, false) => Flags::VERITY,
                (false, _) => Flags::EMPTY,
            },
        };
        protection | Flags::ANY_ENCRYPTION | Flags::UNPROTECTED | Flags::UNUSED
    }

    /// The one use of a bare file system or LUKS volume: of what a partition can be used as, it is but one.
    fn bare_use(&self) -> Flags {
        match (self.hash_tree, self.signature, self.encryption) {
            (true, true, _) => Flags::SIGNED,
            (true, false, _) => Flags::VERITY,
            (false, _, Encryption::Luks) => Flags::ENCRYPTED,
            (false, _, Encryption::LuksWithIntegrity) => Flags::ENCRYPTED_WITH_INTEGRITY,
            (false, _, Encryption::None | Encryption::Unknown) => Flags::UNPROTECTED,
        }
    }

    /// The uses that the content leaves open, once it was probed.
    fn content_uses(&self) -> Flags {
        match (self.presence, self.encryption) {
            (Presence::Absent | Presence::Ignored, _) | (_, Encryption::Unknown) => Flags::OPEN,
            (_, Encryption::None) => Flags::UNPROTECTED | Flags::VERITY | Flags::SIGNED | Flags::UNUSED,
            (_, Encryption::Luks) => Flags::ENCRYPTED | Flags::UNUSED,
            (_, Encryption::LuksWithIntegrity) => Flags::ENCRYPTED_WITH_INTEGRITY | Flags::UNUSED,
        }
    }
}

/// Whether a partition is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// No.
    Absent,
    /// Yes, and the policy said at once that it is to be left alone ([`ImagePolicy::admit`]).
    Ignored,
    /// Yes.
    Present,
}

/// What was proven of a partition's blocks, from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProofLevel {
    /// Nothing.
    None,
    /// They match a root hash that nobody vouches for.
    Intact,
    /// They match a root hash that the caller gave.
    RootHash,
    /// They match a root hash that a trusted key signed.
    Signature,
}

/// What the content of a partition is, as to encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// Nobody looked yet.
    Unknown,
    /// Not encrypted.
    None,
    /// LUKS, at least one segment without integrity tags, or nobody can tell.
    Luks,
    /// LUKS2 with integrity tags in every segment.
    LuksWithIntegrity,
}

/// What a policy says to a partition that it does not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It may be used.
    Use,
    /// It is to be left alone, or is not there.
    Ignore,
}

/// A partition that a policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Whose.
    pub designator: Designator,
    /// Why.
    pub why: Refusal,
    /// What the policy allows there.
    pub allowed: Flags,
    /// The uses that would have been possible.
    pub possible: Flags,
}

/// Why a partition is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is there and must not be.
    Present,
    /// It is missing and must not be.
    Missing,
    /// It is protected in a way, or unprotected, that is not allowed.
    Protection,
    /// It is encrypted and must not be, or the other way round.
    Encryption,
    /// The read-only attribute.
    ReadOnly,
    /// The grow-file-system attribute.
    GrowFileSystem,
}

impl Refusal {
    /// A stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::Present => "policy-present",
            Refusal::Missing => "policy-missing",
            Refusal::Protection => "policy-protection",
            Refusal::Encryption => "policy-encryption",
            Refusal::ReadOnly => "policy-read-only",
            Refusal::GrowFileSystem => "policy-growfs",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { designator, why, allowed, possible } = self;
        write!(f, "image policy: {} ", designator.name())?;
        match why {
            Refusal::Present => f.write_str("must not exist"),
            Refusal::Missing => write!(f, "is missing, allowed is {}", allowed.uses()),
            Refusal::Protection => write!(f, "can be used as {possible}, allowed is {}", allowed.uses()),
            Refusal::Encryption => {
                let state =
                    if possible.intersects(Flags::ANY_ENCRYPTION) { "encrypted" } else { "not encrypted" };
                write!(f, "is {state}, allowed is {}", allowed.uses())
            }
            Refusal::ReadOnly => {
                write!(f, "has the wrong read-only attribute, allowed is {}", *allowed & Flags::READ_ONLY)
            }
            Refusal::GrowFileSystem => {
                write!(f, "has the wrong grow-file-system attribute, allowed is {}", *allowed & Flags::GROWFS)
            }
        }
    }
}

impl core::error::Error for Violation {}

impl ImagePolicy {
    /// Decides whether a partition of this designator, which is there, may be looked at any further.
    ///
    /// Comes before everything else is known of it: one that is to be left alone is not even compared with others.
    ///
    /// # Errors
    /// [`Refusal::Present`] if it must be absent.
    pub fn admit(&self, designator: Designator) -> Result<Decision, Violation> {
        let allowed = self.effective(designator);
        match allowed.uses() {
            Flags::ABSENT => {
                let possible = Flags::OPEN.without(Flags::ABSENT);
                Err(Violation { designator, why: Refusal::Present, allowed, possible })
            }
            Flags::UNUSED | Flags::IGNORE => Ok(Decision::Ignore),
            _ => Ok(Decision::Use),
        }
    }

    /// Checks that what the partition table says of `designator` is allowed, found or not. The content need not be
    /// known yet.
    ///
    /// # Errors
    /// [`Refusal::Present`], [`Refusal::Missing`], [`Refusal::Protection`], and for a partition that is there
    /// [`Refusal::ReadOnly`] and [`Refusal::GrowFileSystem`]
    pub fn check_table(
        &self,
        designator: Designator,
        facts: &Facts,
        reading: Reading,
    ) -> Result<(), Violation> {
        let allowed = self.effective(designator);
        let possible = facts.table_uses(reading);
        let refuse = |why| Err(Violation { designator, why, allowed, possible });
        if !allowed.intersects(possible) {
            return refuse(match facts.presence {
                Presence::Absent => Refusal::Missing,
                _ if allowed.uses() == Flags::ABSENT => Refusal::Present,
                _ => Refusal::Protection,
            });
        }
        if facts.presence == Presence::Present {
            self.check_attributes(designator, facts.read_only, facts.grow_file_system)?;
        }
        Ok(())
    }

    /// Checks that an image without a partition table may be the `designator`, by what is there
    /// ([`Reading::Presence`]). systemd knows one use of it alone: with a hash tree beside it, it is not unprotected as
    /// well.
    ///
    /// # Errors
    /// [`Refusal::Protection`], [`Refusal::Encryption`], [`Refusal::ReadOnly`] and [`Refusal::GrowFileSystem`]
    pub fn check_bare(&self, designator: Designator, facts: &Facts) -> Result<(), Violation> {
        let allowed = self.effective(designator);
        let possible = facts.bare_use();
        if !allowed.intersects(possible) {
            let others = Flags::VERITY | Flags::SIGNED | Flags::UNPROTECTED;
            let is_about_encryption =
                allowed.intersects(Flags::ANY_ENCRYPTION) && !allowed.intersects(others);
            let why = match possible.intersects(Flags::ANY_ENCRYPTION) || is_about_encryption {
                true => Refusal::Encryption,
                false => Refusal::Protection,
            };
            return Err(Violation { designator, why, allowed, possible });
        }
        self.check_attributes(designator, facts.read_only, facts.grow_file_system)
    }

    /// Checks that a partition's attributes are allowed.
    ///
    /// # Errors
    /// [`Refusal::ReadOnly`] and [`Refusal::GrowFileSystem`]
    pub fn check_attributes(
        &self,
        designator: Designator,
        read_only: bool,
        grow_file_system: bool,
    ) -> Result<(), Violation> {
        let allowed = self.effective(designator);
        // only one state allowed, and it is the other one; if no state is (it must be absent), there is no rule
        let wrong = |both: Flags, other: Flags| allowed & both == other;
        let other = |set: bool, on: Flags, off: Flags| if set { off } else { on };
        let read_only = other(read_only, Flags::READ_ONLY_ON, Flags::READ_ONLY_OFF);
        let growfs = other(grow_file_system, Flags::GROWFS_ON, Flags::GROWFS_OFF);
        let why = if wrong(Flags::READ_ONLY, read_only) {
            Refusal::ReadOnly
        } else if wrong(Flags::GROWFS, growfs) {
            Refusal::GrowFileSystem
        } else {
            return Ok(());
        };
        Err(Violation { designator, why, allowed, possible: Flags::EMPTY })
    }

    /// Checks that what the content turned out to be is allowed. Nothing is refused as long as it is not known.
    ///
    /// # Errors
    /// [`Refusal::Encryption`]
    pub fn check_content(&self, designator: Designator, facts: &Facts) -> Result<(), Violation> {
        let allowed = self.effective(designator);
        let possible = facts.content_uses();
        if allowed.intersects(possible) {
            return Ok(());
        }
        // an empty rule is met by nothing; it is refused for the protection that nothing can have
        Err(Violation { designator, why: Refusal::Encryption, allowed, possible })
    }

    /// All checks of one designator, and what comes of them.
    ///
    /// By [`Reading::Proven`], there must be one use that the table, the proofs, the content **and** the policy all
    /// allow: `signed+encrypted` does not let plain data pass whose signature did not verify. By
    /// [`Reading::Presence`], the table and the content are compared with the policy one after the other, as
    /// systemd does; then that is enough.
    ///
    /// # Errors
    /// All kinds of [`Refusal`].
    pub fn check_use(
        &self,
        designator: Designator,
        facts: &Facts,
        reading: Reading,
    ) -> Result<Decision, Violation> {
        self.check_table(designator, facts, reading)?;
        self.check_content(designator, facts)?;
        if facts.presence != Presence::Present {
            return Ok(Decision::Ignore);
        }
        let allowed = self.effective(designator);
        let (table, content) = (facts.table_uses(reading), facts.content_uses());
        let uses = match reading {
            Reading::Proven => allowed & table & content,
            Reading::Presence => allowed & table,
        };
        if uses.intersects(Flags::OPEN.without(Flags::IGNORE)) {
            Ok(Decision::Use)
        } else if uses.intersects(Flags::UNUSED) {
            Ok(Decision::Ignore)
        } else {
            Err(Violation { designator, why: Refusal::Protection, allowed, possible: table & content })
        }
    }
}
