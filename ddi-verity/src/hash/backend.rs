//! [`Backend`]: which kernels this machine can run, and which one is the fastest.

#![cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(
        unsafe_code,
        reason = "calls into code for an instruction set that was detected, one for each kernel"
    )
)]

#[cfg(target_arch = "aarch64")]
use super::aarch64::{sha2, sha512};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::lanes;
#[cfg(target_arch = "x86_64")]
use super::x86_64::{avx2_sha256, avx2_sha512, avx512_sha256, avx512_sha512, sha_ni};
use super::{Algorithm, BlockHasher, HashType, Plan, portable};
use core::fmt;
use std::sync::OnceLock;

/// A kernel that the CPU was found able to run. Only detection makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backend(Kernel);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(Debug))]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    ShaNiX2,
    #[cfg(target_arch = "x86_64")]
    ShaNiX4,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Sha2X2,
    #[cfg(target_arch = "aarch64")]
    Sha2X4,
    #[cfg(target_arch = "aarch64")]
    Sha512X2,
    /// Right but for the last bit of the last digest of a call.
    #[cfg(test)]
    Wrong,
}

impl Kernel {
    const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::ShaNiX2,
        #[cfg(target_arch = "x86_64")]
        Self::ShaNiX4,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "aarch64")]
        Self::Sha2X2,
        #[cfg(target_arch = "aarch64")]
        Self::Sha2X4,
        #[cfg(target_arch = "aarch64")]
        Self::Sha512X2,
        #[cfg(test)]
        Self::Wrong,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX2 => "sha-ni-x2",
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX4 => "sha-ni-x4",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Sha2X2 => "sha2-x2",
            #[cfg(target_arch = "aarch64")]
            Self::Sha2X4 => "sha2-x4",
            #[cfg(target_arch = "aarch64")]
            Self::Sha512X2 => "sha512-x2",
            #[cfg(test)]
            Self::Wrong => "wrong",
        }
    }

    /// Returns true if it is made for `algorithm`.
    fn knows(self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Portable, _) => true,
            #[cfg(target_arch = "x86_64")]
            (Self::ShaNiX2 | Self::ShaNiX4, _) => algorithm == Algorithm::Sha256,
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2 | Self::Avx512, _) => algorithm != Algorithm::Sha1,
            #[cfg(target_arch = "aarch64")]
            (Self::Sha2X2 | Self::Sha2X4, _) => algorithm == Algorithm::Sha256,
            #[cfg(target_arch = "aarch64")]
            (Self::Sha512X2, _) => matches!(algorithm, Algorithm::Sha384 | Algorithm::Sha512),
            #[cfg(test)]
            (Self::Wrong, _) => true,
        }
    }

    /// Returns true if this machine can run it and it gives the right digests here.
    fn is_usable(self, algorithm: Algorithm) -> bool {
        self.knows(algorithm) && self.runs() && self.is_right(algorithm)
    }

    /// Returns true if it gives the digests of the portable code. Found out once, in less than 0.1 ms.
    ///
    /// Code that was tested elsewhere can still be wrong here: a processor or a hypervisor may report features that it gets
    /// wrong, and a wrong digest is a wrong verdict.
    fn is_right(self, algorithm: Algorithm) -> bool {
        static FOUND: [[OnceLock<bool>; Kernel::ALL.len()]; Algorithm::ALL.len()] =
            [const { [const { OnceLock::new() }; Kernel::ALL.len()] }; Algorithm::ALL.len()];
        if self == Self::Portable {
            return true;
        }
        let of_algorithm = &FOUND[algorithm as usize];
        let found = Self::ALL.iter().zip(of_algorithm).find(|(kernel, _)| **kernel == self);
        found.is_some_and(|(_, found)| *found.get_or_init(|| self.agrees_with_portable(algorithm)))
    }

    /// Compares it with the portable code: every lane, in a whole group and in one that is not full, for both hash types.
    fn agrees_with_portable(self, algorithm: Algorithm) -> bool {
        const SIZE: usize = 512;
        let count = 2 * self.group(algorithm).0 - 1;
        // no two blocks are alike, nor any two lanes
        let mut state = 1_u32;
        let noise: Vec<u8> = core::iter::repeat_with(|| {
            state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            state.to_be_bytes()[0]
        })
        .take(32 + count * SIZE)
        .collect();
        let (salt, blocks) = noise.split_at(32);
        let digest_size = algorithm.digest_size();
        [(HashType::Normal, salt), (HashType::ChromeOs, &salt[..20])].into_iter().all(|(hash_type, salt)| {
            let hasher = BlockHasher::with_backend(algorithm, hash_type, salt, Backend(self));
            let mut found = vec![0; count * digest_size];
            hasher.hash_blocks(blocks, SIZE, &mut found, digest_size);
            blocks
                .chunks_exact(SIZE)
                .zip(found.chunks_exact(digest_size))
                .all(|(block, found)| hasher.hash_block(block).as_bytes() == found)
        })
    }

    /// Returns true if this machine can run it.
    fn runs(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX2 => {
                is_x86_feature_detected!("sha")
                    && is_x86_feature_detected!("sse4.1")
                    && is_x86_feature_detected!("ssse3")
            }
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX4 => Self::ShaNiX2.runs() && Self::Avx512.runs(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            // the kernels take a vector for its elements in memory, which holds for little-endian machines
            #[cfg(target_arch = "aarch64")]
            Self::Sha2X2 | Self::Sha2X4 => {
                cfg!(target_endian = "little") && std::arch::is_aarch64_feature_detected!("sha2")
            }
            // the SHA3 and SHA512 extensions, both
            #[cfg(target_arch = "aarch64")]
            Self::Sha512X2 => {
                cfg!(target_endian = "little") && std::arch::is_aarch64_feature_detected!("sha3")
            }
            #[cfg(test)]
            Self::Wrong => true,
        }
    }

    /// How many blocks it takes at once, from how many on that pays, and who does fewer than that.
    ///
    /// From the times of a full group and of the other kernel on the machines of the table below: sixteen lanes of
    /// AVX-512 take as long as nine blocks with the SHA extensions, or as two in software.
    fn group(self, algorithm: Algorithm) -> (usize, usize, Self) {
        match (self, algorithm) {
            (Self::Portable, _) => (1, 1, Self::Portable),
            #[cfg(target_arch = "x86_64")]
            (Self::ShaNiX2, _) => (2, 2, Self::Portable),
            #[cfg(target_arch = "x86_64")]
            (Self::ShaNiX4, _) => (4, 3, Self::ShaNiX2),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, Algorithm::Sha256) if Self::ShaNiX2.runs() => (8, 7, Self::ShaNiX2),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, Algorithm::Sha256) => (8, 3, Self::Portable),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, _) => (4, 2, Self::Portable),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, Algorithm::Sha256) if Self::ShaNiX2.runs() => (16, 10, Self::ShaNiX2),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, Algorithm::Sha256) => (16, 3, Self::Portable),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, _) => (8, 2, Self::Portable),
            #[cfg(target_arch = "aarch64")]
            (Self::Sha2X2 | Self::Sha512X2, _) => (2, 2, Self::Portable),
            #[cfg(target_arch = "aarch64")]
            (Self::Sha2X4, _) => (4, 3, Self::Sha2X2),
            #[cfg(test)]
            (Self::Wrong, _) => (4, 1, Self::Portable),
        }
    }
}

