//! Files and extended attributes beside an image.

use core::fmt;
use std::sync::Arc;

/// Something beside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sidecar {
    /// Extended attribute `user.verity.roothash`.
    RootHashXattr,
    /// Extended attribute `user.verity.usrhash`.
    UsrHashXattr,
    /// `NAME.roothash`.
    RootHash,
    /// `NAME.usrhash`.
    UsrHash,
    /// `NAME.roothash.p7s`.
    RootHashSignature,
    /// `NAME.usrhash.p7s`.
    UsrHashSignature,
    /// `NAME.verity`.
    Verity,
}

impl fmt::Display for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Sidecar::RootHashXattr => "extended attribute user.verity.roothash",
            Sidecar::UsrHashXattr => "extended attribute user.verity.usrhash",
            Sidecar::RootHash => ".roothash file",
            Sidecar::UsrHash => ".usrhash file",
            Sidecar::RootHashSignature => ".roothash.p7s file",
            Sidecar::UsrHashSignature => ".usrhash.p7s file",
            Sidecar::Verity => ".verity file",
        })
    }
}

/// Why something beside an image is of no use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SidecarError {
    /// A FIFO, a directory, a device, a socket.
    NotRegular,
    /// A symbolic link that leads out of the folder of the image, or nowhere.
    Elsewhere,
    /// No byte in it.
    Empty,
    /// Larger than what is read.
    TooLarge {
        /// The largest size that is read, in bytes.
        max: usize,
    },
    /// The first line is not a root hash.
    Text(ddi_verity::ParseRootHashError),
    /// The first line is not ASCII.
    NotText,
    /// Reading from the storage failed.
    Io(Arc<std::io::Error>),
}

impl SidecarError {
    /// Returns true if systemd would end with an error too: the file is there, and not what it must be.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, SidecarError::Elsewhere | SidecarError::Io(_))
    }
}

impl fmt::Display for SidecarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SidecarError::NotRegular => f.write_str("is not a regular file"),
            SidecarError::Elsewhere => f.write_str("is a link that leads out of the folder of the image"),
            SidecarError::Empty => f.write_str("is empty"),
            SidecarError::TooLarge { max } => write!(f, "is larger than {max} bytes"),
            // not what is there instead: it may be any file
            SidecarError::Text(ddi_verity::ParseRootHashError::Digit { index, .. }) => {
                write!(f, "is not a root hash: something else than a hexadecimal digit at {index}")?;
                match index {
                    64 | 96 | 128 => {
                        f.write_str(", as sha256sum writes it; only the root hash may be in its line")
                    }
                    _ => Ok(()),
                }
            }
            SidecarError::Text(error) => write!(f, "{error}"),
            SidecarError::NotText => f.write_str("is not text"),
            SidecarError::Io(error) => write!(f, "{error}"),
        }
    }
}
