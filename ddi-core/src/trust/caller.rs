//! What the caller trusts: [`Trust`].

use std::path::Path;
use std::sync::Arc;

use ddi_signature::{CERTIFICATE_DIRECTORIES, CertificateFileError, Certificates};
use ddi_verity::RootHash;

use super::{DataSize, Role, TrustedRootHash};

/// What the caller trusts: root hashes that it names, certificates whose keys sign root hashes, and sizes of protected data.
///
/// All of it must come from places that whoever made the image cannot write to. Nothing in an image, or beside it, adds to it.
///
/// ```
/// use ddi_core::{Role, Trust};
///
/// let root = "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686".parse()?;
/// let trust = Trust::root_hash(root).and_data_size(Role::Root, 1 << 20);
/// assert!(trust.vouches_for(&root, Role::Root));
/// assert!(!trust.vouches_for(&root, Role::Usr));
/// # Ok::<(), ddi_verity::ParseRootHashError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Trust {
    root_hashes: Vec<TrustedRootHash>,
    certificates: Option<Arc<Certificates>>,
    data_sizes: Vec<DataSize>,
    requires_bound_size: bool,
}

impl Trust {
    /// Trusts nobody: an image can be intact then, and never authentic.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Trusts this root hash for the root file system.
    pub fn root_hash(hash: RootHash) -> Self {
        Self::nobody().and_root_hash(Role::Root, hash)
    }

    /// Trusts this root hash for `/usr`.
    pub fn usr_hash(hash: RootHash) -> Self {
        Self::nobody().and_root_hash(Role::Usr, hash)
    }

    /// Trusts whatever was signed with the key of the certificate in this file, PEM or DER, or of any of the certificates in
    /// this folder.
    ///
    /// # Errors
    /// [`CertificateFileError`] if it cannot be read, or holds no certificate that can be used.
    pub fn certificate_file(path: impl AsRef<Path>) -> Result<Self, CertificateFileError> {
        let mut certificates = Certificates::new();
        certificates.add_path(path)?;
        Ok(Self::certificates(certificates))
    }

    /// Trusts whatever was signed with the key of one of these certificates.
    pub fn certificates(certificates: Certificates) -> Self {
        Trust { certificates: Some(Arc::new(certificates)), ..Self::default() }
    }

    /// Trusts the certificates in the folders in which systemd looks for them. There may be none.
    pub fn systemd() -> Self {
        let mut certificates = Certificates::new();
        certificates.add_directories(&CERTIFICATE_DIRECTORIES);
        Self::certificates(certificates)
    }

    /// And this root hash, which replaces one for the same role.
    #[must_use]
    pub fn and_root_hash(mut self, role: Role, hash: RootHash) -> Self {
        self.root_hashes.retain(|known| known.role() != role);
        self.root_hashes.push(TrustedRootHash::by_caller(hash, role));
        self
    }

    /// And that the data protected for `role` has this many bytes: then it need not be recognised as a file system.
    #[must_use]
    pub fn and_data_size(mut self, role: Role, bytes: u64) -> Self {
        self.data_sizes.retain(|known| known.role != role);
        self.data_sizes.push(DataSize { role, bytes });
        self
    }

    /// And these certificates, in the place of others.
    #[must_use]
    pub fn and_certificates(mut self, certificates: impl Into<Arc<Certificates>>) -> Self {
        self.certificates = Some(certificates.into());
        self
    }

    /// And nothing of which no trusted key signed the size along with the root hash
    /// ([`DetachedSignature::bound_tree`](ddi_signature::DetachedSignature::bound_tree)): also a root hash that is named must
    /// be signed then.
    #[must_use]
    pub fn requiring_bound_size(mut self) -> Self {
        self.requires_bound_size = true;
        self
    }

    /// Returns true if a trusted key must have signed the size.
    pub fn requires_bound_size(&self) -> bool {
        self.requires_bound_size
    }

    /// The root hashes that are named.
    pub fn root_hashes(&self) -> &[TrustedRootHash] {
        &self.root_hashes
    }

    /// The certificates; `None` if signatures are not checked.
    pub fn trusted_certificates(&self) -> Option<&Certificates> {
        self.certificates.as_deref()
    }

    /// The sizes of protected data.
    pub fn data_sizes(&self) -> &[DataSize] {
        &self.data_sizes
    }

    /// Returns true if this very root hash is named for this very role.
    pub fn vouches_for(&self, hash: &RootHash, role: Role) -> bool {
        self.root_hashes.iter().any(|known| known.vouches_for(hash, role))
    }
}
