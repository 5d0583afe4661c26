//! Reading both copies of the table, and keeping what can be shown of them.

use alloc::vec::Vec;

use crate::copy::{Disk, Truncated};
use crate::oddity::{Oddity, find_oddities};
use crate::source::Source;
use crate::{BlockSize, Error, Header, Lba, LbaRange, ProtectiveMbr, Side, TableCopy};

/// Read at once from the start of the disk: the protective MBR, the header and the usual array, for blocks of 4096 bytes.
const HEAD: u64 = 2 * 4096 + 16384;
/// Read at once from the end of the disk: the usual array and the header.
const TAIL: u64 = 16384 + 4096;

/// Reads what there is of a table and judges it.
///
/// `read(offset, buf)` must fill `buf` with the bytes of the disk at `offset`; it is never asked for bytes past `disk_size`, nor
/// twice for the same ones. Two calls do for the usual table.
///
/// `block_size` forces the size of a block, for block devices, which know it. With `None` it is found as systemd does: the one of
/// 512, 1024, 2048 and 4096 at which there is a header. If there is none, a good backup header in the last block decides, and
/// failing that anything with the signature.
///
/// What the image holds is never an error here: see [`Examination`].
///
/// # Errors
/// Only those of `read`, which end the examination.
pub fn examine<E>(
    disk_size: u64,
    block_size: Option<BlockSize>,
    read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Examination, E> {
    let mut source = Source::new(disk_size, read);
    let bounded = |size: u64| usize::try_from(size.min(disk_size)).unwrap_or_default();
    source.fetch(0, bounded(HEAD))?;
    source.fetch(disk_size.saturating_sub(TAIL), bounded(TAIL))?;

    let boot_sector = source.known(0, 512).and_then(|bytes| <[u8; 512]>::try_from(bytes).ok());
    let protective_mbr =
        boot_sector.as_ref().ok_or(Error::DiskTooSmall { size: disk_size }).and_then(ProtectiveMbr::parse);
    let found = match block_size {
        Some(forced) => Ok(Some(forced)),
        None => find_block_size(&source, disk_size),
    };
    let mut examination = Examination {
        disk_size,
        block_size: found.clone(),
        boot_sector,
        protective_mbr,
        primary: TableCopy::absent(Side::Primary, Lba(1), &found),
        backup: TableCopy::absent(Side::Backup, Lba(0), &found),
        oddities: Vec::new(),
    };
    if let Ok(Some(block_size)) = found {
        let disk = Disk { size: disk_size, block_size };
        examination.primary = TableCopy::load(&mut source, &disk, Side::Primary, Lba(1))?;
        examination.backup = load_backup(&mut source, &disk, &examination.primary)?;
        for copy in [&mut examination.primary, &mut examination.backup] {
            copy.load_array(&mut source, &disk)?;
            copy.outcome = copy.judge(&disk, Truncated::Refuse, drop);
        }
        if !examination.is_gpt() {
            examination.block_size = Ok(None);
        }
    }
    examination.oddities = find_oddities(&examination);
    Ok(examination)
}

/// What there is of a table on a disk, good or broken: for showing. [`Examination::gpt`] turns it into a checked
/// [`Gpt`](crate::Gpt), if it is one.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The size of the disk in bytes.
    pub disk_size: u64,
    /// The block size, forced or found; `None` if no header was found at either end.
    ///
    /// [`Error::AmbiguousBlockSize`] if there are headers for two. Then neither copy has been read; force one size after the
    /// other to see them.
    pub block_size: Result<Option<BlockSize>, Error>,
    /// The first 512 bytes of the disk, if it has as many.
    pub boot_sector: Option<[u8; 512]>,
    /// The protective MBR. A disk without one is no GPT disk to other software, whatever headers it has.
    pub protective_mbr: Result<ProtectiveMbr, Error>,
    /// The copy at the start of the disk.
    pub primary: TableCopy,
    /// The copy at the end of the disk: in the last block, or where the primary header says if there is no good one.
    pub backup: TableCopy,
    pub(crate) oddities: Vec<Oddity>,
}

