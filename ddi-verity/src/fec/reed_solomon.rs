//! Reed-Solomon codes over GF(256) as dm-verity has them: RS(255, 255 - roots), systematic, first root alpha⁰.
//!
//! Symbol `j` of a codeword has degree `254 - j`. The message comes first, then `roots` bytes of parity, the highest power
//! of the remainder first. All here is one byte at a time: the reference for the kernels, and the decoder.

/// Least number of parity bytes of a codeword.
pub const MIN_ROOTS: usize = 2;
/// Largest number of parity bytes of a codeword.
pub const MAX_ROOTS: usize = 24;

/// Symbols of a codeword.
pub(crate) const SYMBOLS: usize = 255;

/// x⁸ + x⁴ + x³ + x² + 1
const POLYNOMIAL: u16 = 0x11d;

const fn multiply_slowly(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a as u16, b, 0);
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= POLYNOMIAL;
        }
        b >>= 1;
    }
    product as u8
}

/// Powers of alpha = 2, twice, so that a sum of two logarithms needs no reduction.
static EXP: [u8; 510] = {
    let mut exp = [0; 510];
    let (mut i, mut x) = (0, 1);
    while i < 510 {
        exp[i] = x;
        x = multiply_slowly(x, 2);
        i += 1;
    }
    exp
};

/// Logarithms; that of 0 means nothing.
static LOG: [u8; 256] = {
    let mut log = [0; 256];
    let (mut i, mut x) = (0_u8, 1);
    while i < 255 {
        log[x as usize] = i;
        x = multiply_slowly(x, 2);
        i += 1;
    }
    log
};

pub(crate) fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[usize::from(LOG[usize::from(a)]) + usize::from(LOG[usize::from(b)])]
}

/// 1 / a, for `a` other than 0.
fn invert(a: u8) -> u8 {
    EXP[255 - usize::from(LOG[usize::from(a)])]
}

/// alpha to the power of `exponent`.
fn alpha(exponent: usize) -> u8 {
    EXP[exponent % 255]
}

/// The locator of a symbol: alpha to the power of its degree.
fn locator(symbol: u8) -> u8 {
    alpha(SYMBOLS - 1 - usize::from(symbol))
}

/// What to add to the symbols of a codeword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fix {
    len: usize,
    list: [(u8, u8); MAX_ROOTS],
}

impl Fix {
    fn new() -> Self {
        Fix { len: 0, list: [(0, 0); MAX_ROOTS] }
    }

    fn push(&mut self, symbol: u8, value: u8) {
        // values of zero are erased symbols that were right
        if value != 0 {
            self.list[self.len] = (symbol, value);
            self.len += 1;
        }
    }

    /// Symbols and values, none of them 0.
    pub(crate) fn symbols(&self) -> &[(u8, u8)] {
        &self.list[..self.len]
    }
}

/// A code with a number of roots, and what follows from that.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    roots: usize,
    /// The coefficients of the generator below the highest, which is 1; the highest power first.
    generator: [u8; MAX_ROOTS],
}

impl Code {
    /// `roots` is from 2 to 24.
    pub(crate) fn new(roots: usize) -> Self {
        debug_assert!((MIN_ROOTS..=MAX_ROOTS).contains(&roots));
        // product of (x - alpha^i)
        let mut product = [0; MAX_ROOTS + 1];
        product[0] = 1;
        for i in 0..roots {
            for j in (0..=i).rev() {
                product[j + 1] ^= multiply(product[j], alpha(i));
            }
        }
        let mut generator = [0; MAX_ROOTS];
        generator.copy_from_slice(&product[1..]);
        Code { roots, generator }
    }

    pub(crate) fn roots(&self) -> usize {
        self.roots
    }

    /// Message symbols of a codeword.
    pub(crate) fn message_symbols(&self) -> usize {
        SYMBOLS - self.roots
    }

    /// The coefficients of the generator but for the first.
    pub(crate) fn generator(&self) -> &[u8] {
        &self.generator[..self.roots]
    }

