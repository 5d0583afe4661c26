//! AVX-512 without GFNI: two look-ups of 64 bytes for each coefficient.

use core::arch::x86_64::*;

use zerocopy::transmute;

use crate::fec::kernel::{COLUMN, Factor, Rows, Tables, for_roots};
use crate::fec::reed_solomon::MAX_ROOTS;

#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn columns(rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
    for_roots!(parity.len(), 4, 2, columns_of(rows, at, &tables.nibbles, parity))
}

/// `V` vectors at once.
#[target_feature(enable = "avx512f,avx512bw")]
fn columns_of<const R: usize, const V: usize>(
    rows: Rows<'_>,
    at: usize,
    nibbles: &[[[u8; 16]; 2]; MAX_ROOTS],
    parity: &mut [[u8; COLUMN]],
) {
    let mask = _mm512_set1_epi8(15);
    for from in (0..COLUMN).step_by(64 * V) {
        let mut p = [[_mm512_setzero_si512(); V]; R];
        for row in rows.bytes.chunks_exact(rows.stride) {
            let row: &[[u8; 64]] = row[at + from..][..64 * V].as_chunks().0;
            let (mut low, mut high) = (p[0], p[0]);
            for v in 0..V {
                let symbols: __m512i = transmute!(row[v]);
                let factor = _mm512_xor_si512(p[0][v], symbols);
                low[v] = _mm512_and_si512(factor, mask);
                high[v] = _mm512_and_si512(_mm512_srli_epi64::<4>(factor), mask);
            }
            for t in 0..R {
                let [first, second] = nibbles[t];
                let first = _mm512_broadcast_i32x4(transmute!(first));
                let second = _mm512_broadcast_i32x4(transmute!(second));
                for v in 0..V {
                    let (a, b) = (_mm512_shuffle_epi8(first, low[v]), _mm512_shuffle_epi8(second, high[v]));
                    let product = _mm512_xor_si512(a, b);
                    p[t][v] = if t + 1 < R { _mm512_xor_si512(p[t + 1][v], product) } else { product };
                }
            }
        }
        for (parity, p) in parity.iter_mut().zip(&p) {
            let out: &mut [[u8; 64]] = parity[from..][..64 * V].as_chunks_mut().0;
            for v in 0..V {
                out[v] = transmute!(p[v]);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn accumulate(bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
    let mask = _mm512_set1_epi8(15);
    let [first, second] = factor.nibbles;
    let (first, second) =
        (_mm512_broadcast_i32x4(transmute!(first)), _mm512_broadcast_i32x4(transmute!(second)));
    for (bytes, sum) in bytes.as_chunks::<64>().0.iter().zip(sum.as_chunks_mut::<64>().0) {
        let (symbols, before): (__m512i, __m512i) = (transmute!(*bytes), transmute!(*sum));
        let low = _mm512_shuffle_epi8(first, _mm512_and_si512(symbols, mask));
        let high = _mm512_shuffle_epi8(second, _mm512_and_si512(_mm512_srli_epi64::<4>(symbols), mask));
        *sum = transmute!(_mm512_xor_si512(before, _mm512_xor_si512(low, high)));
    }
}
