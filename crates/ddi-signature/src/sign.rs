//! Making signatures of root hashes: the feature `sign`.
//!
//! ```text
//!  SigningKey ─┐
//!              ├─ Signer ─ sign ─▶ SignedRootHash ─┬─ pkcs7()      NAME.roothash.p7s
//! SignCommand ─┘            ▲                      └─ partition()  signature partition
//!                           └ certificate, root hash, what else to bind
//! ```
//!
//! A [`SignedRootHash`] was verified with the certificate, by the code that verifies everywhere else, before anybody gets it:
//! a key that is not the certificate's, or a command that signed something else, is found here and not at boot.
//!
//! With an RSA key the result is byte for byte what `openssl smime -sign -binary -noattr -outform der` makes, with `-nocerts`
//! if it is [without the certificate](Embed::Nothing). With an elliptic curve the random number of the signature is derived
//! from key and message (RFC 6979), so that the same image signed twice is the same file.
//!
//! # Keys in memory
//!
//! What is read of a key, in each form that it takes on the way, is wiped when it is no longer needed. RSA takes the private
//! exponent and no primes: slower, but one number is all that there is to wipe, and a fault in the arithmetic cannot give
//! the primes away. Nothing of a key is in any error or in `Debug`.

mod command;
mod der;
mod error;
mod key;
mod key_file;
mod message;
mod passphrase;
#[cfg(test)]
mod tests;

pub use command::{CommandError, SignCommand};
pub use error::{KeyError, KeyForm, SignError};
pub use key::SigningKey;
pub use passphrase::Passphrase;

use base64ct::{Base64, Encoding};
use ddi_verity::{Params, RootHash};

use super::{
    Certificate, Certificates, DetachedSignature, RootHashSignature, SignatureError, VerifiedRootHash,
};

/// Size in bytes of a signature partition as systemd-repart makes it, whatever is in it.
pub const SIGNATURE_PARTITION_SIZE: usize = 16 << 10;

/// What goes into a signature beside the root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SignOptions {
    /// What comes along with it.
    pub embed: Embed,
    /// The hash tree to sign along with its root hash, as an authenticated attribute
    /// ([`DetachedSignature::bound_tree`]). `None`: no attributes, as all others sign.
    pub bound_tree: Option<Params>,
}

impl SignOptions {
    /// The certificate inside, no attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// What comes along with it.
    #[must_use]
    pub fn embed(mut self, embed: Embed) -> Self {
        self.embed = embed;
        self
    }

    /// Signs these parameters of the hash tree too.
    #[must_use]
    pub fn bind(mut self, tree: Params) -> Self {
        self.bound_tree = Some(tree);
        self
    }
}

/// What comes along with a signature. It is not covered by it, and no reader trusts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Embed {
    /// The signer's certificate, as in the signature partitions of systemd-repart.
    #[default]
    Certificate,
    /// Nothing, as the documentation of systemd makes `.p7s` files.
    Nothing,
}

/// Who signs. That nobody does yet, and the signature is attached later, is for the caller to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum Signer {
    /// A key that we have.
    Key(SigningKey),
    /// A program that has the key, or can have it used.
    Command(SignCommand),
}

impl Signer {
    /// Signs `root_hash`, and verifies that with `certificate`.
    ///
    /// A program decides itself what comes along with its signature; what it was to bind must be in it.
    ///
    /// # Errors
    /// As [`SignedRootHash::by_key`]; [`SignError::Command`]; [`SignError::NotBound`] if a program signed a root hash
    /// without the tree that it was to bind.
    pub fn sign(
        &self,
        certificate: &Certificate,
        root_hash: &RootHash,
        options: &SignOptions,
    ) -> Result<SignedRootHash, SignError> {
        match self {
            Signer::Key(key) => SignedRootHash::by_key(key, certificate, root_hash, options),
            Signer::Command(command) => {
                let pkcs7 = command.run(root_hash).map_err(SignError::Command)?;
                let signed = SignedRootHash::by_other(pkcs7, certificate, root_hash)?;
                match options.bound_tree {
                    Some(tree) if signed.verified().signer().bound_tree != Some(tree) => {
                        Err(SignError::NotBound)
                    }
                    _ => Ok(signed),
                }
            }
        }
    }
}

