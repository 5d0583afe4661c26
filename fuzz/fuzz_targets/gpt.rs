//! Asserts: any disk is examined without a panic, within the bounds on what is read; a table that is accepted has
//! partitions that lie on the disk, in the usable range, and apart; it can be written and read again as the same.
//! Checksums are repaired for half of the inputs, or nothing would get past them.
#![no_main]

use ddi_gpt::{Mode, examine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, grow], bytes)) = input.split_first_chunk() else { return };
    let mut disk = bytes.to_vec();
    disk.resize(disk.len() + usize::from(grow) * 512, 0);
    if flags & 1 == 1 {
        let block = 512_usize << (flags >> 1 & 3);
        let last = (disk.len() / block).saturating_sub(1) * block;
        for header in [block, last] {
            repair(&mut disk, header, block);
        }
        if let Some(end) = disk.get_mut(510..512) {
            end.copy_from_slice(&[0x55, 0xaa]);
        }
    }

    let mut read = 0;
    let examination = examine(disk.len() as u64, None, |offset, buf| {
        read += buf.len();
        let start = usize::try_from(offset).map_err(drop)?;
        buf.copy_from_slice(disk.get(start..start + buf.len()).ok_or(())?);
        Ok::<_, ()>(())
    })
    .expect("reads stay on the disk");
    assert!(read <= (2 << 20) + (128 << 10), "{read} bytes read");

    for mode in [Mode::Tolerant, Mode::Strict] {
        let Ok(gpt) = examination.gpt(mode) else { continue };
        let mut ranges: Vec<_> = gpt.partitions().iter().map(|p| (p.range.offset, p.range.end())).collect();
        ranges.sort_unstable();
        assert!(ranges.iter().all(|(start, end)| start < end && *end <= disk.len() as u64));
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        for p in gpt.partitions() {
            assert!(gpt.usable().contains(p.lbas.first) && gpt.usable().contains(p.lbas.last));
            let _ = (p.name.to_string(), p.partition_type(), p.effect());
        }
    }
    let _ = examination.oddities().iter().map(ToString::to_string).count();
    for copy in [&examination.primary, &examination.backup] {
        let _ = (copy.entries().count(), copy.outcome.as_ref().map_err(ToString::to_string));
    }
});

/// Makes both checksums of a header right, if it names an array on the disk.
fn repair(disk: &mut [u8], header: usize, block: usize) {
    let Some(fields) = disk.get(header..header + 92) else { return };
    let number = |at: usize| u32::from_le_bytes(fields[at..at + 4].try_into().unwrap_or_default());
    let size = u64::from(number(80)) * u64::from(number(84));
    let array = u64::from_le_bytes(fields[72..80].try_into().unwrap_or_default());
    let header_size = number(12) as usize;
    if let Some(start) = array.checked_mul(block as u64).filter(|_| size <= 1 << 20)
        && let Ok(start) = usize::try_from(start)
        && let Some(bytes) = start.checked_add(size as usize).and_then(|end| disk.get(start..end))
    {
        let crc = crc32(bytes);
        disk[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
    }
    disk[header + 16..header + 20].fill(0);
    if let Some(bytes) = header.checked_add(header_size.min(block)).and_then(|end| disk.get(header..end)) {
        let crc = crc32(bytes);
        disk[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
