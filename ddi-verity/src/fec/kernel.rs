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

use super::reed_solomon::{Code, MAX_ROOTS, multiply};

/// Width of a column in bytes: what a kernel does in one call.
pub(crate) const COLUMN: usize = 256;

/// A factor as the kernels want it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor {
    pub(crate) value: u8,
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
    /// The one that every machine runs.
    pub(crate) const PORTABLE: Self = Detected(Kernel::Portable);

    /// Those whose features this machine reports, right or wrong; the portable one first.
    pub(crate) fn reported() -> Vec<Self> {
        Kernel::ALL.iter().copied().filter(|kernel| kernel.runs()).map(Detected).collect()
    }

    /// Which one.
    pub(crate) fn kernel(self) -> Kernel {
        self.0
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
