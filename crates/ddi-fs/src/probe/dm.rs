//! Superblocks of device-mapper targets other than LUKS: verity, integrity, snapshot.
//!
//! Only recognised here; `ddi_verity::Superblock` is the reader of verity superblocks.

use super::disk::Disk;
use super::{Error, FsKind, FsUuid, Probe};

/// cryptsetup, `verity.c`: version 1 is the only one.
pub(super) fn probe_verity(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(0, 512)? else { return Ok(None) };
    if sb.slice(0, 8) != Some(b"verity\0\0") || sb.le32(8) != Some(1) {
        return Ok(None);
    }
    let mut probe = Probe::new(FsKind::DmVerityHash, 0);
    probe.uuid = sb.array(16).and_then(FsUuid::new);
    probe.version = Some("1".into());
    Ok(Some(probe))
}

/// Linux, `drivers/md/dm-integrity.c`: `struct superblock`.
pub(super) fn probe_integrity(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(sb) = disk.bytes(0, 33)? else { return Ok(None) };
    let version = sb.u8(8).filter(|version| *version != 0);
    let (Some(b"integrt\0"), Some(version)) = (sb.slice(0, 8), version) else { return Ok(None) };
    let mut probe = Probe::new(FsKind::DmIntegrity, 0);
    probe.version = Some(version.to_string());
    if let (Some(tag_size), Some(sectors)) = (sb.le16(10), sb.le64(16)) {
        probe.number("integrity_tag_size", tag_size);
        probe.number("provided_data_sectors", sectors);
    }
    Ok(Some(probe))
}

/// Linux, `drivers/md/dm-snap-persistent.c`.
pub(super) fn probe_snapshot(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    Ok(disk.has(0, b"SnAp")?.then(|| Probe::new(FsKind::DmSnapshotCow, 0)))
}
