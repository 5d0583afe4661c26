//! Compressed images: what they begin with, and their bytes, in one forward pass.
//!
//! The decoders are crates that the readers of `ddi-fs` use too, in pure Rust: `lzma-rust2`, `ruzstd`, and
//! `miniz_oxide`, which knows deflate and not gzip, so the gzip frame is read here. Whoever asks for it (feature `libzstd`) has
//! Zstandard decoded by libzstd instead, which is C. Every checksum that a format has is
//! checked. What comes out goes to a function that may refuse more of it, so nothing depends on the sizes that an image
//! claims, nor on how well it is compressed.

#[cfg(feature = "gzip")]
mod gzip;
mod input;
#[cfg(feature = "xz")]
mod xz;
#[cfg(any(feature = "libzstd", feature = "zstd"))]
mod zstd;

use core::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub(crate) use input::Input;

/// Largest dictionary of xz and largest window of Zstandard, in bytes: what `xz -9` (64 MiB) and `zstd --ultra -22` or
/// `--long=27` (128 MiB) need. A file that asks for more is refused before any of it is allocated.
pub const MAX_WINDOW_SIZE: u64 = 128 << 20;

/// How many of its first bytes tell how a file is compressed.
pub const MAGIC_SIZE: usize = 10;

/// How an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// RFC 1952, one member or several.
    Gzip,
    /// The .xz format, one stream or several, with padding.
    Xz,
    /// RFC 8878, any number of frames, skippable ones among them.
    Zstd,
    /// bzip2: recognised, and not supported.
    Bzip2,
    /// LZ4 frames: recognised, and not supported.
    Lz4,
}

impl Compression {
    /// By the first bytes of a file; `None` if it is not known to be compressed.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            // deflate is the only method; three flags are reserved
            [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => Some(Compression::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
            // LZ4 has skippable frames too; nobody puts them first
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
                Some(Compression::Bzip2)
            }
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Compression::Lz4),
            _ => None,
        }
    }

    /// The name of the format, as its tool has it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
            Compression::Bzip2 => "bzip2",
            Compression::Lz4 => "lz4",
        }
    }

    /// Returns true if it can be decompressed here. That depends on the features `gzip`, `xz` and `zstd` or `libzstd`.
    pub fn is_supported(self) -> bool {
        match self {
            Compression::Gzip => cfg!(feature = "gzip"),
            Compression::Xz => cfg!(feature = "xz"),
            Compression::Zstd => cfg!(any(feature = "libzstd", feature = "zstd")),
            Compression::Bzip2 | Compression::Lz4 => false,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a stream did not become an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum UnpackError {
    /// There is no decoder for this format.
    Unsupported {
        /// Which.
        compression: Compression,
    },
    /// More comes out than the caller allows, or more goes in.
    TooLarge {
        /// Most bytes that may come out.
        max: u64,
    },
    /// More comes out than the caller allows for a stream of this size.
    RatioTooLarge {
        /// Most bytes that may come out for each one that goes in.
        max: u64,
        /// What that comes to, in bytes.
        size: u64,
    },
    /// What comes out would leave too little of the file system for others.
    NoRoom {
        /// What is free of it, in bytes.
        free: u64,
    },
    /// The decoder would need a window or dictionary of more than [`MAX_WINDOW_SIZE`].
    WindowTooLarge {
        /// The format.
        compression: Compression,
    },
    /// The compressed data ends early.
    Truncated {
        /// The format.
        compression: Compression,
        /// Where it ends, in bytes.
        size: u64,
    },
    /// The compressed data is damaged.
    Corrupt {
        /// The format.
        compression: Compression,
        /// How many bytes had been taken when it was seen.
        offset: u64,
        /// What the decoder said.
        error: Arc<io::Error>,
    },
    /// Something follows that is none of the format.
    Trailing {
        /// The format.
        compression: Compression,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// The stream could not be read.
    Read {
        /// How many bytes had been read.
        offset: u64,
        /// What it said.
        error: Arc<io::Error>,
    },
    /// The temporary file could not be made or written.
    Write {
        /// What it said.
        error: Arc<io::Error>,
    },
}

impl UnpackError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            UnpackError::Unsupported { .. } => "compression-unsupported",
            UnpackError::TooLarge { .. } => "unpacked-too-large",
            UnpackError::RatioTooLarge { .. } => "unpacked-ratio",
            UnpackError::NoRoom { .. } => "unpack-no-room",
            UnpackError::WindowTooLarge { .. } => "compression-window-too-large",
            UnpackError::Truncated { .. } => "compression-truncated",
            UnpackError::Corrupt { .. } => "compression-corrupt",
            UnpackError::Trailing { .. } => "compression-trailing-data",
            UnpackError::Read { .. } => "unpack-read",
            UnpackError::Write { .. } => "unpack-write",
        }
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnpackError::Unsupported { compression } => {
                write!(f, "is compressed with {compression}, which is not supported")
            }
            UnpackError::TooLarge { max } => write!(f, "would have more than {max} bytes unpacked"),
            UnpackError::RatioTooLarge { max, size } => write!(
                f,
                "would have more than {size} bytes unpacked, over {max} times as many as it has packed"
            ),
            UnpackError::NoRoom { free } => write!(
                f,
                "temporary file: stopped while {free} bytes are free, so that 1 GiB or 5 % of the file system is left"
            ),
            UnpackError::WindowTooLarge { compression } => {
                write!(f, "{compression} data asks for a window of more than {} MiB", MAX_WINDOW_SIZE >> 20)
            }
            UnpackError::Truncated { compression, size } => {
                write!(f, "{compression} data ends early, after {size} bytes")
            }
            UnpackError::Corrupt { compression, offset, error } => {
                write!(f, "{compression} data is damaged, at byte {offset} or before: {error}")
            }
            UnpackError::Trailing { compression, offset } => {
                write!(f, "something else follows the {compression} data, at byte {offset}")
            }
            UnpackError::Read { offset, error } => write!(f, "cannot read on at byte {offset}: {error}"),
            UnpackError::Write { error } => write!(f, "temporary file: {error}"),
        }
    }
}