    /// Takes one more message symbol into a remainder.
    pub(crate) fn step(&self, remainder: &mut [u8], symbol: u8) {
        let factor = symbol ^ remainder[0];
        for t in 0..self.roots {
            let next = if t + 1 < self.roots { remainder[t + 1] } else { 0 };
            remainder[t] = next ^ multiply(factor, self.generator[t]);
        }
    }

    /// The syndromes of a word by the remainder of its message plus its parity: both differ from the word by a multiple of
    /// the generator.
    fn syndromes(&self, difference: &[u8]) -> [u8; MAX_ROOTS] {
        let mut syndromes = [0; MAX_ROOTS];
        for (i, syndrome) in syndromes.iter_mut().enumerate().take(self.roots) {
            *syndrome = difference.iter().fold(0, |sum, &byte| multiply(sum, alpha(i)) ^ byte);
        }
        syndromes
    }

    /// What makes a codeword of a word, if `difference` is the remainder of its message plus its parity, and `erasures` are
    /// the symbols that are known to be lost. `None` if there is none near enough: `2 * errors + erasures <= roots`.
    ///
    /// With more errors than that, the answer may be a codeword that is not the original one.
    pub(crate) fn decode(&self, difference: &[u8], erasures: &[u8]) -> Option<Fix> {
        let (roots, erased) = (self.roots, erasures.len());
        let syndromes = self.syndromes(difference);
        if syndromes.iter().all(|&syndrome| syndrome == 0) {
            return Some(Fix::new());
        }
        if erased > roots {
            return None;
        }
        let lambda = self.locate(&syndromes, erasures)?;
        let degree = lambda.iter().rposition(|&coefficient| coefficient != 0)?;
        if degree > roots {
            return None;
        }
        let mut omega = [0; MAX_ROOTS];
        for i in 0..roots {
            for k in 0..=i.min(degree) {
                omega[i] ^= multiply(lambda[k], syndromes[i - k]);
            }
        }
        let mut fix = Fix::new();
        let mut found = 0;
        let mut left = syndromes;
        for symbol in 0..=254 {
            let x = locator(symbol);
            let inverse = invert(x);
            if evaluate(&lambda[..=degree], inverse) != 0 {
                continue;
            }
            found += 1;
            // of the derivative only the odd powers of lambda are left
            let mut slope = 0;
            for i in (1..=degree).step_by(2) {
                slope ^= multiply(lambda[i], alpha(usize::from(LOG[usize::from(inverse)]) * (i - 1)));
            }
            if slope == 0 {
                return None;
            }
            let value = multiply(x, multiply(evaluate(&omega[..roots], inverse), invert(slope)));
            fix.push(symbol, value);
            for (i, left) in left.iter_mut().enumerate().take(roots) {
                *left ^= multiply(value, alpha(usize::from(LOG[usize::from(x)]) * i));
            }
        }
        // as many places as the locator says, and what they give is a codeword
        (found == degree && left.iter().all(|&syndrome| syndrome == 0)).then_some(fix)
    }

    /// Berlekamp and Massey's algorithm, begun with the locator of the erasures.
    fn locate(&self, syndromes: &[u8], erasures: &[u8]) -> Option<[u8; 2 * MAX_ROOTS]> {
        let erased = erasures.len();
        let mut lambda = [0; 2 * MAX_ROOTS];
        lambda[0] = 1;
        for (i, &symbol) in erasures.iter().enumerate() {
            for j in (0..=i).rev() {
                lambda[j + 1] ^= multiply(lambda[j], locator(symbol));
            }
        }
        let (mut b, mut length) = (lambda, erased);
        for r in erased + 1..=self.roots {
            let discrepancy = (0..r).fold(0, |sum, i| sum ^ multiply(lambda[i], syndromes[r - 1 - i]));
            // times x
            if b[2 * MAX_ROOTS - 1] != 0 {
                return None;
            }
            let mut shifted = b;
            shifted.rotate_right(1);
            if discrepancy == 0 {
                b = shifted;
                continue;
            }
            let mut next = lambda;
            for (next, &shifted) in next.iter_mut().zip(&shifted) {
                *next ^= multiply(discrepancy, shifted);
            }
            if 2 * length < r + erased {
                length = r + erased - length;
                let inverse = invert(discrepancy);
                b = lambda.map(|coefficient| multiply(coefficient, inverse));
            } else {
                b = shifted;
            }
            lambda = next;
        }
        Some(lambda)
    }
}

