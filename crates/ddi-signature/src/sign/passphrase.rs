//! Passphrases, wiped when they are dropped.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::KeyError;
use super::key_file::read_secret;

/// Size in bytes above which a file holds no passphrase.
const MAX_PASSPHRASE: usize = 4096;

/// What a private key is encrypted with. It is wiped from memory when it is dropped, and cannot be printed.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The first line of a file, as OpenSSL takes it (`-passin file:`): without its end, LF or CR LF. It may be a FIFO, or
    /// `/dev/fd/3`.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::TooLarge`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let mut text = read_secret(path.as_ref(), MAX_PASSPHRASE)?;
        if let Some(end) = text.iter().position(|&byte| byte == b'\n') {
            text.truncate(end);
        }
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        Ok(Passphrase(text))
    }

    /// For [`SigningKey::parse`](super::SigningKey::parse).
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}
