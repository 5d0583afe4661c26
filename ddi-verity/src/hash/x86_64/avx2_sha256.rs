//! AVX2: eight lanes of SHA-256.

use crate::hash::constants::K32;
use crate::hash::lanes::{ByWord, Lanes};
use core::arch::x86_64::*;
use zerocopy::transmute;

/// Eight blocks, a lane each, one word of all of them in a register.
#[target_feature(enable = "avx2")]
pub(in crate::hash) fn sha256_x8(state: &mut ByWord<u32, 8>, lanes: &Lanes<'_, 64, 8>) {
    let count = lanes[0].len();
    // one length for all, so that the loop below needs no checks
    let lanes: Lanes<'_, 64, 8> = core::array::from_fn(|lane| &lanes[lane][..count]);
    let mut s: [__m256i; 8] = transmute!(state.0);
    let [first, later @ ..]: &[[u32; 16]; 4] = zerocopy::transmute_ref!(&K32);

    for block in 0..count {
        let mut w = load(&lanes, block);
        let before = s;
        rounds(&mut s, &w, first);
        for k in later {
            expand_and_rounds(&mut s, &mut w, k);
        }
        for i in 0..8 {
            s[i] = _mm256_add_epi32(s[i], before[i]);
        }
    }
    state.0 = transmute!(s);
}

/// Word `i` of every lane in register `i`, in the machine's byte order.
#[inline]
#[target_feature(enable = "avx2")]
fn load(lanes: &Lanes<'_, 64, 8>, block: usize) -> [__m256i; 16] {
    let swap = _mm256_set_epi32(
        0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203, 0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203,
    );
    let mut w = [_mm256_setzero_si256(); 16];
    for quarter in 0..4 {
        // two lanes in a register, 16 bytes of each: a lane in each of the halves
        let pair = |lane: usize| {
            let low: __m128i = quarter_of(&lanes[lane][block], quarter);
            let high: __m128i = quarter_of(&lanes[lane + 4][block], quarter);
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
        };
        let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        let words = [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ];
        for i in 0..4 {
            w[4 * quarter + i] = _mm256_shuffle_epi8(words[i], swap);
        }
    }
    w
}

/// 16 bytes of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn quarter_of(block: &[u8; 64], quarter: usize) -> __m128i {
    let quarters: &[[u8; 16]] = block.as_chunks().0;
    transmute!(quarters[quarter])
}

/// The first sixteen rounds.
#[inline]
#[target_feature(enable = "avx2")]
fn rounds(s: &mut [__m256i; 8], w: &[__m256i; 16], k: &[u32; 16]) {
    macro_rules! rounds { ($($i:literal)*) => { $( round(s, $i, w[$i], k[$i]); )* } }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// Sixteen more rounds each with the next word of the message schedule.
#[inline]
#[target_feature(enable = "avx2")]
fn expand_and_rounds(s: &mut [__m256i; 8], w: &mut [__m256i; 16], k: &[u32; 16]) {
    macro_rules! rounds { ($($i:literal)*) => { $( schedule(w, $i); round(s, $i, w[$i], k[$i]); )* } }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// `w[i] += σ0(w[i - 15]) + w[i - 7] + σ1(w[i - 2])`, indices modulo 16.
#[inline]
#[target_feature(enable = "avx2")]
fn schedule(w: &mut [__m256i; 16], i: usize) {
    let (x, y) = (w[(i + 1) % 16], w[(i + 14) % 16]);
    let s0 = xor3(rotate::<7, 25>(x), rotate::<18, 14>(x), _mm256_srli_epi32::<3>(x));
    let s1 = xor3(rotate::<17, 15>(y), rotate::<19, 13>(y), _mm256_srli_epi32::<10>(y));
    w[i] = _mm256_add_epi32(_mm256_add_epi32(w[i], w[(i + 9) % 16]), _mm256_add_epi32(s0, s1));
}

/// A round. The state is not moved: what is called `a` lies in `s[-i]`, modulo 8.
#[inline]
#[target_feature(enable = "avx2")]
fn round(s: &mut [__m256i; 8], i: usize, w: __m256i, k: u32) {
    let at = |letter: usize| (letter + 16 - i) % 8;
    let [a, b, c, d, e, f, g, h] = [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)];
    let sum1 = xor3(rotate::<6, 26>(s[e]), rotate::<11, 21>(s[e]), rotate::<25, 7>(s[e]));
    let sum0 = xor3(rotate::<2, 30>(s[a]), rotate::<13, 19>(s[a]), rotate::<22, 10>(s[a]));
    // e ? f : g, and the majority of a, b, c
    let choice = _mm256_xor_si256(s[g], _mm256_and_si256(s[e], _mm256_xor_si256(s[f], s[g])));
    let majority =
        _mm256_or_si256(_mm256_and_si256(s[a], s[b]), _mm256_and_si256(s[c], _mm256_or_si256(s[a], s[b])));
    let wk = _mm256_add_epi32(w, _mm256_set1_epi32(k.cast_signed()));
    let t1 = _mm256_add_epi32(_mm256_add_epi32(s[h], wk), _mm256_add_epi32(choice, sum1));
    s[d] = _mm256_add_epi32(s[d], t1);
    s[h] = _mm256_add_epi32(t1, _mm256_add_epi32(sum0, majority));
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(a, b), c)
}

/// Rotates each word to the right by `R`; `L` is the rest of the word.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const R: i32, const L: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_srli_epi32::<R>(x), _mm256_slli_epi32::<L>(x))
}
