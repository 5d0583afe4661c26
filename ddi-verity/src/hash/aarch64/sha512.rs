//! The SHA512 extension: two lanes of SHA-512 or SHA-384, which differ in the initial state alone, by turns. The
//! compiler counts it under `sha3`.

use crate::hash::constants::K64;
use crate::hash::lanes::{ByLane, Lanes};
use core::arch::aarch64::*;
use zerocopy::transmute;

/// Two blocks at a time: state and message words take 24 registers, four lanes would not fit.
#[target_feature(enable = "neon,sha3")]
pub(in crate::hash) fn sha512_x2(state: &mut ByLane<u64, 2>, lanes: &Lanes<'_, 128, 2>) {
    // one length for all, so that the loop below needs no checks
    let count = lanes[0].len();
    let lanes = [&lanes[0][..count], &lanes[1][..count]];
    let mut s: [[uint64x2_t; 4]; 2] = transmute!(state.0);
    for block in 0..count {
        let [a, b] = lanes;
        let mut w = [load(&a[block]), load(&b[block])];
        let before = s;
        macro_rules! rounds { ($($t:literal)*) => { $(
            two_rounds(&mut s[0], &mut w[0], $t);
            two_rounds(&mut s[1], &mut w[1], $t);
        )* } }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        rounds!(20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        for lane in 0..2 {
            for i in 0..4 {
                s[lane][i] = vaddq_u64(s[lane][i], before[lane][i]);
            }
        }
    }
    state.0 = transmute!(s);
}

/// The sixteen words of a block, in the machine's byte order.
#[inline]
#[target_feature(enable = "neon,sha3")]
fn load(block: &[u8; 128]) -> [uint64x2_t; 8] {
    let mut w: [uint64x2_t; 8] = transmute!(*block);
    for w in &mut w {
        *w = vreinterpretq_u64_u8(vrev64q_u8(vreinterpretq_u8_u64(*w)));
    }
    w
}

/// Rounds `2 * t` and `2 * t + 1`, and the two words that are needed sixteen rounds later. The state is not moved:
/// what is called `ab` lies in `s[-t]`, modulo 4.
#[inline]
#[target_feature(enable = "neon,sha3")]
fn two_rounds(s: &mut [uint64x2_t; 4], w: &mut [uint64x2_t; 8], t: usize) {
    let at = |pair: usize| (pair + 40 - t) % 4;
    let [ab, cd, ef, gh] = [s[at(0)], s[at(1)], s[at(2)], s[at(3)]];
    let k: &[[u64; 2]] = K64.as_chunks().0;
    let k: uint64x2_t = transmute!(k[t]);
    let [w0, w1] = [w[t % 8], w[(t + 1) % 8]];
    // the instructions want the words of the two rounds in the other order
    let wk = vaddq_u64(w0, k);
    let sum = vaddq_u64(gh, vextq_u64::<1>(wk, wk));
    let sum = vsha512hq_u64(sum, vextq_u64::<1>(ef, gh), vextq_u64::<1>(cd, ef));
    s[at(3)] = vsha512h2q_u64(sum, cd, ab);
    s[at(1)] = vaddq_u64(cd, sum);
    if t < 32 {
        let w9 = vextq_u64::<1>(w[(t + 4) % 8], w[(t + 5) % 8]);
        w[t % 8] = vsha512su1q_u64(vsha512su0q_u64(w0, w1), w[(t + 7) % 8], w9);
    }
}