impl core::error::Error for UnpackError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            UnpackError::Corrupt { error, .. }
            | UnpackError::Read { error, .. }
            | UnpackError::Write { error } => Some(&**error),
            _ => None,
        }
    }
}

/// Takes what was decompressed, in order.
pub(crate) type Output<'a> = dyn FnMut(&[u8]) -> Result<(), UnpackError> + 'a;

/// Why a decoder stopped.
enum Stop {
    /// The data makes no sense to it, or it could not be read: [`Input::judge`] knows.
    Decoder(io::Error),
    /// Somebody knows better.
    Known(UnpackError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Decoder(error)
    }
}

impl From<UnpackError> for Stop {
    fn from(error: UnpackError) -> Self {
        Stop::Known(error)
    }
}

/// Damage that is found here rather than by a decoder.
#[cfg(any(feature = "gzip", feature = "libzstd", feature = "zstd"))]
fn damage(what: &'static str) -> Stop {
    Stop::Decoder(io::Error::new(io::ErrorKind::InvalidData, what))
}

fn unsupported(compression: Compression, _: &mut Output<'_>) -> Stop {
    UnpackError::Unsupported { compression }.into()
}

/// Decompresses all that is left of `input`; `pure` keeps to decoders in Rust where there are others.
pub(crate) fn decompress(
    compression: Compression,
    pure: bool,
    input: &mut Input<'_>,
    output: &mut Output<'_>,
) -> Result<(), UnpackError> {
    // a panic of a decoder is an answer like any other, and all that it made is thrown away
    let outcome = catch_unwind(AssertUnwindSafe(|| match compression {
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::decompress(input, output),
        #[cfg(feature = "xz")]
        Compression::Xz => xz::decompress(input, output),
        #[cfg(any(feature = "libzstd", feature = "zstd"))]
        Compression::Zstd => zstd::decompress(pure, input, output),
        _ => Err(unsupported(compression, output)),
    }));
    let _ = pure;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Stop::Known(error))) => Err(error),
        Ok(Err(Stop::Decoder(error))) => Err(input.judge(compression, error)),
        Err(_panic) => {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the decoder gave up");
            Err(input.judge(compression, error))
        }
    }
}
