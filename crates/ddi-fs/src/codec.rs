//! Decompression of one block into a buffer of known size.
//!
//! LZ4 and LZO are written here: both are a page of code, and erofs needs an LZ4 decoder that stops where it is told
//! to. The others are pure-Rust crates, called so that a panic of theirs is an answer like any other.

#[cfg(any(feature = "fs-erofs", feature = "fs-squashfs"))]
mod lz4;
#[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
mod lzo;
mod window;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disk::Disk;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate, inflate_flags};

/// How a block is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// LZ4 block format.
    #[cfg(any(feature = "fs-erofs", feature = "fs-squashfs"))]
    Lz4,
    /// Raw deflate.
    #[cfg(feature = "fs-erofs")]
    Deflate,
    /// Deflate in a zlib wrapper.
    #[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
    Zlib,
    /// One Zstandard frame.
    Zstd,
    /// xz.
    #[cfg(feature = "fs-squashfs")]
    Xz,
    /// The old `.lzma` format, 13-byte header and all.
    #[cfg(feature = "fs-squashfs")]
    LzmaAlone,
    /// LZMA without any header, the properties in the place of its first byte, which is always zero.
    #[cfg(feature = "fs-erofs")]
    MicroLzma,
    /// LZO1X.
    #[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
    Lzo,
}

/// Most memory that the LZMA decoders may take, in KiB: a dictionary of 32 MiB and what goes with it.
#[cfg(feature = "fs-squashfs")]
const LZMA_MEMORY: u32 = 40 << 10;
/// Largest window of a Zstandard frame. No block that is compressed as a whole has use for more.
const ZSTD_WINDOW: u64 = 32 << 20;

impl Codec {
    /// Nanoseconds that a byte of it takes, about.
    fn cost(self) -> u64 {
        match self {
            #[cfg(any(feature = "fs-erofs", feature = "fs-squashfs"))]
            Codec::Lz4 => 2,
            #[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
            Codec::Lzo => 2,
            #[cfg(feature = "fs-erofs")]
            Codec::Deflate => 8,
            #[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
            Codec::Zlib => 8,
            Codec::Zstd => 8,
            #[cfg(feature = "fs-squashfs")]
            Codec::Xz | Codec::LzmaAlone => 20,
            #[cfg(feature = "fs-erofs")]
            Codec::MicroLzma => 20,
        }
    }
}

impl Disk {
    /// Decompresses `input`, which is from here, into `output` and says how many bytes came; it stops, content, once `output`
    /// is full. It is charged to the account of the disk.
    ///
    /// `None`: the input makes no sense, or the account is spent.
    pub(super) fn decompress(&self, codec: Codec, input: &[u8], output: &mut [u8]) -> Option<usize> {
        self.meter().check().ok()?;
        let done = decompress(codec, input, output);
        // input that makes no sense may do so at its end
        let most = done.unwrap_or(output.len()).max(input.len());
        self.meter().unpacked(most, codec.cost());
        done
    }
}

/// [`Disk::decompress`], free of charge.
fn decompress(codec: Codec, input: &[u8], output: &mut [u8]) -> Option<usize> {
    match codec {
        #[cfg(any(feature = "fs-erofs", feature = "fs-squashfs"))]
        Codec::Lz4 => lz4::decompress(input, output),
        #[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
        Codec::Lzo => lzo::decompress(input, output),
        // the outcome of an unwound call is thrown away as a whole
        _ => catch_unwind(AssertUnwindSafe(|| decompress_with_crate(codec, input, output))).ok().flatten(),
    }
}

fn decompress_with_crate(codec: Codec, input: &[u8], output: &mut [u8]) -> Option<usize> {
    match codec {
        #[cfg(feature = "fs-erofs")]
        Codec::Deflate => decompress_deflate(input, output, 0),
        #[cfg(any(feature = "fs-squashfs", feature = "fs-btrfs"))]
        Codec::Zlib => {
            // the checksum is left alone: a kernel that mounts the image does the same with a partial block
            let flags =
                inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_IGNORE_ADLER32;
            decompress_deflate(input, output, flags)
        }
        Codec::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(input, ZSTD_WINDOW);
            read_full(&mut decoder.ok()?, output)
        }
        #[cfg(feature = "fs-squashfs")]
        Codec::Xz => read_full(&mut lzma_rust2::XzReader::new_mem_limit(input, false, LZMA_MEMORY), output),
        #[cfg(feature = "fs-squashfs")]
        Codec::LzmaAlone => {
            let reader = lzma_rust2::LzmaReader::new_mem_limit(input, LZMA_MEMORY, None);
            read_full(&mut reader.ok()?, output)
        }
        #[cfg(feature = "fs-erofs")]
        Codec::MicroLzma => {
            let (properties, rest) = input.split_first()?;
            // nothing lies further back than the output is long
            let dictionary = u32::try_from(output.len()).ok()?.max(4096);
            let size = u64::try_from(output.len()).ok()?;
            let input = [0].chain(rest);
            let reader = lzma_rust2::LzmaReader::new_with_props(input, size, !properties, dictionary, None);
            read_full(&mut reader.ok()?, output)
        }
        _ => None,
    }
}

fn decompress_deflate(input: &[u8], output: &mut [u8], flags: u32) -> Option<usize> {
    let flags = flags | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (status, _, written) = inflate(&mut state, input, output, 0, flags);
    let good = match status {
        TINFLStatus::Done => true,
        TINFLStatus::HasMoreOutput => written == output.len(),
        _ => false,
    };
    good.then_some(written)
}

/// As [`Read::read_exact`], but an early end is no error.
fn read_full(reader: &mut dyn Read, output: &mut [u8]) -> Option<usize> {
    let mut done: usize = 0;
    while let Some(rest) = output.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(n) => done = done.checked_add(n)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(done)
}
