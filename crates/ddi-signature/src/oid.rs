//! Object identifiers.

use std::fmt;

use der::asn1::ObjectIdentifier;

/// An ASN.1 object identifier. Displayed by name, if it has one here, and in dotted form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Oid(pub(crate) ObjectIdentifier);

macro_rules! names {
    ($($constant:ident = $oid:literal, $name:literal;)*) => {
        $(pub(crate) const $constant: Oid = Oid(ObjectIdentifier::new_unwrap($oid));)*

        impl Oid {
            /// What it is called, if it may turn up in a root-hash signature.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $($constant => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    DATA = "1.2.840.113549.1.7.1", "data";
    SIGNED_DATA = "1.2.840.113549.1.7.2", "signedData";
    CONTENT_TYPE = "1.2.840.113549.1.9.3", "contentType";
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4", "messageDigest";
    SIGNING_TIME = "1.2.840.113549.1.9.5", "signingTime";
    SMIME_CAPABILITIES = "1.2.840.113549.1.9.15", "smimeCapabilities";

    MD2 = "1.2.840.113549.2.2", "md2";
    MD4 = "1.2.840.113549.2.4", "md4";
    MD5 = "1.2.840.113549.2.5", "md5";
    SHA1 = "1.3.14.3.2.26", "sha1";
    RIPEMD160 = "1.3.36.3.2.1", "ripemd160";
    SHA224 = "2.16.840.1.101.3.4.2.4", "sha224";
    SHA256 = "2.16.840.1.101.3.4.2.1", "sha256";
    SHA384 = "2.16.840.1.101.3.4.2.2", "sha384";
    SHA512 = "2.16.840.1.101.3.4.2.3", "sha512";
    SHA512_224 = "2.16.840.1.101.3.4.2.5", "sha512-224";
    SHA512_256 = "2.16.840.1.101.3.4.2.6", "sha512-256";
    SHA3_256 = "2.16.840.1.101.3.4.2.8", "sha3-256";
    SHA3_384 = "2.16.840.1.101.3.4.2.9", "sha3-384";
    SHA3_512 = "2.16.840.1.101.3.4.2.10", "sha3-512";

    RSA = "1.2.840.113549.1.1.1", "rsaEncryption";
    RSA_PSS = "1.2.840.113549.1.1.10", "rsassaPss";
    RSA_MD5 = "1.2.840.113549.1.1.4", "md5WithRSAEncryption";
    RSA_SHA1 = "1.2.840.113549.1.1.5", "sha1WithRSAEncryption";
    RSA_SHA256 = "1.2.840.113549.1.1.11", "sha256WithRSAEncryption";
    RSA_SHA384 = "1.2.840.113549.1.1.12", "sha384WithRSAEncryption";
    RSA_SHA512 = "1.2.840.113549.1.1.13", "sha512WithRSAEncryption";
    DSA = "1.2.840.10040.4.1", "dsa";
    DSA_SHA256 = "2.16.840.1.101.3.4.3.2", "dsa-with-sha256";
    EC = "1.2.840.10045.2.1", "ecPublicKey";
    ECDSA_SHA1 = "1.2.840.10045.4.1", "ecdsa-with-SHA1";
    ECDSA_SHA256 = "1.2.840.10045.4.3.2", "ecdsa-with-SHA256";
    ECDSA_SHA384 = "1.2.840.10045.4.3.3", "ecdsa-with-SHA384";
    ECDSA_SHA512 = "1.2.840.10045.4.3.4", "ecdsa-with-SHA512";
    ED25519 = "1.3.101.112", "ed25519";
    ED448 = "1.3.101.113", "ed448";

    P256 = "1.2.840.10045.3.1.7", "P-256";
    P384 = "1.3.132.0.34", "P-384";
    P521 = "1.3.132.0.35", "P-521";
    SECP256K1 = "1.3.132.0.10", "secp256k1";
}

impl Oid {
    /// From the content of an OBJECT IDENTIFIER; `None` if that is malformed or longer than any in use.
    pub(crate) fn from_content(content: &[u8]) -> Option<Self> {
        ObjectIdentifier::from_bytes(content).ok().map(Oid)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}
