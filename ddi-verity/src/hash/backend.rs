//! [`Backend`]: which kernels this machine can run, and which one is the fastest.

#![expect(
    unsafe_code,
    reason = "a call into code for an instruction set that was detected: one for each kernel"
)]

use super::{Algorithm, Plan, portable};
#[cfg(target_arch = "x86_64")]
use super::{
    lanes,
    x86_64::{avx2_sha256, avx2_sha512, avx512_sha256, avx512_sha512, sha_ni},
};
use core::fmt;

/// A kernel that the CPU was found able to run. Only detection makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backend(Kernel);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Kernel {
    const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::ShaNiX2,
        #[cfg(target_arch = "x86_64")]
        Self::ShaNiX4,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX2 => "sha-ni-x2",
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX4 => "sha-ni-x4",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
        }
    }

    /// Is it made for `algorithm`?
    fn knows(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX2 | Self::ShaNiX4 => algorithm == Algorithm::Sha256,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx2 => algorithm != Algorithm::Sha1,
        }
    }

    /// Can this machine run it?
    fn runs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let sha = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3");
        #[cfg(target_arch = "x86_64")]
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX2 => sha,
            #[cfg(target_arch = "x86_64")]
            Self::ShaNiX4 => sha && avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
        }
    }
}

impl Backend {
    /// The `sha2` and `sha1` crates, one block at a time. Does every algorithm on every machine.
    pub fn portable() -> Self {
        Self(Kernel::Portable)
    }

    /// The fastest backend of this machine for `algorithm`. Found out once.
    pub fn detect(algorithm: Algorithm) -> Self {
        let _ = algorithm;
        Self::available(algorithm).pop().unwrap_or(Self(Kernel::Portable))
    }

    /// Every backend that can do `algorithm` on this machine, the portable one first.
    pub fn available(algorithm: Algorithm) -> Vec<Self> {
        let kernels = Kernel::ALL.iter().copied();
        kernels.filter(|kernel| kernel.knows(algorithm) && kernel.runs()).map(Self).collect()
    }

    /// The backend of that name, if this machine can run it and it does `algorithm`.
    pub fn named(algorithm: Algorithm, name: &str) -> Option<Self> {
        Self::available(algorithm).into_iter().find(|backend| backend.name() == name)
    }

    /// The names of all backends that can do `algorithm` on some machine of this architecture.
    pub fn names(algorithm: Algorithm) -> Vec<&'static str> {
        Kernel::ALL.iter().filter(|kernel| kernel.knows(algorithm)).map(|kernel| kernel.name()).collect()
    }

    /// This backend, if it can do `algorithm`; otherwise the portable one.
    pub(super) fn or_portable(self, algorithm: Algorithm) -> Self {
        if self.0.knows(algorithm) { self } else { Self::portable() }
    }

    /// Its name: `portable`, `sha-ni-x2`.
    pub fn name(self) -> &'static str {
        self.0.name()
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
        macro_rules! run {
            ($kernel:expr) => {
                lanes::hash_blocks(plan, blocks, block_size, out, stride, |state, lanes| {
                    // SAFETY: there is no such `Backend` unless the features of its kernel were detected.
                    unsafe { $kernel(state, lanes) }
                })
            };
        }
        let long_words = matches!(plan.algorithm, Algorithm::Sha384 | Algorithm::Sha512);
        let whole = block_size.is_multiple_of(if long_words { 128 } else { 64 });
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kernel::ShaNiX2 if whole => run!(sha_ni::sha256_x2),
            #[cfg(target_arch = "x86_64")]
            Kernel::ShaNiX4 if whole => run!(sha_ni::sha256_x4),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if whole && long_words => run!(avx512_sha512::sha512_x8),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 if whole => run!(avx512_sha256::sha256_x16),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 if whole && long_words => run!(avx2_sha512::sha512_x4),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 if whole => run!(avx2_sha256::sha256_x8),
            _ => portable::hash_blocks(plan, blocks, block_size, out, stride),
        }
    }
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
