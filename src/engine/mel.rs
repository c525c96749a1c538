//! The log-mel frames that the content encoder reads: one frame per hop of 160 samples at 16 kHz.
//!
//! Allocates in [`MelExtractor::new`] only. Knows no encoder; the layout is the encoder's contract.

use realfft::num_complex::Complex32;

use crate::dsp::dot;
use crate::dsp::fft::RealFft;
use crate::dsp::window::hann_periodic;

/// Bands of a mel frame.
pub const MEL_BANDS: usize = 80;

/// Sample rate of the input, in Hz.
pub const MEL_RATE: u32 = 16_000;

/// Samples per hop at [`MEL_RATE`]: 10 ms.
pub const MEL_HOP_LEN: usize = 160;

/// Samples of the Hann window at [`MEL_RATE`]: 20 ms.
pub const MEL_WINDOW_LEN: usize = 320;

const FFT_LEN: usize = 512;
const PRE_EMPHASIS: f32 = 0.97;
const LOWEST_HZ: f64 = 50.0;
const HIGHEST_HZ: f64 = 7600.0;
/// Power added before the logarithm; the encoder was trained with it.
const FLOOR: f32 = 1e-6;
/// Mean and scale that the encoder was trained with: `(ln(power + FLOOR) - MEAN) / SCALE`.
const MEAN: f32 = -7.0;
const SCALE: f32 = 3.0;

/// One triangle: its first bin and its weights, which sum to 1.
#[derive(Debug)]
struct Triangle {
    first_bin: usize,
    weights: Box<[f32]>,
}

/// Streaming log-mel analysis.
///
/// After `k + 1` hops the newest frame covers the samples `[160 (k - 1), 160 (k + 1))`.
#[derive(Debug)]
pub struct MelExtractor {
    fft: RealFft,
    window: Box<[f32]>,
    triangles: Box<[Triangle]>,
    /// The pre-emphasised samples of the newest window.
    line: Box<[f32]>,
    last_sample: f32,
    samples: Box<[f32]>,
    spectrum: Box<[Complex32]>,
    power: Box<[f32]>,
}

impl Default for MelExtractor {
    fn default() -> Self {
        Self::new()
    }
}

impl MelExtractor {
    /// An extractor that has heard silence.
    pub fn new() -> Self {
        let fft = RealFft::new(FFT_LEN);
        let bins = fft.bins();
        Self {
            fft,
            window: hann_periodic(MEL_WINDOW_LEN),
            triangles: triangles(bins),
            line: vec![0.0; MEL_WINDOW_LEN].into_boxed_slice(),
            last_sample: 0.0,
            samples: vec![0.0; FFT_LEN].into_boxed_slice(),
            spectrum: vec![Complex32::default(); bins].into_boxed_slice(),
            power: vec![0.0; bins].into_boxed_slice(),
        }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
        self.last_sample = 0.0;
    }

    /// Takes one hop and writes the frame of the newest window, as if the input had been multiplied by `gain`.
    ///
    /// # Panics
    /// When `hop` does not hold [`MEL_HOP_LEN`] samples.
    pub fn push(&mut self, hop: &[f32], gain: f32, frame: &mut [f32; MEL_BANDS]) {
        assert_eq!(hop.len(), MEL_HOP_LEN);
        self.line.copy_within(MEL_HOP_LEN.., 0);
        for (slot, &sample) in self.line[MEL_WINDOW_LEN - MEL_HOP_LEN..].iter_mut().zip(hop) {
            *slot = sample - PRE_EMPHASIS * self.last_sample;
            self.last_sample = sample;
        }
        for ((out, sample), window) in self.samples.iter_mut().zip(&self.line).zip(&self.window) {
            *out = sample * window;
        }
        self.samples[MEL_WINDOW_LEN..].fill(0.0);
        self.fft.forward(&mut self.samples, &mut self.spectrum);
        for (power, bin) in self.power.iter_mut().zip(&self.spectrum) {
            *power = bin.norm_sqr();
        }
        let power_gain = gain * gain;
        for (value, triangle) in frame.iter_mut().zip(&self.triangles) {
            let stretch = &self.power[triangle.first_bin..triangle.first_bin + triangle.weights.len()];
            let power = power_gain * dot(stretch, &triangle.weights);
            *value = ((power + FLOOR).ln() - MEAN) / SCALE;
        }
    }
}

