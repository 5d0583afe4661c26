//! AVX2: two look-ups of 32 bytes for each coefficient.

use core::arch::x86_64::*;

use zerocopy::transmute;

use crate::fec::kernel::{COLUMN, Factor, Rows, Tables, for_roots};
use crate::fec::reed_solomon::MAX_ROOTS;

#[target_feature(enable = "avx2")]
pub(crate) fn columns(rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
    for_roots!(parity.len(), 2, 1, columns_of(rows, at, &tables.nibbles, parity))
}

/// `V` vectors at once.
#[target_feature(enable = "avx2")]
fn columns_of<const R: usize, const V: usize>(
    rows: Rows<'_>,
    at: usize,
    nibbles: &[[[u8; 16]; 2]; MAX_ROOTS],
    parity: &mut [[u8; COLUMN]],
) {
    let mask = _mm256_set1_epi8(15);
    for from in (0..COLUMN).step_by(32 * V) {
        let mut p = [[_mm256_setzero_si256(); V]; R];
        for row in rows.bytes.chunks_exact(rows.stride) {
            let row: &[[u8; 32]] = row[at + from..][..32 * V].as_chunks().0;
            let (mut low, mut high) = (p[0], p[0]);
            for v in 0..V {
                let symbols: __m256i = transmute!(row[v]);
                let factor = _mm256_xor_si256(p[0][v], symbols);
                low[v] = _mm256_and_si256(factor, mask);
                high[v] = _mm256_and_si256(_mm256_srli_epi64::<4>(factor), mask);
            }
            for t in 0..R {
                let [first, second] = nibbles[t];
                let first = _mm256_broadcastsi128_si256(transmute!(first));
                let second = _mm256_broadcastsi128_si256(transmute!(second));
                for v in 0..V {
                    let (a, b) = (_mm256_shuffle_epi8(first, low[v]), _mm256_shuffle_epi8(second, high[v]));
                    let product = _mm256_xor_si256(a, b);
                    p[t][v] = if t + 1 < R { _mm256_xor_si256(p[t + 1][v], product) } else { product };
                }
            }
        }
        for (parity, p) in parity.iter_mut().zip(&p) {
            let out: &mut [[u8; 32]] = parity[from..][..32 * V].as_chunks_mut().0;
            for v in 0..V {
                out[v] = transmute!(p[v]);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(crate) fn accumulate(bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
    let mask = _mm256_set1_epi8(15);
    let [first, second] = factor.nibbles;
    let (first, second) =
        (_mm256_broadcastsi128_si256(transmute!(first)), _mm256_broadcastsi128_si256(transmute!(second)));
    for (bytes, sum) in bytes.as_chunks::<32>().0.iter().zip(sum.as_chunks_mut::<32>().0) {
        let (symbols, before): (__m256i, __m256i) = (transmute!(*bytes), transmute!(*sum));
        let low = _mm256_shuffle_epi8(first, _mm256_and_si256(symbols, mask));
        let high = _mm256_shuffle_epi8(second, _mm256_and_si256(_mm256_srli_epi64::<4>(symbols), mask));
        *sum = transmute!(_mm256_xor_si256(before, _mm256_xor_si256(low, high)));
    }
}
