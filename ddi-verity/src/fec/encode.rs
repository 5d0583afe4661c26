//! Parity from data and tree.
//!
//! The rows of the message lie far apart, and the parity of a codeword needs a byte of each. So the work is cut into stripes: a
//! piece of every row at once, in one buffer, whose parity comes out whole and is written in one go. Stripes do not depend on
//! each other.

use crate::error::{Error, Storage};
use crate::fec::kernel::{COLUMN, Detected, Rows, Tables};
use crate::fec::{FecLayout, MAX_ROOTS};
use crate::options::Options;
use crate::parallel::{self, Control, Halt};
use crate::tree::Handle;
use ddi_io::ReadAt;
use ddi_io::WriteAt;

/// Bytes of stripes in memory, of all threads together, if there are not very many of these.
const BUFFERS: usize = 32 << 20;
/// Least and most bytes of a row in a stripe: reads should not be too short, and the buffer should stay in a cache.
const WIDTHS: core::ops::RangeInclusive<usize> = 4096..=32768;

/// The width of a stripe in bytes: a multiple of [`COLUMN`].
fn width(workers: usize) -> usize {
    let each = BUFFERS / workers.max(1) / 256;
    (each / WIDTHS.start() * WIDTHS.start()).clamp(*WIDTHS.start(), *WIDTHS.end())
}

impl FecLayout {
    /// Computes the parity of `data` and of the hash area in `hash`, and writes it to `parity` at `offset`.
    ///
    /// Each byte of [`parity_size`](Self::parity_size) is written, in no particular order, and nothing else.
    /// [`WriteAt::sync`] is the caller's. The result is the same, byte for byte, for any number of threads.
    ///
    /// # Errors
    /// [`Error::TooShort`] if one of the sources is, [`Error::Io`], [`Error::FecTooLarge`] if the parity would end behind the last
    /// offset that a file can have, [`Error::Cancelled`], [`Error::Worker`].
    pub fn encode(
        &self,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        parity: &dyn WriteAt,
        offset: u64,
        options: &Options<'_>,
    ) -> Result<(), Error> {
        self.check_sources(data, hash)?;
        self.check_end(offset)?;
        let region = self.region();
        let control = Control::new(options, self.message_size());
        let workers = parallel::workers(options, self.message_size());
        let width = width(workers) as u64;
        let parts = usize::try_from(region.div_ceil(width)).map_err(|_| Error::FecTooLarge)?;
        let tables = Tables::new(self.roots());
        let init = || Encoder::new(self, &tables, Handle::new(data, workers), Handle::new(hash, workers));
        parallel::run(&control, workers, parts, init, |encoder, part| {
            let start = part as u64 * width;
            let end = (start + width).min(region);
            for symbol in 0..self.symbols() {
                control.check(part)?;
                encoder.read(symbol, start, (end - start) as usize)?;
            }
            encoder.encode();
            encoder.write(parity, offset, start)?;
            let done = |at: u64| (at as u128 * u128::from(self.message_size()) / u128::from(region)) as u64;
            control.advance(done(end) - done(start));
            Ok::<_, Halt>(())
        })?;
        Ok(())
    }

    /// How well a parity fits: of some codewords from all over it, those that are intact, and all. Codewords whose parity is zeros
    /// say nothing and do not count.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); what cannot be read does not fit.
    pub fn fit(
        &self,
        data: &dyn ReadAt,
        hash: &dyn ReadAt,
        parity: &dyn ReadAt,
        offset: u64,
    ) -> Result<(u64, u64), Error> {
        const PLACES: u64 = 32;
        self.check_sources(data, hash)?;
        self.check_end(offset)?;
        let tables = Tables::new(self.roots());
        let mut encoder = Encoder::new(self, &tables, Handle::Shared(data), Handle::Shared(hash));
        let (columns, roots) = (self.region() / COLUMN as u64, self.roots());
        let mut stored = vec![0; COLUMN * roots];
        let (mut intact, mut all) = (0, 0);
        for place in 0..PLACES.min(columns) {
            let start = (u128::from(place) * u128::from(columns) / u128::from(PLACES.min(columns))) as u64
                * COLUMN as u64;
            let readable = (0..self.symbols()).all(|symbol| encoder.read(symbol, start, COLUMN).is_ok());
            if !readable || parity.read_exact_at(offset + start * roots as u64, &mut stored).is_err() {
                continue;
            }
            encoder.encode();
            for (stored, computed) in stored.chunks_exact(roots).zip(encoder.parity.chunks_exact(roots)) {
                if stored.iter().any(|&byte| byte != 0) {
                    all += 1;
                    intact += u64::from(stored == computed);
                }
            }
        }
        Ok((intact, all))
    }