/// Erasures at known places and no other errors: a linear system, solved once for all codewords with the same erasures.
pub(crate) struct Erasures {
    erasures: Vec<u8>,
    roots: usize,
    /// A row for each erasure gives its value; the others must give 0.
    rows: [[u8; MAX_ROOTS]; MAX_ROOTS],
}

impl Erasures {
    /// `None` for more erasures than roots.
    pub(crate) fn new(code: &Code, erasures: &[u8]) -> Option<Self> {
        let roots = code.roots();
        if erasures.len() > roots {
            return None;
        }
        // what each erased symbol adds to the difference, and next to that the unit matrix
        let mut system = [[0; 2 * MAX_ROOTS]; MAX_ROOTS];
        for (column, &symbol) in erasures.iter().enumerate() {
            let mut remainder = [0; MAX_ROOTS];
            match usize::from(symbol).checked_sub(code.message_symbols()) {
                Some(parity) => remainder[parity] = 1,
                None => {
                    code.step(&mut remainder[..roots], 1);
                    (usize::from(symbol) + 1..code.message_symbols())
                        .for_each(|_| code.step(&mut remainder[..roots], 0));
                }
            }
            for (row, byte) in system.iter_mut().zip(remainder) {
                row[column] = byte;
            }
        }
        for (i, row) in system.iter_mut().enumerate().take(roots) {
            row[MAX_ROOTS + i] = 1;
        }
        for column in 0..erasures.len() {
            // any `roots` columns of the code are independent
            let pivot = (column..roots).find(|&row| system[row][column] != 0)?;
            system.swap(column, pivot);
            let inverse = invert(system[column][column]);
            system[column] = system[column].map(|value| multiply(value, inverse));
            let chosen = system[column];
            for (_, row) in system.iter_mut().enumerate().take(roots).filter(|(row, _)| *row != column) {
                let factor = row[column];
                for (value, &chosen) in row.iter_mut().zip(&chosen) {
                    *value ^= multiply(factor, chosen);
                }
            }
        }
        let mut rows = [[0; MAX_ROOTS]; MAX_ROOTS];
        for (row, solved) in rows.iter_mut().zip(&system) {
            row.copy_from_slice(&solved[MAX_ROOTS..]);
        }
        Some(Erasures { erasures: erasures.to_vec(), roots, rows })
    }

    /// As [`Code::decode`] with these erasures, if there are no errors besides.
    pub(crate) fn solve(&self, difference: &[u8]) -> Option<Fix> {
        let product = |row: &[u8; MAX_ROOTS]| {
            difference.iter().zip(row).fold(0, |sum, (&byte, &factor)| sum ^ multiply(byte, factor))
        };
        if !self.rows[self.erasures.len()..self.roots].iter().all(|row| product(row) == 0) {
            return None;
        }
        let mut fix = Fix::new();
        for (&symbol, row) in self.erasures.iter().zip(&self.rows) {
            fix.push(symbol, product(row));
        }
        Some(fix)
    }
}

