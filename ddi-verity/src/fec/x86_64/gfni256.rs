//! GFNI and AVX2: an affine transformation of 32 bytes for each coefficient.

use core::arch::x86_64::*;

use zerocopy::transmute;

use crate::fec::kernel::{COLUMN, Factor, Rows, Tables, for_roots};
use crate::fec::reed_solomon::MAX_ROOTS;

#[target_feature(enable = "avx2,gfni")]
pub(crate) fn columns(rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
    for_roots!(parity.len(), 4, 2, columns_of(rows, at, &tables.affine, parity))
}

/// `V` vectors at once.
#[target_feature(enable = "avx2,gfni")]
fn columns_of<const R: usize, const V: usize>(
    rows: Rows<'_>,
    at: usize,
    affine: &[u64; MAX_ROOTS],
    parity: &mut [[u8; COLUMN]],
) {
    for from in (0..COLUMN).step_by(32 * V) {
        let mut p = [[_mm256_setzero_si256(); V]; R];
        for row in rows.bytes.chunks_exact(rows.stride) {
            let row: &[[u8; 32]] = row[at + from..][..32 * V].as_chunks().0;
            let mut factor = p[0];
            for v in 0..V {
                let symbols: __m256i = transmute!(row[v]);
                factor[v] = _mm256_xor_si256(factor[v], symbols);
            }
            for t in 0..R {
                let matrix = _mm256_set1_epi64x(affine[t].cast_signed());
                for v in 0..V {
                    let product = _mm256_gf2p8affine_epi64_epi8::<0>(factor[v], matrix);
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

#[target_feature(enable = "avx2,gfni")]
pub(crate) fn accumulate(bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
    let matrix = _mm256_set1_epi64x(factor.affine.cast_signed());
    for (bytes, sum) in bytes.as_chunks::<32>().0.iter().zip(sum.as_chunks_mut::<32>().0) {
        let (symbols, before): (__m256i, __m256i) = (transmute!(*bytes), transmute!(*sum));
        *sum = transmute!(_mm256_xor_si256(before, _mm256_gf2p8affine_epi64_epi8::<0>(symbols, matrix)));
    }
}
