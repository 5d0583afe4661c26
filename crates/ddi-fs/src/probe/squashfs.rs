//! squashfs. Source: Linux, `fs/squashfs/squashfs_fs.h`; libblkid, `squashfs.c`.

use super::disk::{Bytes, Disk};
use super::{Error, FsKind, Probe};

const SIZE: usize = 96;
const MAGIC: &[u8] = b"hsqs";
/// The other endianness, before version 4.
const MAGIC_BIG_ENDIAN: &[u8] = b"sqsh";

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    Ok(disk.bytes(0, SIZE)?.and_then(|sb| parse(&sb)))
}

fn parse(sb: &Bytes<'_>) -> Option<Probe> {
    let s_magic = sb.slice(0, 4)?;
    let inodes = sb.le32(4)?;
    let mkfs_time = sb.le32(8)?;
    let block_size = sb.le32(12)?;
    let fragments = sb.le32(16)?;
    let compression = sb.le16(20)?;
    let flags = sb.le16(24)?;
    let s_major = sb.le16(28)?;
    let s_minor = sb.le16(30)?;
    let bytes_used = sb.le64(40)?;

    if s_magic != MAGIC || s_major < 4 {
        return None;
    }
    let mut probe = Probe::new(FsKind::Squashfs, 0);
    probe.version = Some(format!("{s_major}.{s_minor}"));
    probe.block_size = Some(block_size);
    probe.claimed_size = Some(bytes_used);
    let name = match compression {
        1 => "gzip",
        2 => "lzma",
        3 => "lzo",
        4 => "xz",
        5 => "lz4",
        6 => "zstd",
        _ => "unknown",
    };
    probe.text("compression", name);
    probe.number("inodes", inodes);
    probe.number("mkfs_time", mkfs_time);
    probe.number("fragments", fragments);
    probe.number("flags", flags);
    Some(probe)
}

pub(super) fn probe_old(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    Ok(disk.bytes(0, SIZE)?.and_then(|sb| parse_old(&sb)))
}

fn parse_old(sb: &Bytes<'_>) -> Option<Probe> {
    let (s_major, s_minor) = match sb.slice(0, 4)? {
        MAGIC_BIG_ENDIAN => (sb.be16(28)?, sb.be16(30)?),
        MAGIC => (sb.le16(28)?, sb.le16(30)?),
        _ => return None,
    };
    if s_major > 3 {
        return None;
    }
    let mut probe = Probe::new(FsKind::Squashfs3, 0);
    probe.version = Some(format!("{s_major}.{s_minor}"));
    probe.block_size = Some(1024);
    Some(probe)
}
