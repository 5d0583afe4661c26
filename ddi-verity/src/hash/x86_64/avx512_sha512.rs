//! AVX-512: eight lanes of SHA-512 or SHA-384, which differ in the initial state alone.

use crate::hash::constants::K64;
use crate::hash::lanes::{ByWord, Lanes};
use core::arch::x86_64::*;
use zerocopy::transmute;

/// The round constants, each eight times.
#[repr(align(64))]
struct Constants([[[u64; 8]; 16]; 5]);

static K64_X8: Constants = {
    let mut k = [[[0; 8]; 16]; 5];
    let mut t = 0;
    while t < 80 {
        k[t / 16][t % 16] = [K64[t]; 8];
        t += 1;
    }
    Constants(k)
};

/// Eight blocks, a lane each, one word of all of them in a register.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(in crate::hash) fn sha512_x8(state: &mut ByWord<u64, 8>, lanes: &Lanes<'_, 128, 8>) {
    let count = lanes[0].len();
    // one length for all, so that the loop below needs no checks
    let lanes: Lanes<'_, 128, 8> = core::array::from_fn(|lane| &lanes[lane][..count]);
    let mut s: [__m512i; 8] = transmute!(state.0);
    // as for SHA-256: hidden from the compiler, which would add them last otherwise
    let [first, later @ ..] = core::hint::black_box(&K64_X8.0);

    for block in 0..count {
        let mut w = load(&lanes, block);
        let before = s;
        rounds(&mut s, &w, first);
        for k in later {
            expand_and_rounds(&mut s, &mut w, k);
        }
        for i in 0..8 {
            s[i] = _mm512_add_epi64(s[i], before[i]);
        }
    }
    state.0 = transmute!(s);
}

/// Word `i` of every lane in register `i`, in the machine's byte order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load(lanes: &Lanes<'_, 128, 8>, block: usize) -> [__m512i; 16] {
    let swap = _mm512_set4_epi32(0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
    let mut w = [_mm512_setzero_si512(); 16];
    for quarter in 0..4 {
        // two lanes in a register, 32 bytes of each: a lane in each of the halves
        let pair = |lane: usize| {
            let low: __m256i = quarter_of(&lanes[lane][block], quarter);
            let high: __m256i = quarter_of(&lanes[lane + 2][block], quarter);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        };
        let (a, b, c, d) = (pair(0), pair(1), pair(4), pair(5));
        // words 0 and 2, then 1 and 3, by turns of two lanes
        let (ab0, ab1) = (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        let (cd0, cd1) = (_mm512_unpacklo_epi64(c, d), _mm512_unpackhi_epi64(c, d));
        let words = [
            _mm512_shuffle_i64x2::<0b10_00_10_00>(ab0, cd0),
            _mm512_shuffle_i64x2::<0b10_00_10_00>(ab1, cd1),
            _mm512_shuffle_i64x2::<0b11_01_11_01>(ab0, cd0),
            _mm512_shuffle_i64x2::<0b11_01_11_01>(ab1, cd1),
        ];
        for i in 0..4 {
            w[4 * quarter + i] = _mm512_shuffle_epi8(words[i], swap);
        }
    }
    w
}

/// 32 bytes of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quarter_of(block: &[u8; 128], quarter: usize) -> __m256i {
    let quarters: &[[u8; 32]] = block.as_chunks().0;
    transmute!(quarters[quarter])
}

/// The first sixteen rounds.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn rounds(s: &mut [__m512i; 8], w: &[__m512i; 16], k: &[[u64; 8]; 16]) {
    let k: [__m512i; 16] = transmute!(*k);
    macro_rules! rounds { ($($i:literal)*) => { $( round(s, $i, w[$i], k[$i]); )* } }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// Sixteen more rounds each with the next word of the message schedule.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn expand_and_rounds(s: &mut [__m512i; 8], w: &mut [__m512i; 16], k: &[[u64; 8]; 16]) {
    let k: [__m512i; 16] = transmute!(*k);
    macro_rules! rounds { ($($i:literal)*) => { $( schedule(w, $i); round(s, $i, w[$i], k[$i]); )* } }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// `w[i] += σ0(w[i - 15]) + w[i - 7] + σ1(w[i - 2])`, indices modulo 16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn schedule(w: &mut [__m512i; 16], i: usize) {
    let (x, y) = (w[(i + 1) % 16], w[(i + 14) % 16]);
    let s0 = xor3(_mm512_ror_epi64::<1>(x), _mm512_ror_epi64::<8>(x), _mm512_srli_epi64::<7>(x));
    let s1 = xor3(_mm512_ror_epi64::<19>(y), _mm512_ror_epi64::<61>(y), _mm512_srli_epi64::<6>(y));
    w[i] = _mm512_add_epi64(_mm512_add_epi64(w[i], w[(i + 9) % 16]), _mm512_add_epi64(s0, s1));
}

/// A round. The state is not moved: what is called `a` lies in `s[-i]`, modulo 8.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn round(s: &mut [__m512i; 8], i: usize, w: __m512i, k: __m512i) {
    let at = |letter: usize| (letter + 16 - i) % 8;
    let [a, b, c, d, e, f, g, h] = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)];
    let sum1 = xor3(_mm512_ror_epi64::<14>(s[e]), _mm512_ror_epi64::<18>(s[e]), _mm512_ror_epi64::<41>(s[e]));
    let sum0 = xor3(_mm512_ror_epi64::<28>(s[a]), _mm512_ror_epi64::<34>(s[a]), _mm512_ror_epi64::<39>(s[a]));
    // e ? f : g, and the majority of a, b, c
    let choice = _mm512_ternarylogic_epi64::<0xca>(s[e], s[f], s[g]);
    let majority = _mm512_ternarylogic_epi64::<0xe8>(s[a], s[b], s[c]);
    let wk = _mm512_add_epi64(w, k);
    let t1 = _mm512_add_epi64(_mm512_add_epi64(s[h], wk), _mm512_add_epi64(choice, sum1));
    s[d] = _mm512_add_epi64(s[d], t1);
    s[h] = _mm512_add_epi64(t1, _mm512_add_epi64(sum0, majority));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}
