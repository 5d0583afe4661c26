//! What is unusual about a tree: each has to be asked for.

use core::fmt;

/// Something unusual in this image that the caller allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GeometryException {
    /// This many bytes of data lie behind the last protected block.
    UnprotectedTail(u64),
    /// Hash type 0.
    ChromeOs,
    /// SHA-1.
    Sha1,
    /// Blocks of this many bytes.
    LargeBlocks(u32),
}

impl fmt::Display for GeometryException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GeometryException::UnprotectedTail(1) => write!(f, "1 byte of data is not protected"),
            GeometryException::UnprotectedTail(bytes) => write!(f, "{bytes} bytes of data are not protected"),
            GeometryException::ChromeOs => write!(f, "hash type is 0"),
            GeometryException::Sha1 => write!(f, "hash algorithm is sha1"),
            GeometryException::LargeBlocks(size) => write!(f, "block size is {size}"),
        }
    }
}
