//! Object identifiers.

use std::fmt;

use der::asn1::ObjectIdentifier;

/// An ASN.1 object identifier. Displayed by name, if it has one here, and in dotted form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Oid(Arcs);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Arcs {
    /// No number in it has more than 32 bits.
    Short(ObjectIdentifier),
    /// The one that has: [`BOUND_TREE`].
    BoundTree,
}

/// The attribute that binds the parameters of the hash tree: the UUID f6d1b26f-afe7-4acf-9b53-1df5ea497d84 below 2.25
/// (X.667).
pub(crate) const BOUND_TREE: Oid = Oid(Arcs::BoundTree);
const BOUND_TREE_TEXT: &str = "2.25.328078896124198064657230790474676665732";
const BOUND_TREE_CONTENT: &[u8] = &[
    0x69, 0x83, 0xed, 0xd1, 0xd9, 0x9b, 0xf5, 0xfe, 0xba, 0xab, 0x9f, 0x9b, 0xa9, 0xc7, 0xbe, 0xde, 0xd2,
    0xa5, 0xfb, 0x04,
];

macro_rules! names {
    ($($constant:ident = $oid:literal, $name:literal;)*) => {
        $(pub(crate) const $constant: Oid = Oid(Arcs::Short(ObjectIdentifier::new_unwrap($oid)));)*

        impl Oid {
            /// What it is called, if it may turn up in a root-hash signature.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $($constant => Some($name),)*
                    BOUND_TREE => Some("boundTree"),
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
        if content == BOUND_TREE_CONTENT {
            return Some(BOUND_TREE);
        }
        ObjectIdentifier::from_bytes(content).ok().map(|oid| Oid(Arcs::Short(oid)))
    }

    /// The content of an OBJECT IDENTIFIER.
    #[cfg(feature = "sign")]
    pub(crate) fn content(&self) -> &[u8] {
        match &self.0 {
            Arcs::Short(oid) => oid.as_bytes(),
            Arcs::BoundTree => BOUND_TREE_CONTENT,
        }
    }
}

impl fmt::Display for Arcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arcs::Short(oid) => oid.fmt(f),
            Arcs::BoundTree => f.write_str(BOUND_TREE_TEXT),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The three forms of the one identifier that is ours: UUID, number, DER.
    #[test]
    fn the_identifier_of_bound_trees_is_its_uuid() {
        const UUID: u128 = 0xf6d1b26f_afe7_4acf_9b53_1df5ea497d84;
        assert_eq!(BOUND_TREE_TEXT, format!("2.25.{UUID}"));
        let [first, rest @ ..] = BOUND_TREE_CONTENT else { panic!() };
        assert_eq!(*first, 2 * 40 + 25);
        let number = rest.iter().fold(0, |number: u128, byte| number << 7 | u128::from(byte & 0x7f));
        assert_eq!(number, UUID);
        assert!(rest.iter().rev().skip(1).all(|byte| byte & 0x80 != 0) && rest.last().unwrap() & 0x80 == 0);
        assert_eq!(Oid::from_content(BOUND_TREE_CONTENT), Some(BOUND_TREE));
        assert_eq!(BOUND_TREE.to_string(), format!("boundTree ({BOUND_TREE_TEXT})"));
        // another one below 2.25 has more bits than are understood
        let mut other = BOUND_TREE_CONTENT.to_vec();
        other[19] ^= 1;
        assert_eq!(Oid::from_content(&other), None);
    }
}
