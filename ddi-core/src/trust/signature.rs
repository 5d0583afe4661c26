//! Signatures of a root hash: that one is there, and what came of checking it.
//!
//! | [`SignatureState`] | somebody looked | a trusted key signed the root hash |
//! | --- | --- | --- |
//! | [`Unchecked`](SignatureState::Unchecked) | no | |
//! | [`Verified`](SignatureState::Verified) | yes | yes |
//! | [`NotTrusted`](SignatureState::NotTrusted) | yes | not one of those that are trusted |
//! | [`OtherRootHash`](SignatureState::OtherRootHash) | yes | it is for another root hash |
//! | [`Failed`](SignatureState::Failed) | yes | no |
//!
//! A verified signature vouches for a root hash. That the blocks match the root hash is another question, which
//! [`prove`](crate::prove::prove) answers.

use core::fmt;

use ddi_signature::{
    Certificates, DetachedSignature, Fingerprint, RootHashSignature, SignatureError, SignerId,
    VerifiedRootHash,
};
use ddi_verity::RootHash;

/// What a signature partition says. That it says so is all there is to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignatureFacts {
    /// The root hash that it is for.
    pub root_hash: RootHash,
    /// SHA-256 of the certificate, as the writer says.
    pub certificate_fingerprint: Option<Fingerprint>,
    /// Size of the PKCS#7 message in bytes.
    pub pkcs7_size: usize,
}

impl SignatureFacts {
    pub(crate) fn of(signature: &RootHashSignature) -> Self {
        SignatureFacts {
            root_hash: signature.root_hash,
            certificate_fingerprint: signature.certificate_fingerprint,
            pkcs7_size: signature.pkcs7.len(),
        }
    }
}

/// One signature that is there, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedSignature {
    /// Where it is.
    pub place: SignaturePlace,
    /// What came of checking it.
    pub state: SignatureState,
}

/// Where a signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignaturePlace {
    /// In the signature partition of this number.
    Partition(u32),
    /// In a file beside the image: `NAME.roothash.p7s` or `NAME.usrhash.p7s`.
    Sidecar,
}

/// What came of checking a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureState {
    /// It is there. Nobody has checked it.
    Unchecked,
    /// The key of a trusted certificate signed the root hash.
    Verified(Box<VerifiedRootHash>),
    /// No trusted certificate has the issuer and serial number that it names.
    NotTrusted {
        /// What it names.
        signer: Box<SignerId>,
    },
    /// It is for another root hash than that of the data.
    OtherRootHash {
        /// For which one.
        found: RootHash,
    },
    /// It is no good.
    Failed(SignatureError),
}

impl SignatureState {
    /// Checks the PKCS#7 message of a signature against the root hash that it should be for.
    pub fn check(pkcs7: &[u8], root_hash: &RootHash, certificates: Option<&Certificates>) -> Self {
        let Some(certificates) = certificates else { return SignatureState::Unchecked };
        let verified =
            DetachedSignature::parse(pkcs7).and_then(|found| certificates.verify(&found, root_hash));
        match verified {
            Ok(verified) => SignatureState::Verified(Box::new(verified)),
            Err(SignatureError::NotTrusted { signer }) => SignatureState::NotTrusted { signer },
            Err(error) => SignatureState::Failed(error),
        }
    }

    /// The same for what a signature partition holds, which says itself what it is for.
    pub(crate) fn of(
        signature: &RootHashSignature,
        root_hash: &RootHash,
        certificates: Option<&Certificates>,
    ) -> Self {
        match signature.root_hash == *root_hash {
            true => Self::check(&signature.pkcs7, root_hash, certificates),
            false => SignatureState::OtherRootHash { found: signature.root_hash },
        }
    }

    /// What was verified, if it was.
    pub fn verified(&self) -> Option<&VerifiedRootHash> {
        match self {
            SignatureState::Verified(verified) => Some(verified),
            _ => None,
        }
    }

    /// Stable name for programs: `unchecked`, `verified`, `not-trusted`, `other-root-hash`, `failed`.
    pub fn name(&self) -> &'static str {
        match self {
            SignatureState::Unchecked => "unchecked",
            SignatureState::Verified(_) => "verified",
            SignatureState::NotTrusted { .. } => "not-trusted",
            SignatureState::OtherRootHash { .. } => "other-root-hash",
            SignatureState::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for SignaturePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignaturePlace::Partition(number) => write!(f, "in partition {number}"),
            SignaturePlace::Sidecar => f.write_str("in a file beside the image"),
        }
    }
}

impl fmt::Display for SignatureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignatureState::Unchecked => f.write_str("present, not checked"),
            SignatureState::Verified(verified) => {
                let certificate = &verified.signer().certificate;
                write!(f, "verified, by {}, certificate {}", certificate.subject(), certificate.fingerprint())
            }
            SignatureState::NotTrusted { signer } => write!(f, "no trusted certificate has {signer}"),
            SignatureState::OtherRootHash { found } => write!(f, "it is for the root hash {found}"),
            SignatureState::Failed(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ddi_signature::Certificate;
    use sha2::Digest;

    use super::*;
    use crate::trust::{Role, TrustedRootHash, Voucher};

    fn golden(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ddi-signature/tests/data");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn trust(names: &[&str]) -> Certificates {
        let mut certificates = Certificates::new();
        for name in names {
            certificates.add(Certificate::parse(&golden(name)).unwrap());
        }
        certificates
    }

    #[test]
    fn each_state_has_its_cause() {
        // what the golden signatures are over
        let signed = RootHash::from_bytes(&sha2::Sha256::digest(b"ddi")).unwrap();
        let other = RootHash::from_bytes(&[7; 32]).unwrap();
        let (rsa, none) = (trust(&["rsa2048.crt"]), trust(&[]));
        let rows: [(&str, RootHash, Option<&Certificates>, &str); 7] = [
            ("rsa2048.p7s", signed, None, "unchecked"),
            ("rsa2048.p7s", signed, Some(&rsa), "verified"),
            ("rsa2048-attributes.p7s", signed, Some(&rsa), "verified"),
            ("rsa2048.p7s", signed, Some(&none), "not-trusted"),
            ("p256.p7s", signed, Some(&rsa), "not-trusted"),
            ("rsa2048.p7s", other, Some(&rsa), "failed"),
            ("rsa2048.crt", signed, Some(&rsa), "failed"),
        ];
        for (file, root_hash, certificates, expected) in rows {
            let state = SignatureState::check(&golden(file), &root_hash, certificates);
            assert_eq!(state.name(), expected, "{file}: {state}");
            let trusted = state.verified().map(|verified| TrustedRootHash::by_signature(verified, Role::Usr));
            assert_eq!(trusted.is_some(), expected == "verified");
            if let Some(trusted) = trusted {
                assert!(trusted.vouches_for(&signed, Role::Usr) && !trusted.vouches_for(&signed, Role::Root));
                assert_eq!(trusted.voucher(), Voucher::Certificate(rsa.trusted()[0].fingerprint()));
            }
            // a partition that names another root hash is not for this one, whatever its signature is worth
            let pkcs7 = golden(file);
            let partition = RootHashSignature { root_hash: other, certificate_fingerprint: None, pkcs7 };
            let state = SignatureState::of(&partition, &signed, certificates);
            assert_eq!(state, SignatureState::OtherRootHash { found: other });
        }
    }
}
