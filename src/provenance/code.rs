//! The error-correcting code: a convolutional code of rate 1/3 and memory 8 without tail bits, decoded softly.
//!
//! Generators 557, 663, 711 (octal), the best of that length by free distance (Larsen 1973, table I). Tail-biting: the
//! encoder starts in the state in which it ends, so no bit is spent on a known end, and the decoder goes round.

use super::payload::PAYLOAD_BITS;

/// Coded bits of one payload.
pub const CODE_BITS: usize = 3 * PAYLOAD_BITS;

const GENERATORS: [u32; 3] = [0o557, 0o663, 0o711];
const MEMORY: usize = 8;
const STATES: usize = 1 << MEMORY;

/// Rounds of the decoder; the middle one counts.
const ROUNDS: usize = 3;

/// Encodes a payload.
pub fn encode(bits: &[bool; PAYLOAD_BITS]) -> [bool; CODE_BITS] {
    // The register holds the newest bit on top.
    let mut register = bits[PAYLOAD_BITS - MEMORY..].iter().fold(0_u32, |r, bit| r >> 1 | u32::from(*bit) << MEMORY);
    let mut code = [false; CODE_BITS];
    for (bit, out) in bits.iter().zip(code.as_chunks_mut::<3>().0) {
        register = register >> 1 | u32::from(*bit) << MEMORY;
        *out = GENERATORS.map(|generator| (register & generator).count_ones() % 2 == 1);
    }
    code
}

/// The likeliest payload: Viterbi's algorithm around the circle. `soft` is positive where a coded bit seems set.
pub fn decode(soft: &[f32; CODE_BITS]) -> [bool; PAYLOAD_BITS] {
    let steps = ROUNDS * PAYLOAD_BITS;
    let mut scores = [0.0_f32; STATES];
    // For each step and state, the lowest bit of the best state before.
    let mut choices = vec![[false; STATES]; steps];
    let triples = soft.as_chunks::<3>().0;
    for (step, choice) in choices.iter_mut().enumerate() {
        let [a, b, c] = triples[step % PAYLOAD_BITS];
        // Score of each of the eight outputs.
        let branch: [f32; 8] = std::array::from_fn(|output| {
            let sign = |bit: usize, value: f32| if output >> bit & 1 == 1 { value } else { -value };
            sign(0, a) + sign(1, b) + sign(2, c)
        });
        let mut next = [0.0; STATES];
        for (state, next) in next.iter_mut().enumerate() {
            // The register on entering `state` is `state` above the bit that falls out.
            let register = (state as u32) << 1;
            let before = (state << 1) & (STATES - 1);
            let score = |lost: usize| scores[before | lost] + branch[output(register | lost as u32)];
            let (zero, one) = (score(0), score(1));
            choice[state] = one > zero;
            *next = one.max(zero);
        }
        scores = next;
    }
    let best = |best: usize, state: usize| if scores[state] > scores[best] { state } else { best };
    let mut state = (0..STATES).fold(0, best);
    let mut bits = [false; PAYLOAD_BITS];
    for (step, choice) in choices.iter().enumerate().rev() {
        if step / PAYLOAD_BITS == ROUNDS / 2 {
            bits[step % PAYLOAD_BITS] = state >> (MEMORY - 1) == 1;
        }
        state = (state << 1) & (STATES - 1) | usize::from(choice[state]);
    }
    bits
}

/// The three coded bits of a register, as a number.
fn output(register: u32) -> usize {
    GENERATORS
        .iter()
        .enumerate()
        .fold(0, |output, (bit, generator)| output | (((register & generator).count_ones() % 2) as usize) << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(seed: u64) -> [bool; PAYLOAD_BITS] {
        let word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed << 17;
        std::array::from_fn(|bit| word >> bit & 1 == 1)
    }

    fn soft(code: &[bool; CODE_BITS]) -> [f32; CODE_BITS] {
        code.map(|bit| if bit { 1.0 } else { -1.0 })
    }

    #[test]
    fn clean_words_come_back() {
        for seed in 0..50 {
            assert_eq!(decode(&soft(&encode(&payload(seed)))), payload(seed));
        }
    }

    #[test]
    fn eight_wrong_bits_anywhere_are_corrected() {
        // The free distance is 18, so any 8 errors can be.
        for seed in 0..50_usize {
            let mut word = soft(&encode(&payload(seed as u64)));
            for error in 0..8 {
                let at = (seed * 31 + error * (1 + seed % 19)) % CODE_BITS;
                word[at] = -word[at].abs() * word[at].signum();
            }
            assert_eq!(decode(&word), payload(seed as u64), "{seed}");
        }
    }

    #[test]
    fn missing_bits_cost_nothing_but_certainty() {
        let mut word = soft(&encode(&payload(7)));
        for bit in word.iter_mut().skip(2).step_by(3) {
            *bit = 0.0;
        }
        assert_eq!(decode(&word), payload(7));
    }

    #[test]
    fn the_code_is_linear_and_the_zero_word_is_zero() {
        let (a, b) = (payload(3), payload(4));
        let sum = std::array::from_fn(|bit| a[bit] != b[bit]);
        let (code_a, code_b) = (encode(&a), encode(&b));
        assert_eq!(encode(&sum), std::array::from_fn(|bit| code_a[bit] != code_b[bit]));
        assert_eq!(encode(&[false; PAYLOAD_BITS]), [false; CODE_BITS]);
    }
}
