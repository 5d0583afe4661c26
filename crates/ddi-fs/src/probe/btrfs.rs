//! btrfs. Source: Linux, `fs/btrfs/fs.h` and `btrfs_tree.h`; libblkid, `btrfs.c`.

use sha2::{Digest, Sha256};

use super::crc::crc32c;
use super::disk::{Bytes, Disk};
use super::xxhash::xxh64;
use super::{Checksum, Error, FsKind, FsUuid, Probe, Text};

const OFFSET: u64 = 64 << 10;
const SIZE: usize = 4096;
const MAGIC: &[u8] = b"_BHRfS_M";
const MAGIC_OFFSET: u64 = OFFSET + 64;
/// The checksum field; everything after it is summed.
const CSUM_SIZE: usize = 32;

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    Ok(disk.bytes(OFFSET, SIZE)?.and_then(|sb| parse(&sb)))
}

fn parse(sb: &Bytes<'_>) -> Option<Probe> {
    let csum = sb.slice(0, CSUM_SIZE)?;
    let fsid = sb.array(32)?;
    let magic = sb.slice(64, 8)?;
    let generation = sb.le64(72)?;
    let total_bytes = sb.le64(112)?;
    let bytes_used = sb.le64(120)?;
    let num_devices = sb.le64(136)?;
    let sectorsize = sb.le32(144)?;
    let nodesize = sb.le32(148)?;
    let compat_ro_flags = sb.le64(180)?;
    let incompat_flags = sb.le64(188)?;
    let csum_type = sb.le16(196)?;
    let dev_item_total_bytes = sb.le64(209)?;
    let label = sb.slice(299, 256)?;

    if magic != MAGIC || sectorsize == 0 {
        return None;
    }
    let summed = sb.all().get(CSUM_SIZE..)?;
    let checksum = match csum_type {
        0 if csum.starts_with(&(!crc32c(!0, summed)).to_le_bytes()) => Checksum::Verified("crc32c"),
        1 if csum.starts_with(&xxh64(summed).to_le_bytes()) => Checksum::Verified("xxhash64"),
        2 if csum == Sha256::digest(summed).as_slice() => Checksum::Verified("sha256"),
        0..=2 => return None,
        // libblkid believes this one as well
        3 => Checksum::NotChecked("blake2b"),
        _ => Checksum::NotChecked("unknown"),
    };

    let mut probe = Probe::new(FsKind::Btrfs, MAGIC_OFFSET);
    probe.label = Text::from_field(label);
    probe.uuid = FsUuid::new(fsid);
    probe.block_size = Some(sectorsize);
    // total_bytes is the sum over all devices, this is our part of it
    probe.claimed_size = Some(dev_item_total_bytes);
    probe.checksum = checksum;
    probe.number("total_bytes", total_bytes);
    probe.number("bytes_used", bytes_used);
    probe.number("num_devices", num_devices);
    probe.number("nodesize", nodesize);
    probe.number("generation", generation);
    probe.number("compat_ro_flags", compat_ro_flags);
    probe.number("incompat_flags", incompat_flags);
    Some(probe)
}
