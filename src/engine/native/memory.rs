//! What is remembered of each hop until its sound is heard: parameters, phones, pitch, gate.
//!
//! Owned by one engine, used on its thread. Allocates in [`Memory::new`] only.

use crate::engine::content::PHONES;
use crate::engine::{HOP_LEN, HopParams};

/// Hops that are remembered; a power of two longer than the latency of mix mode.
pub const MEMORY_HOPS: usize = 64;

/// What was heard of the singer in one hop.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Probabilities of the phones; all 0 where nothing is known.
    pub phones: [f32; PHONES],
    /// Pitch that will be heard, in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Gain of the gate, in `0.0..=1.0`.
    pub gate: f32,
}

impl Heard {
    /// Nothing.
    pub const NOTHING: Self = Self { phones: [0.0; PHONES], f0_hz: 0.0, gate: 0.0 };
}

/// The newest hops.
#[derive(Debug)]
pub struct Memory {
    /// Hops since the last reset.
    hops: usize,
    /// By hop, counted from 0.
    params: [HopParams; MEMORY_HOPS],
    /// By hop, counted from 1.
    heard: Box<[Heard; MEMORY_HOPS]>,
    /// Hops from what was heard to the sound that is made of it.
    lag_hops: usize,
}

impl Memory {
    /// Nothing yet. Sound is made of what was heard so many hops before.
    pub fn new(lag_hops: usize) -> Self {
        Self {
            hops: 0,
            params: [HopParams::default(); MEMORY_HOPS],
            heard: Box::new([Heard::NOTHING; MEMORY_HOPS]),
            lag_hops,
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.hops = 0;
        self.heard.fill(Heard::NOTHING);
    }

    /// A hop begins, with these parameters.
    pub fn begin(&mut self, params: &HopParams) {
        self.params[self.hops % MEMORY_HOPS] = *params;
        self.hops += 1;
    }

    /// What was heard in the hop that began last.
    pub fn hear(&mut self, heard: Heard) {
        self.heard[self.hops % MEMORY_HOPS] = heard;
    }

    /// Whether the hop that began last is the first one.
    pub fn is_first(&self) -> bool {
        self.hops == 1
    }

    /// Parameters of the audio at an absolute sample position.
    pub fn params_at(&self, position: i64) -> HopParams {
        let newest = self.newest();
        self.params[self.known(position, newest.max(0)) as usize % MEMORY_HOPS]
    }

    /// Parameters from an absolute sample position to the newest ones.
    pub fn params_since(&self, position: i64) -> impl Iterator<Item = &HopParams> {
        let newest = self.newest();
        (self.known(position, newest)..=newest).map(|hop| &self.params[hop as usize % MEMORY_HOPS])
    }

    fn newest(&self) -> i64 {
        self.hops as i64 - 1
    }

    /// The hop at a position, of those that are remembered and not later than `newest`.
    fn known(&self, position: i64, newest: i64) -> i64 {
        let oldest = (self.newest() - MEMORY_HOPS as i64 + 1).max(0);
        position.div_euclid(HOP_LEN as i64).clamp(oldest, newest)
    }

    /// Probabilities of the phones of the sound so many hops before the end of the hop that is made now; all 0 where
    /// nothing is known.
    pub fn phones(&self, age_hops: usize) -> &[f32; PHONES] {
        &self.at(age_hops).phones
    }

    /// Pitch of that sound in Hz; 0.0 = unvoiced.
    pub fn f0_hz(&self, age_hops: usize) -> f32 {
        self.at(age_hops).f0_hz
    }

    /// Gain of the gate at that sound, in `0.0..=1.0`.
    pub fn gate(&self, age_hops: usize) -> f32 {
        self.at(age_hops).gate
    }

    fn at(&self, age_hops: usize) -> &Heard {
        let age = self.lag_hops + age_hops;
        if self.hops > age && age < MEMORY_HOPS {
            &self.heard[(self.hops - age) % MEMORY_HOPS]
        } else {
            &Heard::NOTHING
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hop_is_known_until_its_sound_is_made_and_nothing_before_or_after() {
        let mut memory = Memory::new(3);
        for hop in 0..150 {
            memory.begin(&HopParams { likeness: hop as f32, ..HopParams::default() });
            memory.hear(Heard { f0_hz: hop as f32 + 1.0, gate: 1.0, ..Heard::NOTHING });
            for age in 0..70 {
                let told = if age + 3 < MEMORY_HOPS { (hop as f32 - 2.0 - age as f32).max(0.0) } else { 0.0 };
                assert_eq!(memory.f0_hz(age), told, "hop {hop}, {age} hops ago");
            }
            let position = |hops: i64| (hop - hops) * HOP_LEN as i64;
            assert_eq!(memory.params_at(position(2)).likeness, (hop as f32 - 2.0).max(0.0));
            assert_eq!(memory.params_since(position(2)).count() as i64, 3.min(hop + 1));
            assert_eq!(memory.params_since(i64::MIN).count() as i64, (hop + 1).min(MEMORY_HOPS as i64));
        }
        memory.reset();
        memory.begin(&HopParams::default());
        assert!(memory.is_first());
        assert_eq!((memory.f0_hz(0), memory.gate(0)), (0.0, 0.0));
    }
}
