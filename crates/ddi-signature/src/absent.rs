//! What stands in place of signatures in a build without the feature `pkcs7`: the same types, of which no value can be had.
//!
//! Without a [`Certificate`] there is no [`VerifiedRootHash`](super::VerifiedRootHash), and nothing can be trusted that only
//! a signature vouches for.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::time::SystemTime;

use ddi_verity::Params;

use super::{Fingerprint, RootHashSignature, SignatureDigest, SignatureError, SignatureScheme};

/// What every reader of signatures answers.
const ABSENT: SignatureError = SignatureError::NotCompiledIn { feature: "pkcs7" };

/// An ASN.1 object identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Oid(Infallible);

impl Oid {
    /// What it is called, if it may turn up in a root-hash signature.
    pub fn name(self) -> Option<&'static str> {
        match self.0 {}
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// Who signed: a certificate's issuer and its serial number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignerId(Infallible);

impl SignerId {
    /// Name of the certificate's issuer.
    pub fn issuer(&self) -> String {
        match self.0 {}
    }

    /// The certificate's serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        match self.0 {}
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// A detached PKCS#7 signature.
#[derive(Debug, Clone)]
pub struct DetachedSignature<'a>(Infallible, PhantomData<&'a [u8]>);

impl<'a> DetachedSignature<'a> {
    /// Fails: this build reads no signatures.
    ///
    /// # Errors
    /// [`SignatureError::NotCompiledIn`].
    pub fn parse(_: &'a [u8]) -> Result<Self, SignatureError> {
        Err(ABSENT)
    }

    /// Which certificate it says to be made with.
    pub fn signer(&self) -> &SignerId {
        match self.0 {}
    }

    /// What the text, or the attributes, are hashed with.
    pub fn digest(&self) -> SignatureDigest {
        match self.0 {}
    }

    /// The kind of signature.
    pub fn scheme(&self) -> SignatureScheme {
        match self.0 {}
    }

    /// Returns true if there are authenticated attributes.
    pub fn has_attributes(&self) -> bool {
        match self.0 {}
    }

    /// The hash tree that was signed along with the root hash.
    pub fn bound_tree(&self) -> Option<&Params> {
        match self.0 {}
    }

    /// DER of the certificates that came with it.
    pub fn embedded_certificates(&self) -> &[&'a [u8]] {
        match self.0 {}
    }
}

/// A trusted certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(Infallible);

impl Certificate {
    /// Fails: this build reads no certificates.
    ///
    /// # Errors
    /// [`SignatureError::NotCompiledIn`].
    pub fn parse(_: &[u8]) -> Result<Self, SignatureError> {
        Err(ABSENT)
    }

    pub(super) fn with_path(self, _: &Path) -> Self {
        match self.0 {}
    }

    /// Issuer and serial number.
    pub fn id(&self) -> &SignerId {
        match self.0 {}
    }

    /// As it was read.
    pub fn der(&self) -> &[u8] {
        match self.0 {}
    }

    /// Whose certificate it is.
    pub fn subject(&self) -> String {
        match self.0 {}
    }

    /// SHA-256 of its DER.
    pub fn fingerprint(&self) -> Fingerprint {
        match self.0 {}
    }

    /// First moment of its validity.
    pub fn not_before(&self) -> SystemTime {
        match self.0 {}
    }

    /// Last moment of its validity.
    pub fn not_after(&self) -> SystemTime {
        match self.0 {}
    }

    /// The kind of key, with its size.
    pub fn key_name(&self) -> String {
        match self.0 {}
    }

    /// The file it came from, if it came from one.
    pub fn path(&self) -> Option<&Path> {
        match self.0 {}
    }

    pub(super) fn verify(&self, _: &DetachedSignature<'_>, _: &[u8]) -> Result<(), SignatureError> {
        match self.0 {}
    }
}

impl RootHashSignature {
    /// Fails: this build reads no signatures.
    ///
    /// # Errors
    /// [`SignatureError::NotCompiledIn`].
    pub fn parse(_: &[u8]) -> Result<Self, SignatureError> {
        Err(ABSENT)
    }
}

/// The fingerprint of an embedded certificate, of which there is none.
pub(super) fn fingerprint(_: &[u8]) -> Fingerprint {
    Fingerprint([0; 32])
}