    pub(crate) fn check_sources(&self, data: &dyn ReadAt, hash: &dyn ReadAt) -> Result<(), Error> {
        let needed =
            if self.hash_blocks == 0 { 0 } else { self.hash_start + self.hash_blocks * self.block_size };
        for (storage, needed, found) in
            [(Storage::Data, self.data_size(), data.size()), (Storage::Hash, needed, hash.size())]
        {
            if found < needed {
                return Err(Error::TooShort { storage, needed, found });
            }
        }
        Ok(())
    }

    /// Checks that the parity ends where a file can.
    pub(crate) fn check_end(&self, offset: u64) -> Result<(), Error> {
        match offset.checked_add(self.parity_size()) {
            Some(end) if end <= crate::params::MAX_OFFSET => Ok(()),
            _ => Err(Error::FecTooLarge),
        }
    }
}

/// What one thread has: a stripe, and its parity.
pub(super) struct Encoder<'a> {
    layout: &'a FecLayout,
    tables: &'a Tables,
    kernel: Detected,
    data: Handle<'a>,
    hash: Handle<'a>,
    /// A row for each symbol, one behind the other.
    rows: Vec<u8>,
    width: usize,
    columns: Vec<[u8; COLUMN]>,
    /// As on disk.
    parity: Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(layout: &'a FecLayout, tables: &'a Tables, data: Handle<'a>, hash: Handle<'a>) -> Self {
        let columns = vec![[0; COLUMN]; layout.roots()];
        let kernel = Detected::best();
        let (rows, parity) = (Vec::new(), Vec::new());
        Encoder { layout, tables, kernel, data, hash, rows, width: 0, columns, parity }
    }

    /// Reads a row of the stripe that begins at `start` in the region.
    fn read(&mut self, symbol: usize, start: u64, width: usize) -> Result<(), Error> {
        self.width = width;
        self.rows.resize(self.layout.symbols() * width, 0);
        let offset = symbol as u64 * self.layout.region() + start;
        let row = &mut self.rows[symbol * width..][..width];
        self.layout.read(self.data.get(), self.hash.get(), offset, row)
    }

    /// The parity of all columns.
    fn encode(&mut self) {
        let roots = self.layout.roots();
        let rows = Rows { bytes: &self.rows, stride: self.width };
        self.parity.resize(self.width * roots, 0);
        for (at, parity) in (0..self.width).step_by(COLUMN).zip(self.parity.chunks_exact_mut(COLUMN * roots))
        {
            self.kernel.columns(rows, at, self.tables, &mut self.columns);
            interleave(&self.columns, parity);
        }
    }

    fn write(&self, parity: &dyn WriteAt, offset: u64, start: u64) -> Result<(), Error> {
        let offset = offset + start * self.layout.roots() as u64;
        parity.write_all_at(offset, &self.parity).map_err(|error| Error::Io {
            storage: Storage::Parity,
            offset,
            error,
        })
    }
}

/// From a vector for each root to the bytes of each codeword.
pub(super) fn interleave(columns: &[[u8; COLUMN]], parity: &mut [u8]) {
    let roots = columns.len();
    let mut codeword = [0; MAX_ROOTS];
    for (i, out) in parity.chunks_exact_mut(roots).enumerate() {
        for (byte, column) in codeword.iter_mut().zip(columns) {
            *byte = column[i];
        }
        out.copy_from_slice(&codeword[..roots]);
    }
}