impl Examination {
    /// True if there is a header in at least one place.
    ///
    /// Look at [`Examination::protective_mbr`] too: headers that an earlier use of the disk left behind make no GPT disk.
    pub fn is_gpt(&self) -> bool {
        self.block_size.is_err() || self.primary.header.is_some() || self.backup.header.is_some()
    }

    /// What is unusual and breaks no rule, or none that matters.
    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    /// One of the two copies.
    pub fn copy(&self, side: Side) -> &TableCopy {
        match side {
            Side::Primary => &self.primary,
            Side::Backup => &self.backup,
        }
    }

    /// The disk, if the block size is known.
    pub(crate) fn disk(&self) -> Result<Disk, Error> {
        let block_size = self.block_size.clone()?.ok_or(Error::NoTable)?;
        Ok(Disk { size: self.disk_size, block_size })
    }
}

/// The backup copy: in the last block, as libblkid has it. If that is not a good one, where the primary header says, as on a
/// disk that has grown since.
fn load_backup<E, F>(source: &mut Source<F>, disk: &Disk, primary: &TableCopy) -> Result<TableCopy, E>
where
    F: FnMut(u64, &mut [u8]) -> Result<(), E>,
{
    let last = disk.last_lba();
    let at_end = if last.0 > 1 {
        TableCopy::load(source, disk, Side::Backup, last)?
    } else {
        TableCopy::absent(Side::Backup, last, &Ok(None))
    };
    let hint = primary.header.map(|header| header.alternate_lba()).filter(|lba| lba.0 > 1 && *lba < last);
    let Some(hint) = hint.filter(|_| at_end.outcome.is_err()) else { return Ok(at_end) };
    let elsewhere = TableCopy::load(source, disk, Side::Backup, hint)?;
    let better = elsewhere.outcome.is_ok() || (elsewhere.header.is_some() && at_end.header.is_none());
    Ok(if better { elsewhere } else { at_end })
}

/// The block size for which there is a header. systemd's test comes first, so that both find the same where both find one.
fn find_block_size<F, E>(source: &Source<F>, disk_size: u64) -> Result<Option<BlockSize>, Error>
where
    F: FnMut(u64, &mut [u8]) -> Result<(), E>,
{
    let block_at = |size: BlockSize, lba: Lba| {
        let disk = Disk { size: disk_size, block_size: size };
        let range = disk.bytes_of(LbaRange::one(lba))?;
        source.known(range.offset, disk.block_len())
    };
    let primary = |size: BlockSize| block_at(size, Lba(1)).and_then(Header::find);
    // systemd, gpt.c, gpt_header_has_signature()
    let as_systemd = |header: &Header| {
        header.revision.get() == Header::REVISION
            && (Header::SIZE..=4096).contains(&header.header_size.get())
            && header.my_lba() == Lba(1)
    };
    if let Some(found) = only(|size| primary(size).is_some_and(as_systemd))? {
        return Ok(Some(found));
    }
    let backup = |size: BlockSize| {
        let disk = Disk { size: disk_size, block_size: size };
        let mut copy = TableCopy::absent(Side::Backup, disk.last_lba(), &Ok(None));
        copy.block = block_at(size, copy.lba).filter(|_| copy.lba.0 > 1)?.to_vec();
        copy.header = Some(*Header::find(&copy.block)?);
        Some(copy.check_header(&disk, Truncated::Refuse).is_ok())
    };
    if let Some(found) = only(|size| backup(size) == Some(true))? {
        return Ok(Some(found));
    }
    only(|size| primary(size).is_some() || backup(size).is_some())
}

/// The one block size that passes the test.
fn only(test: impl Fn(BlockSize) -> bool) -> Result<Option<BlockSize>, Error> {
    let mut hits = BlockSize::ALL.into_iter().filter(|size| test(*size));
    match (hits.next(), hits.next()) {
        (Some(first), Some(second)) => Err(Error::AmbiguousBlockSize { first, second }),
        (found, _) => Ok(found),
    }
}
