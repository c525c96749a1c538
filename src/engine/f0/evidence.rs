//! How voiced a frame is: correlation, level against the recent past, and how much of the power is low.

use super::F0_HOP_LEN;
use crate::dsp::dot;

/// Weights of the logistic model `1 / (1 + exp(-(BIAS + sum weight * feature)))`, fitted to read speech of 26 speakers
/// with the voicing of another tracker (SwiftF0) as truth.
const BIAS: f32 = -2.9;
const CORRELATION_WEIGHT: f32 = 7.8;
const LEVEL_WEIGHT: f32 = 0.08;
const LOW_BAND_WEIGHT: f32 = 0.035;

/// Decay of the recent peak power per hop: 3 dB per second.
const PEAK_DECAY: f32 = 0.993_116;

/// Power under which nothing counts as loud: -70 dBFS.
const QUIET: f32 = 1e-7;

/// Hops of power that are kept.
const HOPS: usize = 4;

/// Streaming voicing evidence.
#[derive(Clone, Debug, Default)]
pub struct VoicingEvidence {
    /// Mean power per hop of the whole band and of what the prefilter passes, newest last.
    powers: [(f32, f32); HOPS],
    /// Recent largest power of a frame in the low band.
    peak: f32,
}

impl VoicingEvidence {
    /// Forgets all audio.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a hop before and after the prefilter.
    pub fn push(&mut self, hop: &[f32], filtered: &[f32; F0_HOP_LEN]) {
        self.powers.rotate_left(1);
        let len = F0_HOP_LEN as f32;
        self.powers[HOPS - 1] = (dot(hop, hop) / len, dot(filtered, filtered) / len);
        let (_, low) = self.power(0);
        self.peak = (self.peak * PEAK_DECAY).max(low);
    }

    /// Power around a frame centre that lies `ahead` (0 to 2) hops after the newest frame's, which in turn lies between
    /// the first and the second of the four hops: of the whole band and of the low band.
    fn power(&self, ahead: usize) -> (f32, f32) {
        let (a, b) = (self.powers[ahead], self.powers[ahead + 1]);
        (0.5 * (a.0 + b.0), 0.5 * (a.1 + b.1))
    }

    /// Level of that frame against the recent loudest, and of the low band against the whole one, in dB; both at most 0.
    pub fn levels_db(&self, ahead: usize) -> [f32; 2] {
        let (whole, low) = self.power(ahead);
        [self.peak, whole].map(|other| 10.0 * ((low + QUIET) / (other + QUIET)).log10().min(0.0))
    }

    /// Probability that the newest frame is voiced, given the correlation of its best candidate.
    pub fn voicing(&self, correlation: f32) -> f32 {
        let [level_db, low_band_db] = self.levels_db(0);
        let sum = BIAS + CORRELATION_WEIGHT * correlation + LEVEL_WEIGHT * level_db + LOW_BAND_WEIGHT * low_band_db;
        1.0 / (1.0 + (-sum).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loud_low_and_regular_sound_is_voiced_and_each_counts() {
        let voicing = |before: f32, now: f32, low_share: f32, correlation: f32| {
            let mut evidence = VoicingEvidence::default();
            for hop in 0..8 {
                let level = if hop < 4 { before } else { now };
                let whole: Vec<f32> = (0..F0_HOP_LEN).map(|n| if n % 2 == 0 { level } else { -level }).collect();
                let low: [f32; F0_HOP_LEN] = std::array::from_fn(|n| whole[n] * low_share);
                evidence.push(&whole, &low);
            }
            evidence.voicing(correlation)
        };
        let vowel = voicing(0.1, 0.1, 1.0, 0.95);
        assert!(vowel > 0.95, "{vowel}");
        assert!(voicing(0.1, 0.1, 1.0, 0.3) < 0.5);
        assert!(voicing(0.1, 0.002, 1.0, 0.6) < voicing(0.1, 0.1, 1.0, 0.6) - 0.2);
        assert!(voicing(0.1, 0.1, 0.05, 0.6) < voicing(0.1, 0.1, 1.0, 0.6));
    }
}
