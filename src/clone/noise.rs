//! The noise floor of recordings: measured in their pauses, subtracted from every frame.
//!
//! A bank with hiss would put the hiss into every converted consonant. Spectral subtraction after Boll (1979), on
//! power, with a floor.

use super::FeatureFrame;
use crate::engine::bands::ENV_BANDS;
use crate::engine::loudness::LoudnessMeter;

/// Share of the quietest frames that count as pauses.
const PAUSES: f32 = 0.06;

/// Least frames of pause to say anything.
const LEAST_FRAMES: usize = 20;

/// Remaining level of a band that holds only noise: 10 dB down.
const REMAINDER: f32 = 0.1;

/// Envelope of digital silence plus half a decibel; such frames say nothing about the recording's noise.
pub(super) const DIGITAL_SILENCE: f32 = -20.6;

/// Mean power of the noise per band.
#[derive(Clone, Debug)]
pub struct NoiseFloor {
    power: [f32; ENV_BANDS],
    meter: LoudnessMeter,
}

impl NoiseFloor {
    /// Measures the floor in the quietest frames; `None` when the recordings have no pauses or digital silence there.
    pub fn estimate(takes: &[Vec<FeatureFrame>]) -> Option<Self> {
        let meter = LoudnessMeter::new();
        let silence = meter.loudness(&[DIGITAL_SILENCE; ENV_BANDS]);
        let sounding = || takes.iter().flatten().filter(|frame| frame.loudness > silence);
        let mut loudness: Vec<f32> = sounding().map(|frame| frame.loudness).collect();
        loudness.sort_by(f32::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let limit = *loudness.get((loudness.len() as f32 * PAUSES) as usize)?;
        let mut power = [0.0_f64; ENV_BANDS];
        let mut count = 0;
        for frame in sounding().filter(|frame| frame.loudness <= limit && !frame.is_voiced()) {
            count += 1;
            power.iter_mut().zip(&frame.envelope).for_each(|(sum, value)| *sum += f64::from(value.exp()));
        }
        if count < LEAST_FRAMES {
            return None;
        }
        Some(Self { power: power.map(|sum| (sum / count as f64) as f32), meter })
    }

    /// Subtracts the floor from a frame and measures its loudness again.
    pub fn remove(&self, frame: &mut FeatureFrame) {
        for (value, noise) in frame.envelope.iter_mut().zip(&self.power) {
            let power = value.exp();
            *value = (power - noise).max(REMAINDER * power).max(1e-12).ln();
        }
        frame.loudness = self.meter.loudness(&frame.envelope);
    }

    /// Mean power of the noise per band.
    pub fn power(&self) -> &[f32; ENV_BANDS] {
        &self.power
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(signal: f32, noise: f32) -> FeatureFrame {
        let envelope = [(signal + noise).ln(); ENV_BANDS];
        let loudness = LoudnessMeter::new().loudness(&envelope);
        FeatureFrame { f0_hz: if signal > 0.0 { 150.0 } else { 0.0 }, loudness, envelope, key: None }
    }

    #[test]
    fn noise_of_the_pauses_is_taken_off_the_speech() {
        let mut takes = vec![vec![frame(0.0, 1e-4); 60], vec![frame(3e-4, 1e-4); 400]];
        let floor = NoiseFloor::estimate(&takes).expect("there are pauses");
        takes.iter_mut().flatten().for_each(|frame| floor.remove(frame));
        let speech = &takes[1][0];
        assert!((speech.envelope[40] - 3e-4_f32.ln()).abs() < 0.02, "{}", speech.envelope[40]);
        assert!((takes[0][0].envelope[40] - 1e-5_f32.ln()).abs() < 0.02);
        assert!((speech.loudness - LoudnessMeter::new().loudness(&speech.envelope)).abs() < 1e-5);
    }

    #[test]
    fn digital_silence_is_no_noise_floor() {
        assert!(NoiseFloor::estimate(&[]).is_none());
        assert!(NoiseFloor::estimate(&[vec![frame(0.0, 1e-9); 500]]).is_none());
    }
}
