//! The SHA2 extension: SHA-256, two or four lanes by turns, so that one hides the latency of the other.

use crate::hash::constants::K32;
use crate::hash::lanes::{ByLane, Lanes};
use core::arch::aarch64::*;
use zerocopy::transmute;

/// Two blocks at a time: state and message words of both take twelve of the 32 registers.
#[target_feature(enable = "neon,sha2")]
pub(in crate::hash) fn sha256_x2(state: &mut ByLane<u32, 2>, lanes: &Lanes<'_, 64, 2>) {
    // one length for all, so that the loop below needs no checks
    let count = lanes[0].len();
    let lanes = [&lanes[0][..count], &lanes[1][..count]];
    let mut s: [[uint32x4_t; 2]; 2] = transmute!(state.0);
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
                s[lane][i] = vaddq_u32(s[lane][i], before[lane][i]);
            }
        }
    }
    state.0 = transmute!(s);
}

/// Four blocks at a time: state and message words take 24 registers, which leaves eight for the rest.
#[target_feature(enable = "neon,sha2")]
pub(in crate::hash) fn sha256_x4(state: &mut ByLane<u32, 4>, lanes: &Lanes<'_, 64, 4>) {
    let count = lanes[0].len();
    let lanes = [&lanes[0][..count], &lanes[1][..count], &lanes[2][..count], &lanes[3][..count]];
    let mut s: [[uint32x4_t; 2]; 4] = transmute!(state.0);
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
                s[lane][i] = vaddq_u32(s[lane][i], before[lane][i]);
            }
        }
    }
    state.0 = transmute!(s);
}

/// The sixteen words of a block, in the machine's byte order.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn load(block: &[u8; 64]) -> [uint32x4_t; 4] {
    let mut w: [uint32x4_t; 4] = transmute!(*block);
    for w in &mut w {
        *w = vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(*w)));
    }
    w
}

/// Rounds `4 * t` to `4 * t + 3`, and the four words that are needed sixteen rounds later. `s` is `abcd` and `efgh`.
#[inline]
#[target_feature(enable = "neon,sha2")]
fn four_rounds(s: &mut [uint32x4_t; 2], w: &mut [uint32x4_t; 4], t: usize) {
    let k: &[[u32; 4]] = K32.as_chunks().0;
    let k: uint32x4_t = transmute!(k[t]);
    let [w0, w1, w2, w3] = [w[t % 4], w[(t + 1) % 4], w[(t + 2) % 4], w[(t + 3) % 4]];
    let wk = vaddq_u32(w0, k);
    let [abcd, efgh] = *s;
    *s = [vsha256hq_u32(abcd, efgh, wk), vsha256h2q_u32(efgh, abcd, wk)];
    if t < 12 {
        w[t % 4] = vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
    }
}
