//! Whose key made a signature, by name.

use std::fmt;

use der::Decode;
use x509_cert::name::Name;

/// Who signed: a certificate's issuer and its serial number, byte for byte.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SignerId {
    /// DER of the name.
    pub(super) issuer: Vec<u8>,
    /// Content of the INTEGER.
    pub(super) serial: Vec<u8>,
}

impl SignerId {
    /// Name of the certificate's issuer, in the form of RFC 4514; what is not printable is escaped.
    pub fn issuer(&self) -> String {
        name_text(&self.issuer)
    }

    /// The certificate's serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "issuer {}, serial ", self.issuer())?;
        self.serial.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerId({self})")
    }
}

/// A name as text, on one line whatever is in it.
pub(super) fn name_text(der: &[u8]) -> String {
    let Ok(name) = Name::from_der(der) else { return "(malformed name)".to_owned() };
    let mut text = String::new();
    for c in name.to_string().chars() {
        match c {
            ' '..='~' => text.push(c),
            _ => text.extend(c.escape_debug()),
        }
    }
    text
}
