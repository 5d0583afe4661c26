//! What is known, and what is wanted, before an image is dissected.

use ddi_gpt::Architecture;

use super::filter::ImageFilter;
use crate::image::file::Sidecars;
use crate::policy::ImagePolicy;
use crate::sidecar::Sidecar;
use crate::trust::{KnownRootHash, Role, TrustedRootHash};

/// What is known about verity before the image is looked at (systemd's `VeritySettings`).
///
/// systemd knows one root hash. A caller can have two here, one for root and one for usr: then the partitions of both
/// must have the GUIDs that follow, as with `roothash=` and `usrhash=` on the command line of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VeritySettings {
    /// One for each role at most, in the order in which they came.
    pub(super) root_hashes: [Option<KnownRootHash>; Role::ALL.len()],
    /// There is a signature for the first root hash in a file.
    pub signature: bool,
    /// The hash tree is in a file beside the image, which then must not have a partition table.
    pub external: bool,
    /// What systemd would read beside the image, and is malformed.
    pub(super) malformed: Option<Sidecar>,
}

impl VeritySettings {
    /// What systemd makes of the caller's word and of what lies beside the image: the caller's root hashes, else the
    /// first one that is found.
    pub fn new<'t>(trusted: impl IntoIterator<Item = &'t TrustedRootHash>, sidecars: &Sidecars) -> Self {
        let given = trusted.into_iter().fold(Self::default(), |settings, &trusted| settings.with(trusted));
        let mut settings = match (given.first(), sidecars.root_hashes.first()) {
            (None, Some(&found)) => given.with(found),
            _ => given,
        };
        settings.signature = settings
            .first()
            .is_some_and(|known| sidecars.signatures.iter().any(|signature| signature.role == known.role));
        settings.external = sidecars.has_verity;
        let is_read = |(role, what): &&(Role, Sidecar)| match what {
            Sidecar::RootHashSignature | Sidecar::UsrHashSignature => {
                settings.first().is_some_and(|known| known.role == *role)
            }
            _ => given.first().is_none(),
        };
        settings.malformed = sidecars.malformed.iter().find(is_read).map(|(_, what)| *what);
        settings
    }

    /// A file or attribute beside the image that counts, and is malformed: that is an error of its own, and no reason to look
    /// for something else.
    pub fn malformed(&self) -> Option<Sidecar> {
        self.malformed
    }

    /// The same with one more root hash, unless there is one for that role already. Only partitions with its GUIDs are
    /// considered then.
    #[must_use]
    pub fn with(mut self, root_hash: impl Into<KnownRootHash>) -> Self {
        let known = root_hash.into();
        if self.root_hash(known.role).is_none()
            && let Some(place) = self.root_hashes.iter_mut().find(|place| place.is_none())
        {
            *place = Some(known);
        }
        self
    }

    /// The root hash for `role`.
    pub fn root_hash(&self, role: Role) -> Option<KnownRootHash> {
        self.root_hashes.into_iter().flatten().find(|known| known.role == role)
    }

    /// The first root hash: the one that systemd would go by.
    pub fn first(&self) -> Option<KnownRootHash> {
        self.root_hashes.into_iter().flatten().next()
    }

    /// Returns true if the hash tree outside of the partition table is good for the image, which without one is a root
    /// file system. A root hash for usr says nothing about that, nor does a tree of which nobody knows the root hash
    /// (systemd's `verity_settings_data_covers()`).
    pub(super) fn covers_bare_image(&self) -> bool {
        self.external && self.root_hash(Role::Root).is_some()
    }
}

/// What to do about partitions that are labelled as half written (`PRT#`) or not yet in use (`PND#`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transient {
    /// Skip them, as the Discoverable Partitions Specification tells readers to.
    #[default]
    Skip,
    /// Take them as any other, as systemd does.
    Consider,
}

/// How to dissect: what distinguishes the callers of systemd's `dissect_image()`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DissectOptions {
    /// The machine that the image is for; partitions for others are taken for want of better ones.
    pub native: Option<Architecture>,
    /// The image is for that machine, and for no other: what others would make of it does not matter.
    pub one_architecture: bool,
    /// Without a partition for root or usr, the only one of the generic Linux type is the root file system.
    pub generic_root: bool,
    /// A bare file system is no image.
    pub gpt_only: bool,
    /// There must be a root partition, or usr with `usr_without_root`.
    pub require_root: bool,
    /// A usr partition does without root.
    pub usr_without_root: bool,
    /// It is all right if there is nothing to be used.
    pub allow_empty: bool,
    /// Take a `/var` partition only if it is that of the machine with this id.
    pub machine_id: Option<[u8; 16]>,
    /// What is known about verity; `None` for a caller that has nothing to do with it.
    pub verity: Option<VeritySettings>,
    /// Partitions labelled as half written or pending.
    pub transient: Transient,
    /// What may be used; `None` allows everything. Read as systemd reads it: by what is *there*, not by what was proven.
    /// See [`PolicyEvaluation`](crate::PolicyEvaluation) for the other reading.
    pub policy: Option<ImagePolicy>,
    /// Which labels are considered.
    pub filter: ImageFilter,
}

impl DissectOptions {
    /// As `systemd-dissect` does, for the machine that we were compiled for, with these verity settings.
    pub fn new(verity: VeritySettings) -> Self {
        DissectOptions {
            native: Architecture::NATIVE,
            one_architecture: false,
            generic_root: true,
            gpt_only: false,
            require_root: false,
            usr_without_root: true,
            allow_empty: false,
            machine_id: None,
            verity: Some(verity),
            transient: Transient::Skip,
            policy: None,
            filter: ImageFilter::new(),
        }
    }

    /// As for `RootImage=`, `ExtensionImages=`, portable services, system extensions and containers: there must be a
    /// root or usr partition.
    pub fn mounting(verity: VeritySettings) -> Self {
        DissectOptions { require_root: true, ..Self::new(verity) }
    }

    /// As for the disk that the system with this machine id was booted from (`systemd-gpt-auto-generator`).
    pub fn host(machine_id: [u8; 16]) -> Self {
        DissectOptions {
            generic_root: false,
            gpt_only: true,
            allow_empty: true,
            machine_id: Some(machine_id),
            verity: None,
            ..Self::new(VeritySettings::default())
        }
    }
}
