//! Kernels: what turns columns of message symbols into columns of parity, for each instruction set.
//!
//! ```text
//! symbol 0    ........[column]........    stride bytes: a piece of each symbol's blocks
//! symbol 1    ........[column]........
//!  …                     ↓                a byte of parity for each root and byte of the column
//! ```
//!
//! Multiplication by a constant is linear over bits: with GFNI one affine transformation, otherwise two look-ups in tables of
//! sixteen. The call into a detected kernel is in `hash/backend.rs`, with those of the hash kernels.

use std::sync::OnceLock;

use super::reed_solomon::{Code, multiply};
use super::{MAX_ROOTS, MIN_ROOTS};

/// Width of a column in bytes: what a kernel does in one call.
pub(crate) const COLUMN: usize = 256;

/// A factor as the kernels want it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor {
    value: u8,
    /// As a matrix of 8 × 8 bits.
    pub(crate) affine: u64,
    /// The products with 0 to 15, and with 16 times that.
    pub(crate) nibbles: [[u8; 16]; 2],
}

impl Factor {
    pub(crate) fn new(value: u8) -> Self {
        let mut affine = 0;
        // row 7 - i says which bits of the input make bit i of the output
        for (bit, out) in (0..8).flat_map(|bit| (0..8).map(move |out| (bit, out))) {
            let set = multiply(value, 1 << bit) >> out & 1;
            affine |= u64::from(set) << (8 * (7 - out) + bit);
        }
        let products = |shift: u8| core::array::from_fn(|i| multiply(value, (i as u8) << shift));
        Factor { value, affine, nibbles: [products(0), products(4)] }
    }
}

/// The coefficients of a generator as the kernels want them.
pub(crate) struct Tables {
    pub(crate) code: Code,
    pub(crate) affine: [u64; MAX_ROOTS],
    pub(crate) nibbles: [[[u8; 16]; 2]; MAX_ROOTS],
}

impl Tables {
    pub(crate) fn new(roots: usize) -> Self {
        let code = Code::new(roots);
        let mut tables = Tables { affine: [0; MAX_ROOTS], nibbles: [[[0; 16]; 2]; MAX_ROOTS], code };
        for (t, &coefficient) in tables.code.generator().iter().enumerate() {
            let factor = Factor::new(coefficient);
            (tables.affine[t], tables.nibbles[t]) = (factor.affine, factor.nibbles);
        }
        tables
    }
}

/// Message symbols side by side: row `j` begins at `j * stride`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) stride: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Gfni256,
    #[cfg(target_arch = "x86_64")]
    Gfni512,
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Right but for the last bit.
    #[cfg(test)]
    Wrong,
}

impl Kernel {
    /// The slowest first.
    const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::Ssse3,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Gfni256,
        #[cfg(target_arch = "x86_64")]
        Self::Gfni512,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        #[cfg(test)]
        Self::Wrong,
    ];

    /// Returns true if this machine reports what it needs.
    fn runs(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => is_x86_feature_detected!("ssse3"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => is_x86_feature_detected!("gfni") && Self::Avx512.runs(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(test)]
            Self::Wrong => true,
        }
    }
}

/// A kernel that this machine can run. Only detection makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detected(Kernel);

impl Detected {
    /// The fastest that gives what the portable one gives. Found out once.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Detected> = OnceLock::new();
        *BEST.get_or_init(|| {
            let usable = Self::reported().into_iter().rev().find(|kernel| kernel.is_right());
            usable.unwrap_or(Detected(Kernel::Portable))
        })
    }

    /// Those whose features this machine reports, right or wrong.
    fn reported() -> Vec<Self> {
        Kernel::ALL.iter().copied().filter(|kernel| kernel.runs()).map(Detected).collect()
    }

    /// Which one.
    pub(crate) fn kernel(self) -> Kernel {
        self.0
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
        if self.0 == Kernel::Wrong
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

/// Calls `$kernel::<roots, vectors>`: many vectors at once where few roots leave registers for them.
macro_rules! for_roots {
    ($roots:expr, $few:literal, $some:literal, $kernel:ident($($argument:expr),*)) => {
        match $roots {
            2 => $kernel::<2, $few>($($argument),*),
            3 => $kernel::<3, $few>($($argument),*),
            4 => $kernel::<4, $few>($($argument),*),
            5 => $kernel::<5, $some>($($argument),*),
            6 => $kernel::<6, $some>($($argument),*),
            7 => $kernel::<7, $some>($($argument),*),
            8 => $kernel::<8, $some>($($argument),*),
            9 => $kernel::<9, $some>($($argument),*),
            10 => $kernel::<10, $some>($($argument),*),
            11 => $kernel::<11, 1>($($argument),*),
            12 => $kernel::<12, 1>($($argument),*),
            13 => $kernel::<13, 1>($($argument),*),
            14 => $kernel::<14, 1>($($argument),*),
            15 => $kernel::<15, 1>($($argument),*),
            16 => $kernel::<16, 1>($($argument),*),
            17 => $kernel::<17, 1>($($argument),*),
            18 => $kernel::<18, 1>($($argument),*),
            19 => $kernel::<19, 1>($($argument),*),
            20 => $kernel::<20, 1>($($argument),*),
            21 => $kernel::<21, 1>($($argument),*),
            22 => $kernel::<22, 1>($($argument),*),
            23 => $kernel::<23, 1>($($argument),*),
            24 => $kernel::<24, 1>($($argument),*),
            other => unreachable!("{other} roots"),
        }
    };
}
pub(crate) use for_roots;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel of this machine, every number of roots, rows of every number, strides with and without a rest.
    #[test]
    fn kernels_agree_with_the_portable_code() {
        let noise: Vec<u8> =
            (0..253 * 768_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect();
        for kernel in Detected::reported().into_iter().filter(|found| found.0 != Kernel::Wrong) {
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
        for kernel in Detected::reported().into_iter().filter(|found| found.0 != Kernel::Wrong) {
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
        assert!(!Detected(Kernel::Wrong).is_right());
        assert_ne!(Detected::best(), Detected(Kernel::Wrong));
        for kernel in Detected::reported().into_iter().filter(|found| found.0 != Kernel::Wrong) {
            assert!(kernel.is_right(), "{kernel:?}");
        }
    }
}
