//! NEON: two look-ups of 16 bytes for each coefficient.

use core::arch::aarch64::*;

use zerocopy::transmute;

use crate::fec::kernel::{COLUMN, Factor, Rows, Tables, for_roots};
use crate::fec::reed_solomon::MAX_ROOTS;

#[target_feature(enable = "neon")]
pub(crate) fn columns(rows: Rows<'_>, at: usize, tables: &Tables, parity: &mut [[u8; COLUMN]]) {
    for_roots!(parity.len(), 4, 2, columns_of(rows, at, &tables.nibbles, parity))
}

/// `V` vectors at once.
#[target_feature(enable = "neon")]
fn columns_of<const R: usize, const V: usize>(
    rows: Rows<'_>,
    at: usize,
    nibbles: &[[[u8; 16]; 2]; MAX_ROOTS],
    parity: &mut [[u8; COLUMN]],
) {
    let mask = vdupq_n_u8(15);
    for from in (0..COLUMN).step_by(16 * V) {
        let mut p = [[vdupq_n_u8(0); V]; R];
        for row in rows.bytes.chunks_exact(rows.stride) {
            let row: &[[u8; 16]] = row[at + from..][..16 * V].as_chunks().0;
            let (mut low, mut high) = (p[0], p[0]);
            for v in 0..V {
                let symbols: uint8x16_t = transmute!(row[v]);
                let factor = veorq_u8(p[0][v], symbols);
                low[v] = vandq_u8(factor, mask);
                high[v] = vshrq_n_u8::<4>(factor);
            }
            for t in 0..R {
                let [first, second] = nibbles[t];
                let first: uint8x16_t = transmute!(first);
                let second: uint8x16_t = transmute!(second);
                for v in 0..V {
                    let (a, b) = (vqtbl1q_u8(first, low[v]), vqtbl1q_u8(second, high[v]));
                    let product = veorq_u8(a, b);
                    p[t][v] = if t + 1 < R { veorq_u8(p[t + 1][v], product) } else { product };
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

#[target_feature(enable = "neon")]
pub(crate) fn accumulate(bytes: &[u8], factor: &Factor, sum: &mut [u8]) {
    let mask = vdupq_n_u8(15);
    let [first, second] = factor.nibbles;
    let (first, second): (uint8x16_t, uint8x16_t) = (transmute!(first), transmute!(second));
    for (bytes, sum) in bytes.as_chunks::<16>().0.iter().zip(sum.as_chunks_mut::<16>().0) {
        let (symbols, before): (uint8x16_t, uint8x16_t) = (transmute!(*bytes), transmute!(*sum));
        let low = vqtbl1q_u8(first, vandq_u8(symbols, mask));
        let high = vqtbl1q_u8(second, vshrq_n_u8::<4>(symbols));
        *sum = transmute!(veorq_u8(before, veorq_u8(low, high)));
    }
}