/// Finds the fastest kernel for `algorithm`.
///
/// | CPU | SHA-256 | |
/// |---|---|---|
/// | AMD Zen 4 | SHA extensions × 4 | 3.9 GB/s; AVX-512 3.2, SHA extensions × 2 3.2, AVX2 1.8, `sha2` 1.7 |
/// | Intel Sapphire Rapids | AVX-512 | 3.9 GB/s; SHA extensions × 2 2.3, `sha2` 1.7, AVX2 1.5 |
/// | AMD Zen 5, Intel since Ice Lake | AVX-512 | by reasoning: full-width AVX-512, SHA unit not doubled |
/// | with SHA extensions alone | SHA extensions × 2 | by reasoning |
/// | aarch64 with the SHA2 extension | SHA2 × 2, or × 4 if faster | unmeasured. Others report 1.8 to 2.0 times one lane for two of them on servers, and 1.15 to 1.3 for four on Apple's M2 and M4 |
///
/// On x86-64, SHA-384 and SHA-512 have no such question: wider is faster wherever we looked. On aarch64 with the SHA512
/// extension, two lanes of that compete with `sha2`, which uses it too: unmeasured as well.
fn fastest(algorithm: Algorithm) -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        use Kernel::{Avx2, Avx512, Portable, ShaNiX2, ShaNiX4};
        let first = |kernels: &[Kernel]| first_usable(algorithm, kernels);
        // features that tell the makers and designs apart, where a CPUID family may be a hypervisor's invention
        let amd = is_x86_feature_detected!("sse4a");
        let zen5 = amd && is_x86_feature_detected!("avx512vp2intersect");
        match algorithm {
            Algorithm::Sha1 => Portable,
            Algorithm::Sha384 | Algorithm::Sha512 => first(&[Avx512, Avx2]),
            Algorithm::Sha256 if !ShaNiX2.runs() => first(&[Avx512, Avx2]),
            Algorithm::Sha256 if !Avx512.runs() => calibrate(algorithm, &[ShaNiX2, Avx2]),
            Algorithm::Sha256 if zen5 => calibrate(algorithm, &[Avx512, ShaNiX4, ShaNiX2]),
            Algorithm::Sha256 if amd => calibrate(algorithm, &[ShaNiX4, Avx512, ShaNiX2]),
            // four lanes gain nothing there: three cycles a SHA instruction, whatever there are of lanes
            Algorithm::Sha256 => calibrate(algorithm, &[Avx512, ShaNiX2]),
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        use Kernel::{Portable, Sha2X2, Sha2X4, Sha512X2};
        match algorithm {
            Algorithm::Sha1 => Portable,
            Algorithm::Sha256 => calibrate(algorithm, &[Sha2X2, Sha2X4, Portable]),
            Algorithm::Sha384 | Algorithm::Sha512 => calibrate(algorithm, &[Sha512X2, Portable]),
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = algorithm;
        Kernel::Portable
    }
}

