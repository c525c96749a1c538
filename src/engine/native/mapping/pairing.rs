//! What follows about a singer and a voice from their average shapes alone: a formant warp and an equaliser.
//!
//! Formulae: the warp is the factor whose shifted voiced average comes nearest to the target's after a straight line
//! over log frequency is taken off the difference, searched from 0.8 to 1.25; the equaliser is what remains, smoothed.

use super::{limit_band, mix};
use crate::engine::bands::{ENV_BANDS, band_from_hz, centre_hz};
use crate::voice::MeanShapes;

const WARP_LOW: f32 = 0.8;
const WARP_HIGH: f32 = 1.25;
const WARP_STEPS: usize = 46;

/// Range in which formants are compared, in Hz.
const FORMANTS_HZ: std::ops::Range<f32> = 200.0..5_500.0;

/// Half width of the equaliser's smoothing in bands: that of 24 bands over 8 kHz.
const EQ_REACH: usize = 2;

/// Share of the unvoiced equaliser that is applied: averages of unvoiced frames depend much on what was said.
const UNVOICED_SHARE: f32 = 0.5;

/// Warp and equaliser between a singer and a voice.
#[derive(Clone, Debug)]
pub(super) struct Pairing {
    /// Formant factor for voiced frames; above 1 moves formants up.
    pub(super) warp: f32,
    /// Fractional source band that each band reads.
    position: [f32; ENV_BANDS],
    /// Equalisers, natural-log power.
    voiced: [f32; ENV_BANDS],
    unvoiced: [f32; ENV_BANDS],
    /// Last band in which both sides have signal.
    pub(super) limit: usize,
}

impl Pairing {
    /// Changes nothing.
    pub(super) fn none() -> Self {
        Self {
            warp: 1.0,
            position: std::array::from_fn(|band| band as f32),
            voiced: [0.0; ENV_BANDS],
            unvoiced: [0.0; ENV_BANDS],
            limit: ENV_BANDS - 1,
        }
    }

    /// Fits warp and equaliser. Above `limit_hz` one of the two has no signal.
    pub(super) fn fit(source: &MeanShapes, target: &MeanShapes, limit_hz: f32) -> Self {
        let limit = limit_band(limit_hz);
        let warp = fit_warp(&source.voiced, &target.voiced);
        // Reading beyond the limit would bring the edge of the band down.
        let position = std::array::from_fn(|band| moved_band(band, warp).min((limit as f32).max(band as f32)));
        let moved: [f32; ENV_BANDS] = std::array::from_fn(|band| value_at(&source.voiced, position[band]));
        let voiced = smooth(&std::array::from_fn(|band| target.voiced[band] - moved[band]), limit);
        let unvoiced = smooth(&std::array::from_fn(|band| target.unvoiced[band] - source.unvoiced[band]), limit);
        Self { warp, position, voiced, unvoiced: unvoiced.map(|value| UNVOICED_SHARE * value), limit }
    }

    /// Difference of log power, converted minus source, before loudness and band limit.
    ///
    /// What is half voiced counts as a consonant: the voiced averages are those of vowels.
    pub(super) fn difference(&self, envelope: &[f32; ENV_BANDS], voicing: f32, difference: &mut [f32; ENV_BANDS]) {
        let voicing = voicing.powi(3);
        for (band, value) in difference.iter_mut().enumerate() {
            let moved = value_at(envelope, self.position[band]) - envelope[band];
            *value = mix(self.unvoiced[band], moved + self.voiced[band], voicing);
        }
    }
}

/// Source band that is heard at `band` after frequencies were multiplied by `factor`.
pub(super) fn moved_band(band: usize, factor: f32) -> f32 {
    band_from_hz(centre_hz(band) / factor).clamp(0.0, (ENV_BANDS - 1) as f32)
}

/// Linear interpolation between bands; `position` is in `0.0..=ENV_BANDS - 1`.
pub(super) fn value_at(bands: &[f32; ENV_BANDS], position: f32) -> f32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative by contract")]
    let low = (position as usize).min(ENV_BANDS - 2);
    mix(bands[low], bands[low + 1], position - low as f32)
}

