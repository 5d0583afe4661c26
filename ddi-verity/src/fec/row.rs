//! A row of blocks: which blocks of data and tree are its symbols, and decoding its codewords.

use super::FecLayout;
use super::kernel::{COLUMN, Detected, Rows, Tables};
use super::reed_solomon::{Erasures, Fix};
use crate::fec::reed_solomon::MAX_ROOTS;
use crate::layout::Layout;

/// Which block of the message it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Data(u64),
    /// Of the tree: level and number.
    Hash(usize, u64),
    /// Behind the tree: nothing says what it should be.
    Foreign,
    /// Behind the end: zeros.
    Nothing,
}

impl FecLayout {
    /// Block `block` of the message, whose tree is `tree`.
    pub(crate) fn place(&self, tree: &Layout, block: u64) -> Place {
        let Some(at) = block.checked_sub(self.data_blocks) else { return Place::Data(block) };
        if at >= self.hash_blocks {
            return Place::Nothing;
        }
        let offset = self.hash_start + at * self.block_size;
        for (number, level) in tree.levels().iter().enumerate() {
            if let Some(within) = offset.checked_sub(level.offset) {
                let block = within / self.block_size;
                if block < level.blocks {
                    return Place::Hash(number, block);
                }
            }
        }
        Place::Foreign
    }

    /// Which block of the message a hash block is.
    pub(crate) fn number_of_hash(&self, tree: &Layout, level: usize, block: u64) -> Option<u64> {
        let at =
            tree.block_offset(level, block)?.checked_sub(self.hash_start)?.checked_div(self.block_size)?;
        self.data_blocks.checked_add(at)
    }
}

/// Decodes the codewords of one row, about whose blocks the same is known in all of them.
pub(crate) struct Decoder<'a> {
    tables: &'a Tables,
    kernel: Detected,
    erasures: &'a [u8],
    /// For each message symbol, true if it is known to be right.
    good: &'a [bool],
    solver: Option<Erasures>,
    columns: Vec<[u8; COLUMN]>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(tables: &'a Tables, erasures: &'a [u8], good: &'a [bool]) -> Self {
        Decoder {
            tables,
            kernel: Detected::best(),
            erasures,
            good,
            solver: Erasures::new(&tables.code, erasures),
            columns: vec![[0; COLUMN]; tables.code.roots()],
        }
    }

    /// What is known to be right was not damaged; a decoder that says so found another codeword.
    fn is_possible(&self, fix: &Fix) -> bool {
        fix.symbols().iter().all(|&(symbol, _)| !self.good.get(usize::from(symbol)).is_some_and(|&good| good))
    }

    /// Decodes the codewords of `rows`, each as far as that goes, into `decoded`. `parity` is theirs, as stored.
    pub(crate) fn decode(&mut self, rows: Rows<'_>, parity: &[u8], decoded: &mut Vec<u8>) {
        let (roots, symbols) = (self.tables.code.roots(), self.tables.code.message_symbols());
        let code = &self.tables.code;
        decoded.clear();
        decoded.extend_from_slice(rows.bytes);
        let mut difference = [0; MAX_ROOTS];
        for at in (0..rows.stride).step_by(COLUMN) {
            self.kernel.columns(rows, at, self.tables, &mut self.columns);
            for x in 0..COLUMN {
                let stored = &parity[(at + x) * roots..][..roots];
                for ((difference, column), stored) in difference.iter_mut().zip(&self.columns).zip(stored) {
                    *difference = column[x] ^ stored;
                }
                let difference = &difference[..roots];
                if difference.iter().all(|&byte| byte == 0) {
                    continue;
                }
                let by_erasures = || {
                    let solver = self.solver.as_ref()?;
                    let solved = solver.solve(difference).or_else(|| code.decode(difference, self.erasures));
                    solved.filter(|fix| self.is_possible(fix))
                };
                let by_errors = || code.decode(difference, &[]).filter(|fix| self.is_possible(fix));
                let fix = by_erasures().or_else(by_errors);
                for &(symbol, value) in fix.iter().flat_map(Fix::symbols) {
                    if usize::from(symbol) < symbols {
                        decoded[usize::from(symbol) * rows.stride + at + x] ^= value;
                    }
                }
            }
        }
    }
}