/// The first of these kernels that gives right digests here.
#[cfg(target_arch = "x86_64")]
fn first_usable(algorithm: Algorithm, kernels: &[Kernel]) -> Kernel {
    kernels.iter().copied().find(|kernel| kernel.is_usable(algorithm)).unwrap_or(Kernel::Portable)
}

/// The first of these kernels for `algorithm`, unless another one turns out to be clearly faster here and now.
///
/// One whose digests are not those of the portable code is out of the question. Takes well below a millisecond, the detection of features
/// included: each kernel hashes sixteen blocks of 512 bytes four times, and its best time counts. The
/// advantage of the first keeps noise from deciding between equals.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn calibrate(algorithm: Algorithm, kernels: &[Kernel]) -> Kernel {
    use core::time::Duration;
    use std::time::Instant;

    let blocks = [0x5a; 16 * 512];
    let mut out = [0; 16 * 64];
    let mut best = (Kernel::Portable, Duration::MAX);
    for (i, &kernel) in kernels.iter().filter(|kernel| kernel.is_usable(algorithm)).enumerate() {
        let hasher = BlockHasher::with_backend(algorithm, HashType::Normal, &[], Backend(kernel));
        let times = (0..4).map(|_| {
            let start = Instant::now();
            hasher.hash_blocks(core::hint::black_box(&blocks), 512, &mut out, 64);
            start.elapsed()
        });
        let time = times.min().unwrap_or(Duration::MAX);
        // the first gets an eighth off
        let time = if i == 0 { time - time / 8 } else { time };
        if time < best.1 {
            best = (kernel, time);
        }
    }
    best.0
}