/// Factor by which the formants of one voiced average lie above another's.
pub(super) fn fit_warp(source: &[f32; ENV_BANDS], target: &[f32; ENV_BANDS]) -> f32 {
    let mut best = (f32::INFINITY, 1.0);
    for step in 0..WARP_STEPS {
        let share = step as f32 / (WARP_STEPS - 1) as f32;
        let factor = (mix(WARP_LOW.ln(), WARP_HIGH.ln(), share)).exp();
        let error = warp_error(source, target, factor);
        if error < best.0 {
            best = (error, factor);
        }
    }
    best.1
}

/// Mean square of the difference after a straight line over log frequency was taken off.
fn warp_error(source: &[f32; ENV_BANDS], target: &[f32; ENV_BANDS], factor: f32) -> f32 {
    let points = || {
        (1..ENV_BANDS)
            .filter(|&band| FORMANTS_HZ.contains(&centre_hz(band)))
            .map(|band| (centre_hz(band).ln(), value_at(source, moved_band(band, factor)) - target[band]))
    };
    let n = points().count() as f32;
    let (x, y) = points().fold((0.0, 0.0), |(sx, sy), (x, y)| (sx + x / n, sy + y / n));
    let (xx, xy) = points().fold((0.0, 0.0), |(xx, xy), (px, py)| (xx + (px - x).powi(2), xy + (px - x) * (py - y)));
    let slope = xy / xx;
    points().map(|(px, py)| (py - y - slope * (px - x)).powi(2)).sum::<f32>() / n
}

/// Triangular smoothing over bands `0..=limit`; above, the last value is held.
fn smooth(values: &[f32; ENV_BANDS], limit: usize) -> [f32; ENV_BANDS] {
    std::array::from_fn(|band| {
        let band = band.min(limit);
        let (mut sum, mut weights) = (0.0, 0.0);
        let first = band.saturating_sub(EQ_REACH);
        for (offset, value) in values[first..=(band + EQ_REACH).min(limit)].iter().enumerate() {
            let weight = (EQ_REACH + 1 - (first + offset).abs_diff(band)) as f32;
            sum += weight * value;
            weights += weight;
        }
        sum / weights
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two formants and a tilt, moved by `factor`.
    fn shape(factor: f32, tilt: f32) -> [f32; ENV_BANDS] {
        std::array::from_fn(|band| {
            let hz = centre_hz(band);
            let peak = |centre: f32| 4.0 * (-((hz / (centre * factor)).max(0.01).ln() / 0.15).powi(2)).exp();
            peak(500.0) + peak(1500.0) + peak(2600.0) - tilt * (hz.max(50.0) / 500.0).ln()
        })
    }

    #[test]
    fn a_known_formant_shift_is_found_under_another_tilt() {
        for factor in [0.85, 1.0, 1.17] {
            let fitted = fit_warp(&shape(1.0, 1.0), &shape(factor, 1.6));
            assert!((fitted / factor - 1.0).abs() < 0.02, "{fitted} for {factor}");
        }
    }

    #[test]
    fn the_average_voiced_frame_becomes_the_targets_average() {
        let source = MeanShapes { voiced: shape(1.0, 1.0), unvoiced: [0.0; ENV_BANDS] };
        let target = MeanShapes { voiced: shape(1.15, 1.5), unvoiced: [1.0; ENV_BANDS] };
        let pairing = Pairing::fit(&source, &target, 20_000.0);
        let mut difference = [0.0; ENV_BANDS];
        pairing.difference(&source.voiced, 1.0, &mut difference);
        let error = |change: &[f32; ENV_BANDS]| {
            let squares = (0..ENV_BANDS).map(|b| (source.voiced[b] + change[b] - target.voiced[b]).powi(2));
            (squares.sum::<f32>() / ENV_BANDS as f32).sqrt()
        };
        let before = error(&[0.0; ENV_BANDS]);
        let after = error(&difference);
        assert!(after < 0.25 * before, "{before} -> {after}");
        pairing.difference(&source.unvoiced, 0.0, &mut difference);
        assert!(difference.iter().all(|value| (value - 0.5).abs() < 1e-4));
    }
}
