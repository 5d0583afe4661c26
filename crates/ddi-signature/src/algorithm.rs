//! The kinds of signature that are understood.

#[cfg(feature = "pkcs7")]
use super::oid::{self, Oid};

/// What the signed text is hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all")]
pub enum SignatureDigest {
    Sha256,
    Sha384,
    Sha512,
}

impl SignatureDigest {
    #[cfg(feature = "pkcs7")]
    pub(super) fn from_oid(oid: Oid) -> Option<Self> {
        match oid {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Lower-case name, as in a superblock.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Hashes `data`.
    #[cfg(feature = "pkcs7")]
    pub(super) fn digest(self, data: &[u8]) -> ring::digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &ring::digest::SHA256,
            Self::Sha384 => &ring::digest::SHA384,
            Self::Sha512 => &ring::digest::SHA512,
        };
        ring::digest::digest(algorithm, data)
    }
}

/// The kinds of signature that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1,
    /// ECDSA.
    Ecdsa,
}

impl SignatureScheme {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1 => "rsa-pkcs1",
            Self::Ecdsa => "ecdsa",
        }
    }

    /// The scheme, and the digest if the identifier names that too.
    #[cfg(feature = "pkcs7")]
    pub(super) fn from_oid(oid: Oid) -> Option<(Self, Option<SignatureDigest>)> {
        use SignatureDigest::*;
        match oid {
            oid::RSA => Some((Self::RsaPkcs1, None)),
            oid::RSA_SHA256 => Some((Self::RsaPkcs1, Some(Sha256))),
            oid::RSA_SHA384 => Some((Self::RsaPkcs1, Some(Sha384))),
            oid::RSA_SHA512 => Some((Self::RsaPkcs1, Some(Sha512))),
            oid::ECDSA_SHA256 => Some((Self::Ecdsa, Some(Sha256))),
            oid::ECDSA_SHA384 => Some((Self::Ecdsa, Some(Sha384))),
            oid::ECDSA_SHA512 => Some((Self::Ecdsa, Some(Sha512))),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "pkcs7"))]
mod tests {
    use super::super::oid::*;
    use super::*;

    #[test]
    fn names_and_schemes() {
        use SignatureDigest::{Sha256, Sha384, Sha512};
        use SignatureScheme::{Ecdsa, RsaPkcs1};
        assert_eq!([Sha256, Sha384, Sha512].map(SignatureDigest::name), ["sha256", "sha384", "sha512"]);
        assert_eq!([RsaPkcs1, Ecdsa].map(SignatureScheme::name), ["rsa-pkcs1", "ecdsa"]);
        for (oid, expected) in [
            (RSA, Some((RsaPkcs1, None))),
            (RSA_SHA256, Some((RsaPkcs1, Some(Sha256)))),
            (RSA_SHA384, Some((RsaPkcs1, Some(Sha384)))),
            (RSA_SHA512, Some((RsaPkcs1, Some(Sha512)))),
            (ECDSA_SHA256, Some((Ecdsa, Some(Sha256)))),
            (ECDSA_SHA384, Some((Ecdsa, Some(Sha384)))),
            (ECDSA_SHA512, Some((Ecdsa, Some(Sha512)))),
            (RSA_SHA1, None),
            (RSA_PSS, None),
        ] {
            assert_eq!(SignatureScheme::from_oid(oid), expected, "{oid}");
        }
        assert_eq!(format!("{RSA:?}"), "Oid(rsaEncryption (1.2.840.113549.1.1.1))");
    }
}
