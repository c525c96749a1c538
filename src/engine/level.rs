//! A slow, causal and bounded level tracker: brings speech of any level to the level that the content encoder was trained
//! with. A deterministic function of the input; no allocation.

/// Level that speech is brought to, as root mean square.
pub const SPEECH_RMS: f32 = 0.06;

/// Bounds of the gain, up and down, as a factor: 20 dB.
const MAX_GAIN: f32 = 10.0;

/// Hops below this root mean square are silence: -60 dBFS.
const SILENCE_RMS: f32 = 1e-3;

/// Hops that are this much (in power) below the recent peak are pauses: 25 dB.
const PAUSE_RATIO: f32 = 3.16e-3;

/// Decay of the recent peak per hop, in power: 0.5 dB per second.
const PEAK_DECAY: f32 = 0.998_849;

/// Hops over which the level is averaged: 3 s of speech.
const MEMORY_HOPS: f32 = 300.0;

/// Hops that the assumption of a gain of 1 weighs at the start.
const PRIOR_HOPS: f32 = 0.5;

/// Tracks the level of speech, hop by hop.
#[derive(Clone, Debug)]
pub struct LevelTracker {
    /// Mean power of the hops that held speech.
    power: f32,
    /// Hops that `power` stands for, in `PRIOR_HOPS..=MEMORY_HOPS`.
    weight: f32,
    /// Recent largest power of a hop.
    peak: f32,
}

impl Default for LevelTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl LevelTracker {
    /// A tracker that assumes speech of the right level.
    pub fn new() -> Self {
        Self { power: SPEECH_RMS * SPEECH_RMS, weight: PRIOR_HOPS, peak: 0.0 }
    }

    /// Returns to the state of [`LevelTracker::new`].
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Takes one hop and returns the gain to apply to it, in `0.1..=10.0`.
    pub fn push(&mut self, hop: &[f32]) -> f32 {
        let power = crate::dsp::dot(hop, hop) / hop.len().max(1) as f32;
        self.peak = (self.peak * PEAK_DECAY).max(power);
        if power > SILENCE_RMS * SILENCE_RMS && power > self.peak * PAUSE_RATIO {
            self.weight = (self.weight + 1.0).min(MEMORY_HOPS);
            self.power += (power - self.power) / self.weight;
        }
        (SPEECH_RMS / self.power.max(1e-12).sqrt()).clamp(1.0 / MAX_GAIN, MAX_GAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(rms: f32) -> [f32; 160] {
        std::array::from_fn(|n| if n % 2 == 0 { rms } else { -rms })
    }

    #[test]
    fn speech_of_any_level_in_range_comes_to_the_aim() {
        for rms in [0.008, 0.06, 0.3] {
            let mut tracker = LevelTracker::new();
            let gain = (0..300).map(|_| tracker.push(&hop(rms))).last().expect("hops");
            let db = 20.0 * (gain * rms / SPEECH_RMS).log10();
            assert!(db.abs() < 0.5, "rms {rms}: {db} dB off");
        }
    }

    #[test]
    fn half_a_second_is_enough_for_three_decibels() {
        let mut tracker = LevelTracker::new();
        let gain = (0..50).map(|_| tracker.push(&hop(0.02))).last().expect("hops");
        assert!((20.0 * (gain * 0.02 / SPEECH_RMS).log10()).abs() < 3.0);
    }

    #[test]
    fn silence_and_pauses_do_not_move_the_gain() {
        let mut tracker = LevelTracker::new();
        let gain = (0..200).map(|_| tracker.push(&hop(0.1))).last().expect("hops");
        for _ in 0..500 {
            assert_eq!(tracker.push(&hop(0.0)), gain);
            assert_eq!(tracker.push(&hop(0.0015)), gain);
        }
    }

    #[test]
    fn the_gain_is_bounded() {
        let mut tracker = LevelTracker::new();
        for _ in 0..1000 {
            assert!((0.1..=10.0).contains(&tracker.push(&hop(1000.0))));
        }
        tracker.reset();
        for _ in 0..1000 {
            assert!((0.1..=10.0).contains(&tracker.push(&hop(0.0012))));
        }
    }
}