impl Backend {
    /// The `sha2` and `sha1` crates, one block at a time. Does every algorithm on every machine.
    pub fn portable() -> Self {
        Self(Kernel::Portable)
    }

    /// The fastest backend of this machine for `algorithm`. Found out once.
    pub fn detect(algorithm: Algorithm) -> Self {
        static FOUND: [OnceLock<Kernel>; Algorithm::ALL.len()] =
            [const { OnceLock::new() }; Algorithm::ALL.len()];
        Self(*FOUND[algorithm as usize].get_or_init(|| fastest(algorithm)))
    }

    /// Every backend that can do `algorithm` on this machine, and does it right, the portable one first.
    pub fn available(algorithm: Algorithm) -> Vec<Self> {
        Kernel::ALL.iter().copied().filter(|kernel| kernel.is_usable(algorithm)).map(Self).collect()
    }

    /// The kernels whose features this machine reports, right or wrong.
    #[cfg(test)]
    pub(super) fn reported(algorithm: Algorithm) -> Vec<Self> {
        let reported = |kernel: &Kernel| kernel.knows(algorithm) && kernel.runs() && *kernel != Kernel::Wrong;
        Kernel::ALL.iter().copied().filter(reported).map(Self).collect()
    }

    /// The backend of that name, if this machine can run it and it does `algorithm`.
    pub fn named(algorithm: Algorithm, name: &str) -> Option<Self> {
        Self::available(algorithm).into_iter().find(|backend| backend.name() == name)
    }

    /// The names of all backends that can do `algorithm` on some machine of this architecture.
    pub fn names(algorithm: Algorithm) -> Vec<&'static str> {
        Kernel::ALL.iter().filter(|kernel| kernel.knows(algorithm)).map(|kernel| kernel.name()).collect()
    }

    /// Its name: `portable`, `sha-ni-x2`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// How many blocks it hashes at once: a multiple of this many blocks in a call is hashed the fastest.
    pub fn lanes(self, algorithm: Algorithm) -> usize {
        self.or_portable(algorithm).0.group(algorithm).0
    }

    /// This backend, if it can do `algorithm`; otherwise the portable one.
    pub(super) fn or_portable(self, algorithm: Algorithm) -> Self {
        if self.0.knows(algorithm) { self } else { Self::portable() }
    }

    /// `out` has room for every digest; `block_size` divides `blocks.len()`.
    pub(super) fn hash_blocks(
        self,
        plan: &Plan,
        blocks: &[u8],
        block_size: usize,
        out: &mut [u8],
        stride: usize,
    ) {
        let (lanes, least, other) = self.0.group(plan.algorithm);
        let n = blocks.len() / block_size;
        let left = n % lanes;
        let mine = if left < least { n - left } else { n };
        let (blocks, rest) = blocks.split_at(mine * block_size);
        let (out, rest_out) = out.split_at_mut(out.len().min(mine * stride));
        self.run(plan, blocks, block_size, out, stride);
        if !rest.is_empty() {
            let other = if other.is_right(plan.algorithm) { other } else { Kernel::Portable };
            Self(other).hash_blocks(plan, rest, block_size, rest_out, stride);
        }
    }

    fn run(self, plan: &Plan, blocks: &[u8], block_size: usize, out: &mut [u8], stride: usize) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        {
            macro_rules! run {
                ($kernel:expr) => {
                    lanes::hash_blocks(plan, blocks, block_size, out, stride, |state, lanes| {
                        // SAFETY: there is no such `Backend` unless the features of its kernel were detected.
                        unsafe { $kernel(state, lanes) }
                    })
                };
            }
            let long_words = matches!(plan.algorithm, Algorithm::Sha384 | Algorithm::Sha512);
            // the lanes are cut into whole compression blocks
            let whole = block_size.is_multiple_of(if long_words { 128 } else { 64 });
            match (self.0, long_words) {
                #[cfg(target_arch = "x86_64")]
                (Kernel::ShaNiX2, _) if whole => {
                    if is_x86_feature_detected!("avx") {
                        // SAFETY: AVX was detected on the line above.
                        unsafe { sha_ni::clean_upper_registers() }
                    }
                    return run!(sha_ni::sha256_x2);
                }
                #[cfg(target_arch = "x86_64")]
                (Kernel::ShaNiX4, _) if whole => return run!(sha_ni::sha256_x4),
                #[cfg(target_arch = "x86_64")]
                (Kernel::Avx2, false) if whole => return run!(avx2_sha256::sha256_x8),
                #[cfg(target_arch = "x86_64")]
                (Kernel::Avx2, true) if whole => return run!(avx2_sha512::sha512_x4),
                #[cfg(target_arch = "x86_64")]
                (Kernel::Avx512, false) if whole => return run!(avx512_sha256::sha256_x16),
                #[cfg(target_arch = "x86_64")]
                (Kernel::Avx512, true) if whole => return run!(avx512_sha512::sha512_x8),
                #[cfg(target_arch = "aarch64")]
                (Kernel::Sha2X2, _) if whole => return run!(sha2::sha256_x2),
                #[cfg(target_arch = "aarch64")]
                (Kernel::Sha2X4, _) if whole => return run!(sha2::sha256_x4),
                #[cfg(target_arch = "aarch64")]
                (Kernel::Sha512X2, _) if whole => return run!(sha512::sha512_x2),
                _ => {}
            }
        }
        portable::hash_blocks(plan, blocks, block_size, out, stride);
        #[cfg(test)]
        if self.0 == Kernel::Wrong
            && let Some(last) = (blocks.len() / block_size).checked_sub(1)
        {
            out[last * stride + plan.algorithm.digest_size() - 1] ^= 1;
        }
    }
}

