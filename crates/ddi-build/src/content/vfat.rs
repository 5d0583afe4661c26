//! The one time in a new vfat file system that older versions of mkfs.vfat take from the clock: that of its label.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Sets the times of the label, the first entry of the root directory. What does not look like FAT32 is left alone.
pub(super) fn set_label_time(file: &File, epoch: u64) -> io::Result<()> {
    let mut boot = [0; 512];
    file.read_exact_at(&mut boot, 0)?;
    let number = |offset: usize, size: usize| {
        let bytes = boot.get(offset..offset.saturating_add(size)).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0_u64, |number, byte| number.saturating_mul(256).saturating_add((*byte).into()))
    };
    let (sector, reserved, copies) = (number(11, 2), number(14, 2), number(16, 1));
    let (table, root) = (number(36, 4), number(44, 4));
    // the root directory is in the first cluster
    if root != 2 || number(22, 2) != 0 {
        return Ok(());
    }
    let offset = copies.saturating_mul(table).saturating_add(reserved).saturating_mul(sector);
    let mut entry = [0; 32];
    file.read_exact_at(&mut entry, offset)?;
    const LABEL: u8 = 8;
    if entry.get(11) != Some(&LABEL) {
        return Ok(());
    }
    let (time, date) = (time(epoch).to_le_bytes(), date(epoch).to_le_bytes());
    for (at, bytes) in [(14_usize, time), (16, date), (18, date), (22, time), (24, date)] {
        if let Some(field) = entry.get_mut(at..at.saturating_add(2)) {
            field.copy_from_slice(&bytes);
        }
    }
    file.write_all_at(&entry, offset)
}

/// Hours, minutes, and seconds by two, in UTC.
fn time(epoch: u64) -> u16 {
    let seconds = epoch % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60 / 2);
    u16::try_from(hour << 11 | minute << 5 | second).unwrap_or_default()
}

/// Years since 1980, months and days; what cannot be told is the nearest that can.
fn date(epoch: u64) -> u16 {
    // 1980-01-01 to 2107-12-31
    let days = (epoch / 86_400).clamp(3652, 50_402);
    let (mut year, mut left) = (1980_u64, days.saturating_sub(3652));
    let is_leap = |year: u64| year.is_multiple_of(4) && year != 2100;
    while left >= if is_leap(year) { 366 } else { 365 } {
        left = left.saturating_sub(if is_leap(year) { 366 } else { 365 });
        year = year.saturating_add(1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1_u64;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left = left.saturating_sub(days);
        month = month.saturating_add(1);
    }
    let year = year.saturating_sub(1980);
    u16::try_from(year << 9 | month << 5 | left.saturating_add(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        let parts = |epoch| {
            let (date, time) = (date(epoch), time(epoch));
            (1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2)
        };
        assert_eq!(parts(1_700_000_000), (2023, 11, 14, 22, 13, 20));
        assert_eq!(parts(951_782_399), (2000, 2, 28, 23, 59, 58));
        assert_eq!(parts(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(parts(4_107_542_400), (2100, 3, 1, 0, 0, 0));
        assert_eq!(parts(0).0, 1980);
        assert_eq!(parts(u64::MAX).0, 2107);
    }
}