/// A signature of a root hash that was made, or brought, and verified with the certificate it is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRootHash {
    pkcs7: Vec<u8>,
    verified: VerifiedRootHash,
}

impl SignedRootHash {
    /// Signs `root_hash` with `key`, which must be that of `certificate`.
    ///
    /// # Errors
    /// [`SignError::KeyMismatch`], [`SignError::KeyNumbers`] for a key that is none, [`SignError::Signature`] if what would
    /// come out is nothing that the reader takes: root hashes of less than 32 bytes.
    pub fn by_key(
        key: &SigningKey,
        certificate: &Certificate,
        root_hash: &RootHash,
        options: &SignOptions,
    ) -> Result<Self, SignError> {
        if !key.is_for(certificate) {
            return Err(SignError::KeyMismatch { key: key.name(), certificate: certificate.key_name() });
        }
        let pkcs7 = message::sign(key, certificate, root_hash.to_string().as_bytes(), options)?;
        Self::by_other(pkcs7, certificate, root_hash).map_err(|error| match error {
            // the right key, and still not good: the private numbers are not those of the public ones
            SignError::Signature(SignatureError::BadSignature) => SignError::KeyNumbers,
            other => other,
        })
    }

    /// Takes a PKCS#7 message that somebody else made, if it is a good one of this root hash and this certificate.
    ///
    /// # Errors
    /// [`SignError::Signature`].
    pub fn by_other(
        pkcs7: Vec<u8>,
        certificate: &Certificate,
        root_hash: &RootHash,
    ) -> Result<Self, SignError> {
        let mut certificates = Certificates::new();
        certificates.add(certificate.clone());
        let verified = certificates.verify(&DetachedSignature::parse(&pkcs7)?, root_hash)?;
        Ok(SignedRootHash { pkcs7, verified })
    }

    /// The PKCS#7 message as DER: what a `.roothash.p7s` file holds.
    pub fn pkcs7(&self) -> &[u8] {
        &self.pkcs7
    }

    /// What was verified.
    pub fn verified(&self) -> &VerifiedRootHash {
        &self.verified
    }

    /// What the JSON of a signature partition says.
    pub fn to_root_hash_signature(&self) -> RootHashSignature {
        RootHashSignature {
            root_hash: *self.verified.root_hash(),
            certificate_fingerprint: Some(self.verified.signer().certificate.fingerprint()),
            pkcs7: self.pkcs7.clone(),
        }
    }

    /// The content of a signature partition of [`SIGNATURE_PARTITION_SIZE`] bytes, byte for byte as systemd-repart makes it
    /// of the same PKCS#7 message.
    ///
    /// # Errors
    /// [`SignError::PartitionSize`] if it does not fit, with one NUL behind it: certificates may have many names.
    pub fn partition(&self) -> Result<Vec<u8>, SignError> {
        self.to_root_hash_signature().to_partition(SIGNATURE_PARTITION_SIZE)
    }
}

impl RootHashSignature {
    /// The content of a signature partition of `size` bytes: the JSON as systemd-repart writes it, then NULs, of which there
    /// is at least one.
    ///
    /// # Errors
    /// [`SignError::PartitionSize`].
    pub fn to_partition(&self, size: usize) -> Result<Vec<u8>, SignError> {
        let mut text = format!(r#"{{"rootHash":"{}","#, self.root_hash);
        if let Some(fingerprint) = self.certificate_fingerprint {
            text.push_str(&format!(r#""certificateFingerprint":"{fingerprint}","#));
        }
        text.push_str(&format!(r#""signature":"{}"}}"#, Base64::encode_string(&self.pkcs7)));
        if text.len() >= size {
            return Err(SignError::PartitionSize { text: text.len(), size });
        }
        let mut partition = text.into_bytes();
        partition.resize(size, 0);
        Ok(partition)
    }
}
