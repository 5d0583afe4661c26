//! The SHA extensions: SHA-256, two or four lanes by turns, so that one hides the latency of the other.

use crate::hash::constants::K32;
use crate::hash::lanes::{ByLane, Lanes};
use core::arch::x86_64::*;
use zerocopy::transmute;

/// Zeroes the upper halves of the vector registers. Whoever left something there would more than halve the speed of
/// the legacy encoding, on some CPUs.
#[target_feature(enable = "avx")]
pub(in crate::hash) fn clean_upper_registers() {
    _mm256_zeroupper();
}

/// Two blocks at a time, in the legacy encoding: with AVX enabled, the compiler would use the newer one, which is
/// 10 % slower on Zen 4. Call [`clean_upper_registers`] before, where there is AVX.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(in crate::hash) fn sha256_x2(state: &mut ByLane<u32, 2>, lanes: &Lanes<'_, 64, 2>) {
    // one length for all, so that the loop below needs no checks
    let count = lanes[0].len();
    let lanes = [&lanes[0][..count], &lanes[1][..count]];
    let [a, b] = &state.0;
    let mut s = [to_registers(a), to_registers(b)];
    for block in 0..count {
        let [a, b] = lanes;
        let mut w = [load(&a[block]), load(&b[block])];
        let before = s;
        macro_rules! rounds { ($($t:literal)*) => { $(
            four_rounds(&mut s[0], &mut w[0], $t);
            four_rounds(&mut s[1], &mut w[1], $t);
        )* } }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..2 {
            for i in 0..2 {
                s[lane][i] = _mm_add_epi32(s[lane][i], before[lane][i]);
            }
        }
    }
    let [a, b] = s;
    state.0 = [from_registers(a), from_registers(b)];
}

/// Four blocks at a time. The instructions reach xmm0 to xmm15 only; with AVX-512VL the compiler can keep the
/// message words in the sixteen registers above, without it four lanes do not fit.
#[target_feature(enable = "sha,sse4.1,ssse3,avx512f,avx512vl")]
pub(in crate::hash) fn sha256_x4(state: &mut ByLane<u32, 4>, lanes: &Lanes<'_, 64, 4>) {
    let [a, b, c, d] = &state.0;
    let mut s = [to_registers(a), to_registers(b), to_registers(c), to_registers(d)];
    rounds_x4(&mut s, lanes);
    let [a, b, c, d] = s;
    state.0 = [from_registers(a), from_registers(b), from_registers(c), from_registers(d)];
}

/// The blocks of [`sha256_x4`], in a function of its own: the compiler may turn the state round in registers of 512 bits, and
/// if it may also keep it there between two blocks, then their upper parts are in use for all of the loop, which costs
/// the SHA instructions half their speed on Zen 4 and nearly all of it on Sapphire Rapids.
#[inline(never)]
#[target_feature(enable = "sha,sse4.1,ssse3,avx512f,avx512vl")]
fn rounds_x4(state: &mut [[__m128i; 2]; 4], lanes: &Lanes<'_, 64, 4>) {
    _mm256_zeroupper();
    let count = lanes[0].len();
    let lanes = [&lanes[0][..count], &lanes[1][..count], &lanes[2][..count], &lanes[3][..count]];
    let mut s = *state;
    for block in 0..count {
        let [a, b, c, d] = lanes;
        let mut w = [load(&a[block]), load(&b[block]), load(&c[block]), load(&d[block])];
        let before = s;
        macro_rules! rounds { ($($t:literal)*) => { $(
            four_rounds(&mut s[0], &mut w[0], $t);
            four_rounds(&mut s[1], &mut w[1], $t);
            four_rounds(&mut s[2], &mut w[2], $t);
            four_rounds(&mut s[3], &mut w[3], $t);
        )* } }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..4 {
            for i in 0..2 {
                s[lane][i] = _mm_add_epi32(s[lane][i], before[lane][i]);
            }
        }
    }
    *state = s;
}

/// The state as the instructions want it: `ABEF` and `CDGH`, first letter on top.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn to_registers(state: &[u32; 8]) -> [__m128i; 2] {
    let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
    [_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)]
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn from_registers(s: [__m128i; 2]) -> [u32; 8] {
    let [[f, e, b, a], [h, g, d, c]]: [[u32; 4]; 2] = transmute!(s);
    [a, b, c, d, e, f, g, h]
}

/// The sixteen words of a block, in the machine's byte order.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn load(block: &[u8; 64]) -> [__m128i; 4] {
    let swap = _mm_set_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    let [a, b, c, d]: [__m128i; 4] = transmute!(*block);
    [
        _mm_shuffle_epi8(a, swap),
        _mm_shuffle_epi8(b, swap),
        _mm_shuffle_epi8(c, swap),
        _mm_shuffle_epi8(d, swap),
    ]
}

/// Rounds `4 * t` to `4 * t + 3`, and the four words that are needed sixteen rounds later.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn four_rounds(s: &mut [__m128i; 2], w: &mut [__m128i; 4], t: usize) {
    let k: &[[u32; 4]] = K32.as_chunks().0;
    let k: __m128i = transmute!(k[t]);
    let [w0, w1, w2, w3] = [w[t % 4], w[(t + 1) % 4], w[(t + 2) % 4], w[(t + 3) % 4]];
    let wk = _mm_add_epi32(w0, k);
    s[1] = _mm_sha256rnds2_epu32(s[1], s[0], wk);
    s[0] = _mm_sha256rnds2_epu32(s[0], s[1], _mm_shuffle_epi32::<0b00_00_11_10>(wk));
    if t < 12 {
        let w9 = _mm_alignr_epi8::<4>(w3, w2);
        w[t % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), w9), w3);
    }
}
