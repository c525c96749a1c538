//! Keeps the loudness of re-pitched grains at that of the source.
//!
//! A periodic signal made of one grain `g` per period `T` has the harmonics `G(k / T) / T`. Comparing them for the source's
//! and the output's period tells how loud the output will be before it is made; the classic law `sqrt(T' / T)`
//! is off by several dB where few harmonics meet a steep spectrum. Plain arithmetic on the engine's thread.

use realfft::num_complex::Complex32;

use crate::engine::ENGINE_RATE;

/// Time over which the correction is smoothed, in samples (30 ms).
const SMOOTHING: f32 = 1440.0;

/// Largest departure from the classic law, in nepers (14 dB).
const MAX_CORRECTION: f32 = 1.6;

/// Corrections smaller than this count as none, in nepers.
const NEGLIGIBLE: f32 = 1e-4;

/// Highest frequency that is compared, in Hz.
const TOP_HZ: f32 = 12_000.0;

/// Smoothed gain of a voiced stretch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leveller {
    /// Nepers over the classic law; `None` before the first grain of a stretch.
    correction: Option<f32>,
}

impl Leveller {
    /// Begins a new voiced stretch.
    pub fn reset(&mut self) {
        self.correction = None;
    }

    /// Gain for a grain that passes through unchanged.
    pub fn gain_unchanged(&mut self, period: f32) -> f32 {
        self.smooth(0.0, period).exp()
    }

    /// Gain for a grain with the spectrum `source` before and `output` after its filter, both transforms of the length
    /// `len`, whose period becomes `output_period` samples instead of `source_period`.
    pub fn gain(
        &mut self,
        source: &[f32],
        output: &[Complex32],
        len: usize,
        source_period: f32,
        output_period: f32,
    ) -> f32 {
        let before = harmonic_power(|bin| source[bin], len, source_period);
        let after = harmonic_power(|bin| output[bin].norm_sqr(), len, output_period);
        let classic = 0.5 * (output_period / source_period).ln();
        let wanted = if before > 0.0 && after > 0.0 { 0.5 * (before / after).ln() - classic } else { 0.0 };
        let wanted = if wanted.is_finite() { wanted.clamp(-MAX_CORRECTION, MAX_CORRECTION) } else { 0.0 };
        (classic + self.smooth(wanted, output_period)).exp()
    }

    fn smooth(&mut self, wanted: f32, step: f32) -> f32 {
        let old = self.correction.unwrap_or(wanted);
        let new = old + (wanted - old) * (1.0 - (-step / SMOOTHING).exp());
        let new = if (new - wanted).abs() < NEGLIGIBLE { wanted } else { new };
        self.correction = Some(new);
        new
    }
}

/// Loudness-weighted power of the harmonics of a grain repeated every `period` samples.
fn harmonic_power(power_at: impl Fn(usize) -> f32, len: usize, period: f32) -> f32 {
    let bins_per_harmonic = len as f32 / period;
    let hz_per_harmonic = ENGINE_RATE as f32 / period;
    let harmonics = (TOP_HZ / hz_per_harmonic).max(1.0) as usize;
    let mut sum = 0.0;
    for k in 1..=harmonics {
        let place = k as f32 * bins_per_harmonic;
        let low = place as usize;
        if low + 1 > len / 2 {
            break;
        }
        let fraction = place - low as f32;
        let power = power_at(low) * (1.0 - fraction) + power_at(low + 1) * fraction;
        sum += power * weight(k as f32 * hz_per_harmonic);
    }
    sum / (period * period)
}

/// How much a frequency counts for loudness: broadly around 1.5 kHz.
fn weight(hz: f32) -> f32 {
    let octaves = (hz / 1500.0).log2();
    (-octaves * octaves / 6.0).exp() + 0.02
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grain_that_changes_neither_period_nor_spectrum_keeps_its_level() {
        let power: Vec<f32> = (0..1025).map(|n| 1.0 / (1.0 + n as f32)).collect();
        let spectrum: Vec<Complex32> = power.iter().map(|p| Complex32::new(p.sqrt(), 0.0)).collect();
        let gain = Leveller::default().gain(&power, &spectrum, 2048, 200.0, 200.0);
        assert!((gain - 1.0).abs() < 1e-4, "{gain}");
    }

    #[test]
    fn an_impulse_follows_the_classic_law() {
        let power = vec![1.0; 1025];
        let spectrum = vec![Complex32::new(1.0, 0.0); 1025];
        let gain = Leveller::default().gain(&power, &spectrum, 2048, 400.0, 200.0);
        assert!((gain - 0.5_f32.sqrt()).abs() < 0.03, "{gain}");
    }

    #[test]
    fn a_filter_that_doubles_the_amplitude_is_undone() {
        let power = vec![1.0; 1025];
        let spectrum = vec![Complex32::new(2.0, 0.0); 1025];
        let gain = Leveller::default().gain(&power, &spectrum, 2048, 300.0, 300.0);
        assert!((gain - 0.5).abs() < 1e-3, "{gain}");
    }
}