/// Triangles with equally spaced edges on `1127 ln(1 + f / 700)`, sampled at the bin frequencies.
fn triangles(bins: usize) -> Box<[Triangle]> {
    let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
    let hz = |mel: f64| 700.0 * ((mel / 1127.0).exp() - 1.0);
    let step = (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) / (MEL_BANDS + 1) as f64;
    let edge = |index: usize| hz(mel(LOWEST_HZ) + step * index as f64);
    let bin_hz = f64::from(MEL_RATE) / FFT_LEN as f64;
    (0..MEL_BANDS)
        .map(|band| {
            let (low, centre, high) = (edge(band), edge(band + 1), edge(band + 2));
            let weight = |bin: usize| {
                let f = bin as f64 * bin_hz;
                ((f - low) / (centre - low)).min((high - f) / (high - centre)).max(0.0)
            };
            let first = (0..bins).find(|&bin| weight(bin) > 0.0);
            let Some(first_bin) = first else {
                // A triangle between two bins: the nearest bin speaks for it.
                let nearest = ((centre / bin_hz).round() as usize).min(bins - 1);
                return Triangle { first_bin: nearest, weights: Box::new([1.0]) };
            };
            let raw: Vec<f64> = (first_bin..bins).map(weight).take_while(|&w| w > 0.0).collect();
            let sum: f64 = raw.iter().sum();
            Triangle { first_bin, weights: raw.iter().map(|w| (w / sum) as f32).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_gives_the_floor() {
        let mut frame = [0.0; MEL_BANDS];
        MelExtractor::new().push(&[0.0; MEL_HOP_LEN], 1.0, &mut frame);
        let expected = (FLOOR.ln() - MEAN) / SCALE;
        assert!(frame.iter().all(|value| (value - expected).abs() < 1e-6));
    }

    #[test]
    fn a_sine_peaks_in_its_band_with_the_power_of_the_formula() {
        // Band whose centre is nearest to 1 kHz, by the formula.
        let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
        let step = (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) / 81.0;
        let expected = ((mel(1000.0) - mel(LOWEST_HZ)) / step).round() as usize - 1;
        let mut extractor = MelExtractor::new();
        let mut frame = [0.0; MEL_BANDS];
        for hop in 0..4 {
            let samples: Vec<f32> = (0..MEL_HOP_LEN)
                .map(|n| (std::f32::consts::TAU * 1000.0 * (hop * MEL_HOP_LEN + n) as f32 / 16_000.0).sin() * 0.1)
                .collect();
            extractor.push(&samples, 1.0, &mut frame);
        }
        let peak = (0..MEL_BANDS).max_by(|&a, &b| frame[a].total_cmp(&frame[b])).expect("not empty");
        assert!(peak.abs_diff(expected) <= 1, "{peak} {expected}");
    }

    #[test]
    fn gain_acts_like_a_louder_input() {
        let hop: Vec<f32> = (0..MEL_HOP_LEN).map(|n| ((n * n) as f32 * 0.01).sin() * 0.01).collect();
        let louder: Vec<f32> = hop.iter().map(|sample| sample * 4.0).collect();
        let (mut a, mut b) = ([0.0; MEL_BANDS], [0.0; MEL_BANDS]);
        MelExtractor::new().push(&hop, 4.0, &mut a);
        MelExtractor::new().push(&louder, 1.0, &mut b);
        for (x, y) in a.iter().zip(&b) {
            assert!((x - y).abs() < 1e-4);
        }
    }
}
