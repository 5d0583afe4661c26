//! Compressed images: bombs, halves, things that follow.

use super::{Class, Node, crc32};

/// gzip of `bytes`, stored.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        packed.push(u8::from(blocks.peek().is_none()));
        let len = block.len() as u16;
        packed.extend(len.to_le_bytes());
        packed.extend((!len).to_le_bytes());
        packed.extend(block);
    }
    packed.extend(crc32(bytes).to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

/// A zstd frame of blocks of zeros: 128 KiB in 4 bytes.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    // no content size, no checksum, a window of 1 MiB
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50];
    for left in (0..blocks).rev() {
        let header: u32 = (128 << 10) << 3 | 1 << 1 | u32::from(left == 0);
        packed.extend(&header.to_le_bytes()[..3]);
        packed.push(0);
    }
    packed
}

/// An xz stream header, and a block header that wants a dictionary of 2^(dictionary / 2 + 12) bytes or so.
fn xz(dictionary: u8) -> Vec<u8> {
    let mut packed = b"\xfd7zXZ\0\0\x01".to_vec();
    packed.extend(crc32(&[0, 1]).to_le_bytes());
    // size (in fours, less one), flags, filter LZMA2, one byte of properties, padding
    let block = [2, 0, 0x21, 1, dictionary, 0, 0, 0];
    packed.extend(block);
    packed.extend(crc32(&block).to_le_bytes());
    packed
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(4096, 0x55);
    bytes
}

pub(crate) fn images() -> Class {
    let mut class = Class::new("C10");
    let good = gzip(&vec![1; 1 << 20]);
    let mut add = |what: &str, name: &str, bytes: Vec<u8>, ask: &str, answer| {
        class.add_path(what, name, vec![(name.into(), Node::File(bytes))], ask, 2, answer);
    };
    let (inspect, small) = ("inspect", "inspect --max-size 1000000");
    add("gzip that is larger than was allowed", "image.raw.gz", good.clone(), small, "unpacked-too-large");
    add(
        "gzip that ends in the middle",
        "image.raw.gz",
        good[..good.len() / 2].to_vec(),
        inspect,
        "compression-truncated",
    );
    add(
        "gzip that ends behind its header",
        "image.raw.gz",
        good[..10].to_vec(),
        inspect,
        "compression-truncated",
    );
    let mut wrong = good.clone();
    let at = good.len() - 8;
    wrong[at] ^= 1;
    add("gzip with a wrong CRC", "image.raw.gz", wrong, inspect, "compression-corrupt");
    let mut wrong = good.clone();
    wrong[good.len() - 1] ^= 1;
    add("gzip with a wrong size", "image.raw.gz", wrong, inspect, "compression-corrupt");
    let mut wrong = good.clone();
    wrong[13] ^= 1;
    add(
        "gzip with a block whose length is not what it says",
        "image.raw.gz",
        wrong,
        inspect,
        "compression-corrupt",
    );
    add(
        "gzip with something behind it",
        "image.raw.gz",
        [&good[..], b"more"].concat(),
        inspect,
        "compression-trailing-data",
    );
    add(
        "gzip of nothing",
        "image.raw.gz",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0".to_vec(),
        inspect,
        "empty-image",
    );
    add(
        "gzip in a file named as an image",
        "image.raw",
        good[..100].to_vec(),
        inspect,
        "compression-truncated",
    );
    add(
        "zstd: 512 MiB in 16 KiB, of which 1 MB are allowed",
        "image.raw.zst",
        zstd_bomb(4096),
        small,
        "unpacked-too-large",
    );
    add(
        "zstd with a window of 3.75 TiB",
        "image.raw.zst",
        padded(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0]),
        inspect,
        "compression-window-too-large",
    );
    add(
        "zstd that ends behind its magic",
        "image.raw.zst",
        vec![0x28, 0xb5, 0x2f, 0xfd],
        inspect,
        "compression-truncated",
    );
    add(
        "zstd that says 2^63 bytes and has none",
        "image.raw.zst",
        padded(&[&[0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x50][..], &(1_u64 << 63).to_le_bytes()].concat()),
        inspect,
        "compression-corrupt",
    );
    add(
        "zstd with a reserved block type",
        "image.raw.zst",
        padded(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x50, 7, 0, 0]),
        inspect,
        "compression-corrupt",
    );
    add(
        "xz that wants a dictionary of 4 GiB",
        "image.raw.xz",
        xz(40),
        inspect,
        "compression-window-too-large",
    );
    add(
        "xz that wants a dictionary of no possible size",
        "image.raw.xz",
        xz(41),
        inspect,
        "compression-corrupt",
    );
    add("xz that ends behind its header", "image.raw.xz", xz(20), inspect, "compression-truncated");
    add(
        "xz that ends behind its magic",
        "image.raw.xz",
        b"\xfd7zXZ\0".to_vec(),
        inspect,
        "compression-truncated",
    );
    add("bzip2", "image.raw.bz2", b"BZh91AY&SY".to_vec(), inspect, "compression-unsupported");
    add("lz4", "image.raw.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7".to_vec(), inspect, "compression-unsupported");
    class
}
