//! Swap space and hibernated systems in it. Source: Linux, `include/linux/swap.h`; libblkid, `swap.c`.

use super::disk::Disk;
use super::{Error, FsKind, FsUuid, Probe, Text};

/// Ten pages: nothing smaller is swap space.
pub(super) const MIN_SIZE: u64 = 10 << 12;

/// The magic ends a page, and pages are of 4 to 64 KiB.
const PAGE_SIZES: [u32; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
const MAGIC_LEN: u32 = 10;

/// The header of version 1, behind the space for a boot sector.
const HEADER: u64 = 1024;
const HEADER_SIZE: usize = 516;

/// TuxOnIce writes over the start and keeps the magic at the end of the page.
const TUX_ON_ICE: &[u8] = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c";

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    for page_size in PAGE_SIZES {
        let offset = u64::from(page_size.saturating_sub(MAGIC_LEN));
        let old = disk.has(offset, b"SWAP-SPACE")?;
        if !old && !disk.has(offset, b"SWAPSPACE2")? {
            continue;
        }
        if disk.has(0, TUX_ON_ICE)? {
            return Ok(None);
        }
        let mut probe = Probe::new(FsKind::Swap, offset);
        if old {
            probe.version = Some("0".into());
            return Ok(Some(probe));
        }
        return header(disk, probe, Some(page_size), "1");
    }
    Ok(None)
}

pub(super) fn probe_suspend(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    if disk.has(0, TUX_ON_ICE)? {
        return header(disk, Probe::new(FsKind::Swsuspend, 0), None, "tuxonice");
    }
    let names: [(&[u8], &str); 4] = [
        (b"S1SUSPEND", "s1suspend"),
        (b"S2SUSPEND", "s2suspend"),
        (b"ULSUSPEND", "ulsuspend"),
        (b"LINHIB0001", "linhib0001"),
    ];
    for page_size in PAGE_SIZES {
        let offset = u64::from(page_size.saturating_sub(MAGIC_LEN));
        for (magic, version) in names {
            if disk.has(offset, magic)? {
                return header(disk, Probe::new(FsKind::Swsuspend, offset), None, version);
            }
        }
    }
    Ok(None)
}

/// Fills in what the header says; `page_size` if it is one of version 1.
fn header(
    disk: &Disk<'_>,
    mut probe: Probe,
    page_size: Option<u32>,
    version: &str,
) -> Result<Option<Probe>, Error> {
    let Some(bytes) = disk.bytes(HEADER, HEADER_SIZE)? else { return Ok(None) };
    let fields = || {
        let uuid = bytes.array(12)?;
        let volume = bytes.slice(28, 16)?;
        // two words of the padding: if they are not zero then the rest is not to be trusted either
        let clean = bytes.le64(44 + 32 * 4)? == 0;
        Some((uuid, volume, clean))
    };
    let Some((uuid, volume, clean)) = fields() else { return Ok(None) };
    if let Some(page_size) = page_size {
        let (Some(little), Some(big)) = (bytes.le32(0), bytes.be32(0)) else { return Ok(None) };
        let last_page = match (little, big) {
            (1, _) => bytes.le32(4),
            (_, 1) => bytes.be32(4),
            _ => return Ok(None),
        };
        let Some(last_page) = last_page.filter(|page| *page != 0) else { return Ok(None) };
        probe.text("endianness", if little == 1 { "little" } else { "big" });
        probe.number("page_size", page_size);
        // "last" counts from 0, the header's page included
        let pages = u64::from(last_page).saturating_add(1);
        probe.claimed_size = Some(pages.saturating_mul(page_size.into()));
    }
    if clean {
        probe.label = Text::from_field(volume);
        probe.uuid = FsUuid::new(uuid);
    }
    probe.version = Some(version.into());
    Ok(Some(probe))
}
