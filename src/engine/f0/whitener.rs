//! Flattens the spectral envelope of a stretch of signal by linear prediction (autocorrelation method, Makhoul 1975).

use crate::dsp::dot;
use crate::dsp::window::hann_periodic;

const ORDER: usize = 10;

/// White noise that is assumed in the signal, as a share of its power: -30 dB. Keeps empty bands from being raised to
/// the level of the voice.
const NOISE_SHARE: f32 = 1e-3;

/// Inverse filter of one stretch at a time.
#[derive(Debug)]
pub struct Whitener {
    window: Box<[f32]>,
    windowed: Box<[f32]>,
}

impl Whitener {
    /// A whitener for stretches of `len` samples.
    pub fn new(len: usize) -> Self {
        Self { window: hann_periodic(len), windowed: vec![0.0; len].into_boxed_slice() }
    }

    /// Writes the prediction residual of `samples`; both hold the promised length. The first samples are copied.
    pub fn whiten(&mut self, samples: &[f32], out: &mut [f32]) {
        for ((windowed, sample), weight) in self.windowed.iter_mut().zip(samples).zip(&self.window) {
            *windowed = sample * weight;
        }
        let len = self.windowed.len();
        let mut correlation = [0.0_f32; ORDER + 1];
        for (lag, value) in correlation.iter_mut().enumerate() {
            *value = dot(&self.windowed[..len - lag], &self.windowed[lag..]);
        }
        correlation[0] = correlation[0] * (1.0 + NOISE_SHARE) + 1e-20;
        let predictor = levinson(&correlation);
        out.copy_from_slice(samples);
        for n in ORDER..len {
            let past = &samples[n - ORDER..n];
            out[n] = samples[n] - past.iter().rev().zip(&predictor).map(|(x, a)| x * a).sum::<f32>();
        }
    }
}

/// Predictor coefficients by the Levinson-Durbin recursion.
fn levinson(correlation: &[f32; ORDER + 1]) -> [f32; ORDER] {
    let mut predictor = [0.0_f32; ORDER];
    let mut error = correlation[0];
    for order in 0..ORDER {
        let predicted: f32 = (0..order).map(|k| predictor[k] * correlation[order - k]).sum();
        let reflection = (correlation[order + 1] - predicted) / error;
        let previous = predictor;
        predictor[order] = reflection;
        for k in 0..order {
            predictor[k] = previous[k] - reflection * previous[order - 1 - k];
        }
        error *= (1.0 - reflection * reflection).max(1e-9);
    }
    predictor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resonance_is_removed() {
        // Pulses through a two-pole resonance: the residual is the pulses.
        let (mut y1, mut y2) = (0.0_f32, 0.0_f32);
        let samples: Vec<f32> = (0..944)
            .map(|n| {
                let y = if n % 100 == 50 { 1.0 } else { 0.0 } + 1.7 * y1 - 0.9 * y2;
                y2 = y1;
                y1 = y;
                y
            })
            .collect();
        let mut residual = vec![0.0; 944];
        Whitener::new(944).whiten(&samples, &mut residual);
        let power = |range: std::ops::Range<usize>, every: usize| -> f32 {
            range.filter(|n| (n % 100 == 50) == (every == 100)).map(|n| residual[n] * residual[n]).sum()
        };
        assert!(power(200..800, 100) > 3.0 * power(200..800, 1), "{} {}", power(200..800, 100), power(200..800, 1));
    }
}