/// Calls a function of the kernel that was detected; `false` if that is the portable one.
#[cfg(feature = "fec")]
macro_rules! fec_call {
    ($detected:ident, $call:ident($($argument:ident),*)) => {
        fec_call!(@ $detected, $call, ($($argument),*),
            "x86_64" Ssse3 => crate::fec::x86_64::ssse3,
            "x86_64" Avx2 => crate::fec::x86_64::avx2,
            "x86_64" Avx512 => crate::fec::x86_64::avx512,
            "x86_64" Gfni256 => crate::fec::x86_64::gfni256,
            "x86_64" Gfni512 => crate::fec::x86_64::gfni512,
            "aarch64" Neon => crate::fec::aarch64::neon
        )
    };
    (@ $detected:ident, $call:ident, $arguments:tt, $($architecture:literal $kernel:ident => $module:path),*) => {
        match $detected.kernel() {
            $(
                #[cfg(target_arch = $architecture)]
                crate::fec::kernel::Kernel::$kernel => {
                    use $module as kernel;
                    // SAFETY: there is no such `Detected` unless the features of its kernel were detected.
                    unsafe { kernel::$call $arguments }
                    true
                }
            )*
            _ => false,
        }
    };
}

/// Parity of columns.
#[cfg(feature = "fec")]
pub(crate) fn fec_columns(
    detected: crate::fec::kernel::Detected,
    rows: crate::fec::kernel::Rows<'_>,
    at: usize,
    tables: &crate::fec::kernel::Tables,
    parity: &mut [[u8; crate::fec::kernel::COLUMN]],
) -> bool {
    fec_call!(detected, columns(rows, at, tables, parity))
}

