//! Decompression of one block into a buffer of known size.
//!
//! LZ4 and LZO are written here: both are a page of code, and erofs needs an LZ4 decoder that stops where it is told
//! to. The others are pure-Rust crates, called so that a panic of theirs is an answer like any other; for Zstandard there is
//! libzstd besides (feature `libzstd`), which is C.

#[cfg(feature = "libzstd")]
mod libzstd;
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
        #[cfg(feature = "libzstd")]
        Codec::Zstd => libzstd::decompress(input, output),
        #[cfg(not(feature = "libzstd"))]
        Codec::Zstd => decompress_zstd(input, output),
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

#[cfg(any(test, not(feature = "libzstd")))]
fn decompress_zstd(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(input, ZSTD_WINDOW);
    read_full(&mut decoder.ok()?, output)
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

#[cfg(all(test, feature = "libzstd"))]
mod tests {
    use super::*;

    /// A frame of libzstd with what is asked for, over text that is like itself here and there.
    fn frame(len: usize, level: i32, window: u32, checksum: bool, sized: bool) -> (Vec<u8>, Vec<u8>) {
        use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};
        let content: Vec<u8> = (0..len).map(|i| ((i * i / 1000) % 251) as u8 ^ (i % 13) as u8).collect();
        let mut packed = vec![0; zstd_safe::compress_bound(len)];
        let mut encoder = CCtx::create();
        encoder.set_parameter(CParameter::CompressionLevel(level)).unwrap();
        encoder.set_parameter(CParameter::WindowLog(window)).unwrap();
        encoder.set_parameter(CParameter::ChecksumFlag(checksum)).unwrap();
        if sized {
            let size = encoder.compress2(&mut packed[..], &content).unwrap();
            packed.truncate(size);
        } else {
            let mut to = OutBuffer::around(&mut packed[..]);
            encoder.compress_stream(&mut to, &mut InBuffer::around(&content)).unwrap();
            assert_eq!(encoder.end_stream(&mut to).unwrap(), 0);
            let size = to.pos();
            packed.truncate(size);
        }
        (content, packed)
    }

    /// Each by libzstd and by the decoder in Rust.
    fn both(input: &[u8], size: usize) -> [Option<Vec<u8>>; 2] {
        [libzstd::decompress, decompress_zstd].map(|decoder| {
            let mut output = vec![0xaa; size];
            let outcome = catch_unwind(AssertUnwindSafe(|| decoder(input, &mut output)));
            let done = outcome.ok().flatten()?;
            output.truncate(done);
            Some(output)
        })
    }

    #[test]
    fn x5_zstd_by_either_decoder() {
        for (len, level, window, checksum, sized) in [
            (0, 3, 10, false, true),
            (100, 3, 10, true, true),
            (4096, 19, 12, false, true),
            (131_072, 15, 17, false, true),
            (300_000, 1, 15, true, false),
            (1 << 20, 3, 20, false, true),
        ] {
            let (content, packed) = frame(len, level, window, checksum, sized);
            for size in [len, len + 1, len.saturating_sub(1), len / 3, 1].into_iter().filter(|size| *size > 0)
            {
                for found in both(&packed, size) {
                    // what follows it is another's
                    assert!(found.as_deref() == Some(&content[..size.min(len)]), "{len} {size}");
                }
                let followed = [&packed[..], b"more"].concat();
                assert!(both(&followed, size).iter().all(Option::is_some));
            }
            for cut in [0, 3, 5, packed.len() / 2, packed.len() - 1] {
                for found in both(&packed[..cut], len + 1) {
                    assert!(found.is_none_or(|found| content.starts_with(&found) && checksum), "{len} {cut}");
                }
            }
        }
    }

    /// Neither decoder takes damage for content that the other one does not see, and neither asks for more than it may.
    #[test]
    fn x5_hostile_zstd_by_either_decoder() {
        let (content, packed) = frame(3000, 19, 12, true, true);
        for bit in 0..8 * packed.len() {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let [c, rust] = both(&flipped, content.len() + 1);
            if let (Some(c), Some(rust)) = (&c, &rust) {
                assert!(c == rust, "bit {bit}");
            }
            // with a checksum, libzstd gives what was packed or nothing
            assert!(c.is_none_or(|c| c == content || bit < 8 * 9), "bit {bit}");
        }
        // windows of 64 MiB and 32 MiB, and an empty last block
        assert_eq!(both(b"\x28\xb5\x2f\xfd\x00\x80\x01\0\0", 10), [None, None]);
        assert_eq!(both(b"\x28\xb5\x2f\xfd\x00\x78\x01\0\0", 10), [Some(vec![]), Some(vec![])]);
        // a gigabyte in one block of one byte, of which only what is wanted comes
        for found in both(b"\x28\xb5\x2f\xfd\x00\x78\x03\0\x10\x07", 10) {
            assert!(found.is_none_or(|found| found == [7; 10]));
        }
    }
}
