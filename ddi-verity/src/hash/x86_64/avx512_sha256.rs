//! AVX-512: sixteen lanes of SHA-256.

use crate::hash::constants::K32;
use crate::hash::lanes::{ByWord, Lanes};
use core::arch::x86_64::*;
use zerocopy::transmute;

/// The round constants, each sixteen times.
#[repr(align(64))]
struct Constants([[[u32; 16]; 16]; 4]);

static K32_X16: Constants = {
    let mut k = [[[0; 16]; 16]; 4];
    let mut t = 0;
    while t < 64 {
        k[t / 16][t % 16] = [K32[t]; 16];
        t += 1;
    }
    Constants(k)
};

/// Sixteen blocks, a lane each, one word of all of them in a register.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(in crate::hash) fn sha256_x16(state: &mut ByWord<u32, 16>, lanes: &Lanes<'_, 64, 16>) {
    let count = lanes[0].len();
    // one length for all, so that the loop below needs no checks
    let lanes: Lanes<'_, 64, 16> = core::array::from_fn(|lane| &lanes[lane][..count]);
    let mut s: [__m512i; 8] = transmute!(state.0);
    // Constants that the compiler can see it adds last; loaded ones it adds to `h` and `w`, early and off the
    // critical path, and in the same instruction. That makes 2 %.
    let [first, later @ ..] = core::hint::black_box(&K32_X16.0);

    for block in 0..count {
        let mut w = load(&lanes, block);
        let before = s;
        rounds(&mut s, &w, first);
        for k in later {
            expand_and_rounds(&mut s, &mut w, k);
        }
        for i in 0..8 {
            s[i] = _mm512_add_epi32(s[i], before[i]);
        }
    }
    state.0 = transmute!(s);
}

/// Word `i` of every lane in register `i`, in the machine's byte order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load(lanes: &Lanes<'_, 64, 16>, block: usize) -> [__m512i; 16] {
    let swap = _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    let mut w = [_mm512_setzero_si512(); 16];
    for half in 0..2 {
        // two lanes in a register, 32 bytes of each: a lane in each of the halves
        let pair = |lane: usize| {
            let low: __m256i = half_of(&lanes[lane][block], half);
            let high: __m256i = half_of(&lanes[lane + 4][block], half);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        };
        // lanes 0..8, then 8..16: words 0 and 4, 1 and 5, 2 and 6, 3 and 7 by turns of four lanes
        let a = transpose4([pair(0), pair(1), pair(2), pair(3)]);
        let b = transpose4([pair(8), pair(9), pair(10), pair(11)]);
        for i in 0..4 {
            let low = _mm512_shuffle_i32x4::<0b10_00_10_00>(a[i], b[i]);
            let high = _mm512_shuffle_i32x4::<0b11_01_11_01>(a[i], b[i]);
            w[8 * half + i] = _mm512_shuffle_epi8(low, swap);
            w[8 * half + 4 + i] = _mm512_shuffle_epi8(high, swap);
        }
    }
    w
}

/// Bytes 0..32 or 32..64 of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn half_of(block: &[u8; 64], half: usize) -> __m256i {
    let halves: &[[u8; 32]] = block.as_chunks().0;
    transmute!(halves[half])
}

/// Transposes four rows of four words, in each quarter of the registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose4(rows: [__m512i; 4]) -> [__m512i; 4] {
    let ab_low = _mm512_unpacklo_epi32(rows[0], rows[1]);
    let ab_high = _mm512_unpackhi_epi32(rows[0], rows[1]);
    let cd_low = _mm512_unpacklo_epi32(rows[2], rows[3]);
    let cd_high = _mm512_unpackhi_epi32(rows[2], rows[3]);
    [
        _mm512_unpacklo_epi64(ab_low, cd_low),
        _mm512_unpackhi_epi64(ab_low, cd_low),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The first sixteen rounds.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn rounds(s: &mut [__m512i; 8], w: &[__m512i; 16], k: &[[u32; 16]; 16]) {
    let k: [__m512i; 16] = transmute!(*k);
    macro_rules! rounds { ($($i:literal)*) => { $( round(s, $i, w[$i], k[$i]); )* } }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// Sixteen more rounds each with the next word of the message schedule.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn expand_and_rounds(s: &mut [__m512i; 8], w: &mut [__m512i; 16], k: &[[u32; 16]; 16]) {
    let k: [__m512i; 16] = transmute!(*k);
    macro_rules! rounds { ($($i:literal)*) => { $( schedule(w, $i); round(s, $i, w[$i], k[$i]); )* } }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// `w[i] += σ0(w[i - 15]) + w[i - 7] + σ1(w[i - 2])`, indices modulo 16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn schedule(w: &mut [__m512i; 16], i: usize) {
    let (x, y) = (w[(i + 1) % 16], w[(i + 14) % 16]);
    let s0 = xor3(_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x), _mm512_srli_epi32::<3>(x));
    let s1 = xor3(_mm512_ror_epi32::<17>(y), _mm512_ror_epi32::<19>(y), _mm512_srli_epi32::<10>(y));
    w[i] = _mm512_add_epi32(_mm512_add_epi32(w[i], w[(i + 9) % 16]), _mm512_add_epi32(s0, s1));
}

/// A round. The state is not moved: what is called `a` lies in `s[-i]`, modulo 8.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn round(s: &mut [__m512i; 8], i: usize, w: __m512i, k: __m512i) {
    let at = |letter: usize| (letter + 16 - i) % 8;
    let [a, b, c, d, e, f, g, h] = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)];
    let sum1 = xor3(_mm512_ror_epi32::<6>(s[e]), _mm512_ror_epi32::<11>(s[e]), _mm512_ror_epi32::<25>(s[e]));
    let sum0 = xor3(_mm512_ror_epi32::<2>(s[a]), _mm512_ror_epi32::<13>(s[a]), _mm512_ror_epi32::<22>(s[a]));
    // e ? f : g, and the majority of a, b, c
    let choice = _mm512_ternarylogic_epi32::<0xca>(s[e], s[f], s[g]);
    let majority = _mm512_ternarylogic_epi32::<0xe8>(s[a], s[b], s[c]);
    let wk = _mm512_add_epi32(w, k);
    let t1 = _mm512_add_epi32(_mm512_add_epi32(s[h], wk), _mm512_add_epi32(choice, sum1));
    s[d] = _mm512_add_epi32(s[d], t1);
    s[h] = _mm512_add_epi32(t1, _mm512_add_epi32(sum0, majority));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}