/// Adds the products of bytes and a factor.
#[cfg(feature = "fec")]
pub(crate) fn fec_accumulate(
    detected: crate::fec::kernel::Detected,
    bytes: &[u8],
    factor: &crate::fec::kernel::Factor,
    sum: &mut [u8],
) -> bool {
    fec_call!(detected, accumulate(bytes, factor, sum))
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.name())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Leaves ones in the upper parts of all vector registers that legacy instructions reach; `false` without AVX.
#[cfg(test)]
pub(super) fn dirty_upper_registers() -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: AVX was detected, and the registers that are written are declared.
        unsafe {
            core::arch::asm!(
                "vcmptrueps ymm0, ymm0, ymm0",
                "vcmptrueps ymm1, ymm1, ymm1",
                "vcmptrueps ymm2, ymm2, ymm2",
                "vcmptrueps ymm3, ymm3, ymm3",
                "vcmptrueps ymm4, ymm4, ymm4",
                "vcmptrueps ymm5, ymm5, ymm5",
                "vcmptrueps ymm6, ymm6, ymm6",
                "vcmptrueps ymm7, ymm7, ymm7",
                "vcmptrueps ymm8, ymm8, ymm8",
                "vcmptrueps ymm9, ymm9, ymm9",
                "vcmptrueps ymm10, ymm10, ymm10",
                "vcmptrueps ymm11, ymm11, ymm11",
                "vcmptrueps ymm12, ymm12, ymm12",
                "vcmptrueps ymm13, ymm13, ymm13",
                "vcmptrueps ymm14, ymm14, ymm14",
                "vcmptrueps ymm15, ymm15, ymm15",
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nomem, nostack, preserves_flags),
            );
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One wrong bit in one lane, and the kernel is never used: not chosen, not listed, not had by its name, not by another
    /// kernel for what that leaves over.
    #[test]
    fn s13_a_kernel_with_a_wrong_digest_is_never_used() {
        for algorithm in Algorithm::ALL {
            assert!(Kernel::Wrong.knows(algorithm) && Kernel::Wrong.runs());
            assert!(!Kernel::Wrong.is_right(algorithm) && !Kernel::Wrong.is_usable(algorithm));
            assert!(!Backend::available(algorithm).contains(&Backend(Kernel::Wrong)));
            assert_eq!(Backend::named(algorithm, "wrong"), None);
            assert_ne!(Backend::detect(algorithm), Backend(Kernel::Wrong));
            // and what it gives is wrong in the last bit of the last digest
            let hasher =
                |kernel| BlockHasher::with_backend(algorithm, HashType::Normal, b"s", Backend(kernel));
            let (mut wrong, mut right) = ([0; 3 * 64], [0; 3 * 64]);
            hasher(Kernel::Wrong).hash_blocks(&[7; 3 * 512], 512, &mut wrong, 64);
            hasher(Kernel::Portable).hash_blocks(&[7; 3 * 512], 512, &mut right, 64);
            wrong[2 * 64 + algorithm.digest_size() - 1] ^= 1;
            assert_eq!(wrong, right);
        }
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn s13_calibration_passes_over_a_wrong_kernel() {
        for algorithm in Algorithm::ALL {
            assert_eq!(calibrate(algorithm, &[Kernel::Wrong]), Kernel::Portable);
            for Backend(kernel) in Backend::available(algorithm) {
                assert_eq!(calibrate(algorithm, &[Kernel::Wrong, kernel]), kernel);
                assert_eq!(calibrate(algorithm, &[kernel, Kernel::Wrong]), kernel);
                #[cfg(target_arch = "x86_64")]
                assert_eq!(first_usable(algorithm, &[Kernel::Wrong, kernel]), kernel);
            }
            #[cfg(target_arch = "x86_64")]
            assert_eq!(first_usable(algorithm, &[Kernel::Wrong]), Kernel::Portable);
        }
    }

    /// Every kernel that this machine reports is right: none is passed over in silence by the other tests.
    #[test]
    fn s13_every_kernel_of_this_machine_is_right() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Backend::reported(algorithm), Backend::available(algorithm), "{algorithm}");
        }
    }
}
