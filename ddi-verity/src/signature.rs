//! Root-hash signatures: the verity signature partition and the check of what is in it.
//!
//! Two things that are easily taken for one another have different types here: [`RootHashSignature`] says that
//! a signature *is present*.

mod error;
mod partition;

use std::fmt;

pub use error::SignatureError;
pub use partition::{MAX_SIGNATURE_SIZE, RootHashSignature};

/// SHA-256 of a certificate as DER. Displayed as lower-case hex, as `openssl x509 -fingerprint -sha256` without
/// its colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// From 64 lower-case hex digits.
    fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => byte.checked_sub(b'0'),
            b'a'..=b'f' => byte.checked_sub(b'a' - 10),
            _ => None,
        };
        let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
            [high, low] => Some((digit(high)? << 4) | digit(low)?),
            _ => None,
        });
        let bytes: Vec<u8> = pairs.take(33).collect::<Option<_>>()?;
        bytes.try_into().ok().map(Fingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
