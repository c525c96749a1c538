//! The keyed pattern: which sign each band has in each slot, and which coded bit it carries.
//!
//! A slot is two hops long; the pattern repeats after [`PERIOD_SLOTS`] slots. Positions are absolute, so any partition
//! of the sound gives the same mark.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::code::CODE_BITS;

/// Rate at which marks are put in, in Hz: the engine's.
pub const MARK_RATE: u32 = 48_000;

/// Samples of a hop at [`MARK_RATE`]: the engine's.
pub const HOP_LEN: usize = 480;

/// Hops of one slot: 20 ms. In the first one the gains move from the last slot's, in the second one they stand.
pub const SLOT_HOPS: u64 = 2;

/// Slots after which the pattern begins again: 2.56 s.
pub const PERIOD_SLOTS: usize = 128;

/// Bands that carry the mark.
pub const BANDS: usize = 44;

/// Centre of the lowest band, distance of the centres and width of a band, in Hz: 300 to 6 750 Hz, so that a file at
/// 16 kHz keeps all of it.
pub const LOWEST_HZ: f32 = 300.0;
/// Distance between the centres of neighbouring bands, and width of a band, in Hz.
pub const STEP_HZ: f32 = 150.0;

/// The key of all Coffre programs. It is no secret: everybody may verify.
pub const PUBLIC_KEY: &[u8] = b"coffre provenance 0";

/// What a chip carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Coded bit, in `0..CODE_BITS`.
    pub bit: u8,
    /// Whether the sign is turned.
    pub is_turned: bool,
}

/// The chips of one period, `[PERIOD_SLOTS][BANDS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    chips: Vec<[Chip; BANDS]>,
}

impl Pattern {
    /// The pattern of a key: signs and places from SHA-256 of key and counter.
    pub fn new(key: &[u8]) -> Self {
        let mut stream = KeyStream::new(key);
        let mut bits: Vec<u8> = (0..PERIOD_SLOTS * BANDS).map(|chip| (chip % CODE_BITS) as u8).collect();
        // Fisher-Yates; the bias of the remainder is below 2^-19.
        for last in (1..bits.len()).rev() {
            bits.swap(last, stream.next() as usize % (last + 1));
        }
        let mut bits = bits.into_iter();
        let mut chip = || Chip { bit: bits.next().unwrap_or(0), is_turned: stream.next() & 1 == 1 };
        Self { chips: (0..PERIOD_SLOTS).map(|_| std::array::from_fn(|_| chip())).collect() }
    }

    /// The pattern of [`PUBLIC_KEY`]; made once per process.
    pub fn public() -> &'static Self {
        static PUBLIC: OnceLock<Pattern> = OnceLock::new();
        PUBLIC.get_or_init(|| Self::new(PUBLIC_KEY))
    }

    /// The chips of a slot, counted from position 0 of the stream.
    pub fn slot(&self, slot: u64) -> &[Chip; BANDS] {
        &self.chips[(slot % PERIOD_SLOTS as u64) as usize]
    }
}

/// SHA-256 in counter mode.
struct KeyStream {
    key: Vec<u8>,
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl KeyStream {
    fn new(key: &[u8]) -> Self {
        Self { key: key.to_vec(), counter: 0, block: [0; 32], used: 32 }
    }

    fn next(&mut self) -> u32 {
        if self.used == self.block.len() {
            let hash = Sha256::new().chain_update(&self.key).chain_update(self.counter.to_le_bytes());
            (self.block, self.used) = (hash.finalize().into(), 0);
            self.counter += 1;
        }
        let word = self.block[self.used..].iter().take(4).fold(0, |word, byte| word << 8 | u32::from(*byte));
        self.used += 4;
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_its_share_and_signs_are_balanced() {
        let pattern = Pattern::public();
        let mut counts = [0; CODE_BITS];
        let mut turned = 0;
        for chip in pattern.chips.as_flattened() {
            counts[usize::from(chip.bit)] += 1;
            turned += u32::from(chip.is_turned);
        }
        assert!(counts.iter().all(|count| (39..=40).contains(count)), "{counts:?}");
        // Four standard deviations around half of 5 632.
        assert!((2_666..=2_966).contains(&turned), "{turned}");
    }

    #[test]
    fn the_public_pattern_never_changes() {
        // Marks in files out there are found with exactly this pattern.
        let mut hash = Sha256::new();
        for chip in Pattern::public().chips.as_flattened() {
            hash.update([chip.bit, u8::from(chip.is_turned)]);
        }
        assert_eq!(hash.finalize()[..4], [231, 252, 44, 193]);
        assert_ne!(Pattern::new(b"another"), *Pattern::public());
    }
}
