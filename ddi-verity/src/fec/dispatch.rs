//! Which kernel is used, and the calls into it.

use std::sync::OnceLock;

#[cfg(test)]
use super::kernel::Kernel;
use super::kernel::{COLUMN, Detected, Factor, Rows, Tables};
use super::reed_solomon::{MAX_ROOTS, MIN_ROOTS, multiply};

impl Detected {
    /// The fastest that gives what the portable one gives. Found out once.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Detected> = OnceLock::new();
        *BEST.get_or_init(|| {
            let usable = Self::reported().into_iter().rev().find(|kernel| kernel.is_right());
            usable.unwrap_or(Detected::PORTABLE)
        })
    }

    /// Compares it with the portable one, for the fewest roots, the most, and some between: a processor or a hypervisor may
    /// report what it gets wrong.
    fn is_right(self) -> bool {
        const ROWS: usize = 40;
        let mut state = 1_u32;
        let noise: Vec<u8> = core::iter::repeat_with(|| {
            state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            state.to_be_bytes()[0]
        })
        .take(ROWS * COLUMN)
        .collect();
        [MIN_ROOTS, 3, 8, 13, MAX_ROOTS].into_iter().all(|roots| {
            let tables = Tables::new(roots);
            let rows = Rows { bytes: &noise, stride: COLUMN };
            let (mut found, mut expected) = (vec![[0; COLUMN]; roots], vec![[0; COLUMN]; roots]);
            self.columns(rows, 0, &tables, &mut found);
            portable(rows, 0, &tables, &mut expected);
            let factor = Factor::new(noise[roots]);
            let (mut sum, mut expected_sum) = ([roots as u8; COLUMN], [roots as u8; COLUMN]);
            self.accumulate(&noise[..COLUMN], &factor, &mut sum);
            accumulate(&noise[..COLUMN], &factor, &mut expected_sum);
            found == expected && sum == expected_sum
        })
    }

    /// Adds the products of `bytes` and `factor` to `sum`, of which there are as many, a multiple of 64.
    pub(crate) fn accumulate(self, bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
        debug_assert!(bytes.len() == sum.len() && bytes.len().is_multiple_of(64));
        if !crate::hash::fec_accumulate(self, bytes, factor, sum) {
            accumulate(bytes, factor, sum);
        }
    }

    /// The parity of a column that begins `at` bytes from the start of each row. `parity` has a place for each root.
    pub(crate) fn columns(self, rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
        debug_assert_eq!(parity.len(), tables.code.roots());
        debug_assert!(at + COLUMN <= rows.stride);
        if !crate::hash::fec_columns(self, rows, at, tables, parity) {
            portable(rows, at, tables, parity);
        }
        #[cfg(test)]
        if self.kernel() == Kernel::Wrong
            && let Some(last) = parity.last_mut()
        {
            last[COLUMN - 1] ^= 1;
        }
    }
}

/// One byte at a time.
fn accumulate(bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
    for (sum, &byte) in sum.iter_mut().zip(bytes) {
        *sum ^= multiply(byte, factor.value);
    }
}

/// One byte at a time.
fn portable(rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
    for i in 0..COLUMN {
        let mut remainder = [0; MAX_ROOTS];
        for row in rows.bytes.chunks_exact(rows.stride) {
            tables.code.step(&mut remainder, row[at + i]);
        }
        for (parity, byte) in parity.iter_mut().zip(remainder) {
            parity[i] = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel of this machine, every number of roots, rows of every number, strides with and without a rest.
    #[test]
    fn kernels_agree_with_the_portable_code() {
        let noise: Vec<u8> =
            (0..253 * 768_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect();
        for kernel in Detected::reported().into_iter().filter(|found| found.kernel() != Kernel::Wrong) {
            for roots in MIN_ROOTS..=MAX_ROOTS {
                let tables = Tables::new(roots);
                let all = 255 - roots;
                for count in [0, 1, 2, 3, 7, 24, 100, all - 1, all] {
                    for (stride, at) in [(256, 0), (512, 256), (768, 0), (768, 512)] {
                        let rows = Rows { bytes: &noise[..count * stride], stride };
                        let (mut found, mut expected) = (vec![[9; COLUMN]; roots], vec![[7; COLUMN]; roots]);
                        kernel.columns(rows, at, &tables, &mut found);
                        portable(rows, at, &tables, &mut expected);
                        assert_eq!(found, expected, "{kernel:?}, {roots} roots, {count} rows of {stride}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_product_of_every_kernel() {
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).chain(0..64).collect();
        for kernel in Detected::reported().into_iter().filter(|found| found.kernel() != Kernel::Wrong) {
            for factor in (0..=255).map(Factor::new) {
                for len in [0, 64, 128, 512, 576] {
                    let mut sum: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
                    let expected: Vec<u8> = sum
                        .iter()
                        .zip(&bytes)
                        .map(|(sum, &byte)| sum ^ multiply(byte, factor.value))
                        .collect();
                    kernel.accumulate(&bytes[..len], &factor, &mut sum);
                    assert_eq!(sum, expected, "{kernel:?}, {len} bytes");
                }
            }
        }
    }

    #[test]
    fn a_kernel_with_a_wrong_bit_is_never_used() {
        let is_wrong = |found: &Detected| found.kernel() == Kernel::Wrong;
        let wrong = Detected::reported().into_iter().find(is_wrong).unwrap();
        assert!(!wrong.is_right());
        assert_ne!(Detected::best(), wrong);
        for kernel in Detected::reported().into_iter().filter(|found| found.kernel() != Kernel::Wrong) {
            assert!(kernel.is_right(), "{kernel:?}");
        }
    }
}