/// A polynomial, the lowest power first, at `x`.
fn evaluate(polynomial: &[u8], x: u8) -> u8 {
    polynomial.iter().rev().fold(0, |sum, &coefficient| multiply(sum, x) ^ coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    fn word(code: &Code, message: &[u8]) -> Vec<u8> {
        let mut remainder = vec![0; code.roots()];
        message.iter().for_each(|&symbol| code.step(&mut remainder, symbol));
        [message, &remainder].concat()
    }

    fn difference(code: &Code, word: &[u8]) -> Vec<u8> {
        let mut remainder = vec![0; code.roots()];
        let (message, parity) = word.split_at(code.message_symbols());
        message.iter().for_each(|&symbol| code.step(&mut remainder, symbol));
        remainder.iter().zip(parity).map(|(a, b)| a ^ b).collect()
    }

    #[test]
    fn products_by_table_are_products() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            assert_eq!(multiply(a, b), multiply_slowly(a, b));
        }
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1);
        }
    }

    /// (x - 1)(x - 2) = x² + 3x + 2; that of 24 roots by the reference program.
    #[test]
    fn generators() {
        assert_eq!(Code::new(2).generator(), [3, 2]);
        for roots in MIN_ROOTS..=MAX_ROOTS {
            let code = Code::new(roots);
            for i in 0..roots {
                let value = code.generator().iter().fold(1, |sum, &c| multiply(sum, alpha(i)) ^ c);
                assert_eq!(value, 0, "root {i} of {roots}");
            }
        }
    }

    /// Within the limit, all errors and erasures are found, whatever the others are.
    #[test]
    fn damage_within_the_limit_is_undone() {
        let strategy = (MIN_ROOTS..=MAX_ROOTS).prop_flat_map(|roots| {
            let symbols = Just((0..SYMBOLS as u8).collect::<Vec<_>>()).prop_shuffle();
            (Just(roots), 0..=roots, any::<u64>(), symbols, prop::collection::vec(1..=255_u8, MAX_ROOTS))
        });
        let cases = std::env::var("DDI_FEC_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        runner
            .run(&strategy, |(roots, erased, seed, symbols, values)| {
                let code = Code::new(roots);
                let errors = (roots - erased) / 2;
                let message: Vec<u8> = (0..code.message_symbols() as u64)
                    .map(|i| (seed.wrapping_mul(2 * i + 1) >> 29) as u8)
                    .collect();
                let original = word(&code, &message);
                let mut damaged = original.clone();
                for (i, &symbol) in symbols[..erased + errors].iter().enumerate() {
                    // some of the erasures are of symbols that were right
                    let value = if i < erased && i % 3 == 2 { 0 } else { values[i % MAX_ROOTS] };
                    damaged[usize::from(symbol)] ^= value;
                }
                let fix = code.decode(&difference(&code, &damaged), &symbols[..erased]);
                let fix = fix.expect("within the limit");
                // the same by another way, where there are no errors
                let solved = Erasures::new(&code, &symbols[..erased]).unwrap();
                let solved = solved.solve(&difference(&code, &damaged));
                let sorted = |fix: Fix| {
                    let mut list = fix.symbols().to_vec();
                    list.sort_unstable();
                    list
                };
                if errors == 0 {
                    prop_assert_eq!(solved.map(sorted), Some(sorted(fix)));
                }
                for &(symbol, value) in fix.symbols() {
                    damaged[usize::from(symbol)] ^= value;
                }
                prop_assert_eq!(damaged, original);
                Ok(())
            })
            .unwrap();
    }

    /// Beyond the limit there may be an answer, but it is always a codeword.
    #[test]
    fn whatever_is_found_is_a_codeword() {
        let strategy = (MIN_ROOTS..=MAX_ROOTS, prop::collection::vec(any::<u8>(), MAX_ROOTS), 0..30_usize);
        let mut runner =
            TestRunner::new(Config { cases: 2000, failure_persistence: None, ..Config::default() });
        runner
            .run(&strategy, |(roots, bytes, erased)| {
                let code = Code::new(roots);
                let erasures: Vec<u8> = (0..erased as u8).map(|i| i * 7 + bytes[0] % 7).collect();
                let Some(fix) = code.decode(&bytes[..roots], &erasures) else { return Ok(()) };
                let mut word = vec![0; SYMBOLS];
                word[code.message_symbols()..].copy_from_slice(&bytes[..roots]);
                for &(symbol, value) in fix.symbols() {
                    word[usize::from(symbol)] ^= value;
                }
                prop_assert!(difference(&code, &word).iter().all(|&byte| byte == 0));
                Ok(())
            })
            .unwrap();
    }
}
