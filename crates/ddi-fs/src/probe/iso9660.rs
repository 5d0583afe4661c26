//! ISO 9660 and High Sierra. Only what tells them from others, the volume's name and its date.
//!
//! Source: ECMA-119, 8.4; libblkid, `iso9660.c`. The Joliet name is left out.

use super::disk::Disk;
use super::{Error, FsKind, FsUuid, Probe, Text};

const OFFSET: u64 = 32 << 10;
const DESCRIPTOR_SIZE: u64 = 2048;
const MAX_DESCRIPTORS: u64 = 16;
const PRIMARY: u8 = 1;
const TERMINATOR: u8 = 255;

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    // High Sierra has eight bytes more in front
    let (magic_offset, shift) = if disk.has(OFFSET + 1, b"CD001")? {
        (OFFSET + 1, 0)
    } else if disk.has(OFFSET + 9, b"CDROM")? {
        (OFFSET + 9, 8)
    } else {
        return Ok(None);
    };
    for i in 0..MAX_DESCRIPTORS {
        let offset = OFFSET.saturating_add(shift).saturating_add(i.saturating_mul(DESCRIPTOR_SIZE));
        let Some(descriptor) = disk.bytes(offset, 883)? else { return Ok(None) };
        match descriptor.u8(0) {
            Some(TERMINATOR) => return Ok(None),
            Some(PRIMARY) => {}
            _ => continue,
        }
        let (Some(block_size), Some(blocks)) = (descriptor.le16(128), descriptor.le32(80)) else {
            return Ok(None);
        };
        if block_size == 0 {
            return Ok(None);
        }
        let mut probe = Probe::new(FsKind::Iso9660, magic_offset);
        probe.block_size = Some(block_size.into());
        probe.claimed_size = Some(u64::from(blocks).saturating_mul(block_size.into()));
        probe.label = descriptor.slice(40, 32).and_then(Text::from_field);
        if shift == 0 {
            // modified, else created; sixteen digits and the time zone
            probe.uuid = [830, 813].into_iter().find_map(|at| date(descriptor.slice(at, 17)?));
        } else {
            probe.version = Some("High Sierra".into());
        }
        return Ok(Some(probe));
    }
    Ok(None)
}

/// `YYYY-MM-DD-hh-mm-ss-cc`; `None` if not set.
fn date(field: &[u8]) -> Option<FsUuid> {
    let (zone, digits) = field.split_last()?;
    if (*zone == 0 && digits.iter().all(|digit| *digit == b'0')) || digits.iter().all(|digit| *digit == 0) {
        return None;
    }
    let mut text = Vec::with_capacity(22);
    for (i, digit) in digits.iter().enumerate() {
        if i >= 4 && i % 2 == 0 {
            text.push(b'-');
        }
        text.push(*digit);
    }
    Text::from_field(&text).map(FsUuid::Text)
}
