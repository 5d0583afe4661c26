//! Reflected CRC-32 registers as superblocks use them: a seed, and no final inversion.
//!
//! The longest message is one superblock of 64 KiB, so a table of 1 KiB a polynomial does; a crate with kernels for
//! streams would bring `unsafe` for microseconds.

const CASTAGNOLI: [u32; 256] = table(0x82f6_3b78);
const IEEE: [u32; 256] = table(0xedb8_8320);

#[expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "evaluated by the compiler: the index and the byte are below 256"
)]
const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = (register >> 1) ^ if register & 1 == 1 { polynomial } else { 0 };
            bit += 1;
        }
        table[byte] = register;
        byte += 1;
    }
    table
}

fn update(table: &[u32; 256], seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |register, byte| {
        let [low, ..] = register.to_le_bytes();
        table.get(usize::from(low ^ byte)).copied().unwrap_or_default() ^ (register >> 8)
    })
}

/// CRC-32C without the final inversion.
pub(super) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    update(&CASTAGNOLI, seed, bytes)
}

/// CRC-32C without the final inversion, from a register of all ones, with the four bytes at `field` taken as zeros.
/// `None` if they are not inside.
pub(super) fn crc32c_without(bytes: &[u8], field: usize) -> Option<u32> {
    let before = bytes.get(..field)?;
    let after = bytes.get(field.checked_add(4)?..)?;
    Some(crc32c(crc32c(crc32c(!0, before), &[0; 4]), after))
}

/// CRC-32 (IEEE 802.3) without the final inversion.
pub(super) fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    update(&IEEE, seed, bytes)
}

/// CRC-64 as bcache has it: of the ECMA-182 polynomial, most significant bit first, inverted at both ends.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x42f0_e1eb_a9ea_3693;
    !bytes.iter().fold(!0, |register, byte| {
        (0..8).fold(register ^ (u64::from(*byte) << 56), |register: u64, _| {
            (register << 1) ^ if register >> 63 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        // the catalogue's check value: the CRC of "123456789"
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn field_counts_as_zeros() {
        let with_zeros = [1, 2, 0, 0, 0, 0, 3];
        assert_eq!(crc32c_without(&[1, 2, 9, 9, 9, 9, 3], 2), Some(crc32c(!0, &with_zeros)));
        assert_eq!(crc32c_without(&[1, 2, 9], 2), None);
    }
}
