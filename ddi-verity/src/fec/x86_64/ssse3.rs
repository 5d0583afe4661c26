//! SSSE3: two look-ups of 16 bytes for each coefficient.

use core::arch::x86_64::*;

use zerocopy::transmute;

use crate::fec::kernel::{COLUMN, Factor, Rows, Tables, for_roots};
use crate::fec::reed_solomon::MAX_ROOTS;

#[target_feature(enable = "ssse3")]
pub(crate) fn columns(rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
    for_roots!(parity.len(), 2, 1, columns_of(rows, at, &tables.nibbles, parity))
}

/// `V` vectors at once.
#[target_feature(enable = "ssse3")]
fn columns_of<const R: usize, const V: usize>(
    rows: Rows<'_>,
    at: usize,
    nibbles: &[[[u8; 16]; 2]; MAX_ROOTS],
    parity: &mut [[u8; COLUMN]],
) {
    let mask = _mm_set1_epi8(15);
    for from in (0..COLUMN).step_by(16 * V) {
        let mut p = [[_mm_setzero_si128(); V]; R];
        for row in rows.bytes.chunks_exact(rows.stride) {
            let row: &[[u8; 16]] = row[at + from..][..16 * V].as_chunks().0;
            let (mut low, mut high) = (p[0], p[0]);
            for v in 0..V {
                let symbols: __m128i = transmute!(row[v]);
                let factor = _mm_xor_si128(p[0][v], symbols);
                low[v] = _mm_and_si128(factor, mask);
                high[v] = _mm_and_si128(_mm_srli_epi64::<4>(factor), mask);
            }
            for t in 0..R {
                let [first, second] = nibbles[t];
                let first: __m128i = transmute!(first);
                let second: __m128i = transmute!(second);
                for v in 0..V {
                    let (a, b) = (_mm_shuffle_epi8(first, low[v]), _mm_shuffle_epi8(second, high[v]));
                    let product = _mm_xor_si128(a, b);
                    p[t][v] = if t + 1 < R { _mm_xor_si128(p[t + 1][v], product) } else { product };
                }
            }
        }
        for (parity, p) in parity.iter_mut().zip(&p) {
            let out: &mut [[u8; 16]] = parity[from..][..16 * V].as_chunks_mut().0;
            for v in 0..V {
                out[v] = transmute!(p[v]);
            }
        }
    }
}

#[target_feature(enable = "ssse3")]
pub(crate) fn accumulate(bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
    let mask = _mm_set1_epi8(15);
    let [first, second] = factor.nibbles;
    let (first, second): (__m128i, __m128i) = (transmute!(first), transmute!(second));
    for (bytes, sum) in bytes.as_chunks::<16>().0.iter().zip(sum.as_chunks_mut::<16>().0) {
        let (symbols, before): (__m128i, __m128i) = (transmute!(*bytes), transmute!(*sum));
        let low = _mm_shuffle_epi8(first, _mm_and_si128(symbols, mask));
        let high = _mm_shuffle_epi8(second, _mm_and_si128(_mm_srli_epi64::<4>(symbols), mask));
        *sum = transmute!(_mm_xor_si128(before, _mm_xor_si128(low, high)));
    }
}
