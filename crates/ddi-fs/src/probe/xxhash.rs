//! XXH64, for the superblocks of btrfs that carry it. Source: *xxHash fast digest algorithm*, 0.1.1.

const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME_5: u64 = 0x27d4_eb2f_1656_67c5;

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

fn word64(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// XXH64 with seed 0.
pub(super) fn xxh64(bytes: &[u8]) -> u64 {
    let mut hash = PRIME_5;
    let stripes = bytes.chunks_exact(32);
    let tail = stripes.remainder();
    if bytes.len() >= 32 {
        let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, PRIME_1.wrapping_neg()];
        for stripe in stripes {
            for (lane, input) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word64(input));
            }
        }
        hash = [1, 7, 12, 18]
            .into_iter()
            .zip(lanes)
            .fold(0, |sum: u64, (bits, lane)| sum.wrapping_add(lane.rotate_left(bits)));
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
        }
    }
    hash = hash.wrapping_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let words = tail.chunks_exact(8);
    let tail = words.remainder();
    for input in words {
        hash = (hash ^ round(0, word64(input))).rotate_left(27).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
    }
    let words = tail.chunks_exact(4);
    let tail = words.remainder();
    for input in words {
        let input = input.try_into().map_or(0, u32::from_le_bytes);
        hash ^= u64::from(input).wrapping_mul(PRIME_1);
        hash = hash.rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
    }
    for byte in tail {
        hash = (hash ^ u64::from(*byte).wrapping_mul(PRIME_5)).rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        // of `xxhsum -H64`; the lengths take each of the branches
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(xxh64(b"Nobody inspects the spammish repetition"), 0xfbce_a83c_8a37_8bf1);
    }
}
