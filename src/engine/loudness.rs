//! Loudness of a spectral envelope: taken from the source, and no voice may change it.
//!
//! Plain arithmetic after construction.

use super::bands::{ENV_BANDS, band_from_hz};

/// Spacing of the grid on which the weight is summed, in Hz.
const GRID_HZ: f32 = 15.625;

/// Highest frequency that counts, in Hz; above it the bands hold their last value.
const TOP_HZ: f32 = 20_000.0;

/// Sums an envelope to one number.
///
/// `L = ln(sum_b exp(E_b) w_b + 1e-9)`, where `w_b` gathers the weight
/// `exp(-log2(max(f, 30) / 1500)^2 / 6) + 0.02` of the frequencies around band `b`.
#[derive(Clone, Debug)]
pub struct LoudnessMeter {
    weights: [f32; ENV_BANDS],
}

impl Default for LoudnessMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl LoudnessMeter {
    /// Computes the weights.
    pub fn new() -> Self {
        let mut weights = [0.0; ENV_BANDS];
        let points = (TOP_HZ / GRID_HZ) as usize;
        for point in 0..=points {
            let hz = point as f32 * GRID_HZ;
            let octaves = (hz.max(30.0) / 1500.0).log2();
            let weight = (-octaves * octaves / 6.0).exp() + 0.02;
            let position = band_from_hz(hz).clamp(0.0, (ENV_BANDS - 1) as f32);
            let band = (position as usize).min(ENV_BANDS - 2);
            let fraction = position - band as f32;
            weights[band] += weight * (1.0 - fraction);
            weights[band + 1] += weight * fraction;
        }
        Self { weights }
    }

    /// Loudness of a natural-log power envelope, in nepers of power; adding `d` to every band adds `d`.
    pub fn loudness(&self, envelope: &[f32; ENV_BANDS]) -> f32 {
        let sum: f32 = envelope.iter().zip(&self.weights).map(|(value, weight)| value.exp() * weight).sum();
        (sum + 1e-9).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_louder_envelope_is_louder_by_the_same_amount() {
        let meter = LoudnessMeter::new();
        let mut envelope = [0.0; ENV_BANDS];
        for (band, value) in envelope.iter_mut().enumerate() {
            *value = -6.0 + (band as f32 * 0.3).sin();
        }
        let louder = envelope.map(|value| value + 2.0);
        assert!((meter.loudness(&louder) - meter.loudness(&envelope) - 2.0).abs() < 1e-4);
    }

    #[test]
    fn a_flat_envelope_has_the_summed_weight() {
        let direct: f64 = (0..=1280)
            .map(|point| {
                let octaves = ((point as f64 * 15.625).max(30.0) / 1500.0).log2();
                (-octaves * octaves / 6.0).exp() + 0.02
            })
            .sum();
        assert!((f64::from(LoudnessMeter::new().loudness(&[0.0; ENV_BANDS])) - direct.ln()).abs() < 1e-4);
    }
}
