//! Minimum-phase filters from log-power differences on the band axis.
//!
//! Runs on the engine's thread; allocates in [`FilterDesigner::new`] and [`Response::flat`] only.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::difference::MAX_DIFFERENCE;
use crate::engine::ENGINE_RATE;
use crate::engine::bands::{ENV_BANDS, band_from_hz};

/// Points of the filter design.
pub const FILTER_LEN: usize = 2048;

/// Frequency bins of a response: 0 Hz to the Nyquist frequency.
pub const FILTER_BINS: usize = FILTER_LEN / 2 + 1;

/// Quefrency up to which the cepstrum is kept whole, in samples (4 ms).
const LIFTER_PASS: usize = 192;

/// Quefrency from which the cepstrum is dropped, in samples (8 ms). Detail finer than this is harmonics, not timbre,
/// and would make the response ring for longer than the grain transform has room.
const LIFTER_STOP: usize = 384;

/// Natural logarithm of a minimum-phase frequency response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Log amplitude (nepers) and phase (radians) per bin, `[FILTER_BINS]`.
    pub log: Box<[Complex32]>,
    /// Whether the response is exactly 1 everywhere.
    pub is_flat: bool,
}

impl Response {
    /// The response that changes nothing.
    pub fn flat() -> Self {
        Self { log: vec![Complex32::default(); FILTER_BINS].into_boxed_slice(), is_flat: true }
    }

    /// Becomes the response that changes nothing.
    pub fn set_flat(&mut self) {
        self.log.fill(Complex32::default());
        self.is_flat = true;
    }
}

/// Turns log-power differences into minimum-phase responses.
pub struct FilterDesigner {
    inverse: Arc<dyn ComplexToReal<f32>>,
    forward: Arc<dyn RealToComplex<f32>>,
    /// Fractional band of each bin, held at the last band.
    band_of_bin: Box<[(usize, f32)]>,
    /// Weight of each quefrency; includes the doubling of the causal half and the scale of the transform.
    lifter: Box<[f32]>,
    spectrum: Box<[Complex32]>,
    cepstrum: Box<[f32]>,
    scratch: Box<[Complex32]>,
}

impl FilterDesigner {
    /// Plans the transforms.
    pub fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let inverse = planner.plan_fft_inverse(FILTER_LEN);
        let forward = planner.plan_fft_forward(FILTER_LEN);
        let scratch_len = inverse.get_scratch_len().max(forward.get_scratch_len());
        let band_of_bin = (0..FILTER_BINS)
            .map(|bin| {
                let band = band_from_hz(bin as f32 * ENGINE_RATE as f32 / FILTER_LEN as f32);
                let low = (band as usize).min(ENV_BANDS - 2);
                (low, (band - low as f32).clamp(0.0, 1.0))
            })
            .collect();
        let lifter = (0..FILTER_LEN)
            .map(|quefrency| {
                let taper = if quefrency <= LIFTER_PASS {
                    1.0
                } else if quefrency < LIFTER_STOP {
                    let x = (quefrency - LIFTER_PASS) as f32 / (LIFTER_STOP - LIFTER_PASS) as f32;
                    0.5 + 0.5 * (std::f32::consts::PI * x).cos()
                } else {
                    0.0
                };
                let fold = if quefrency == 0 { 1.0 } else { 2.0 };
                taper * fold / FILTER_LEN as f32
            })
            .collect();
        Self {
            inverse,
            forward,
            band_of_bin,
            lifter,
            spectrum: vec![Complex32::default(); FILTER_BINS].into_boxed_slice(),
            cepstrum: vec![0.0; FILTER_LEN].into_boxed_slice(),
            scratch: vec![Complex32::default(); scratch_len].into_boxed_slice(),
        }
    }

    /// Designs the filter that changes the log power of band `b` by `difference[b]`, limited to
    /// ±[`MAX_DIFFERENCE`]; values that are not finite count as no change.
    ///
    /// The minimum phase follows from the folded cepstrum (Oppenheim and Schafer, Discrete-Time Signal Processing,
    /// section on the complex cepstrum of minimum-phase sequences).
    pub fn design(&mut self, difference: &[f32; ENV_BANDS], response: &mut Response) {
        let mut bands = [0.0_f32; ENV_BANDS];
        for (band, value) in bands.iter_mut().zip(difference) {
            *band = if value.is_finite() { value.clamp(-MAX_DIFFERENCE, MAX_DIFFERENCE) * 0.5 } else { 0.0 };
        }
        if bands.iter().all(|value| *value == 0.0) {
            response.set_flat();
            return;
        }
        for (bin, &(low, fraction)) in self.spectrum.iter_mut().zip(&self.band_of_bin) {
            *bin = Complex32::new(bands[low] + fraction * (bands[low + 1] - bands[low]), 0.0);
        }
        // The transforms only fail on wrong lengths, which are fixed above; a failure would leave the filter flat.
        let inverse = self.inverse.process_with_scratch(&mut self.spectrum, &mut self.cepstrum, &mut self.scratch);
        for (value, weight) in self.cepstrum.iter_mut().zip(&self.lifter) {
            *value *= weight;
        }
        let forward = self.forward.process_with_scratch(&mut self.cepstrum, &mut response.log, &mut self.scratch);
        response.is_flat = false;
        if inverse.is_err() || forward.is_err() {
            response.set_flat();
        }
    }
}

impl Default for FilterDesigner {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smooth_difference_comes_back_as_half_log_power() {
        let difference: [f32; ENV_BANDS] = std::array::from_fn(|band| 2.0 * (band as f32 * 0.1).sin());
        let mut response = Response::flat();
        FilterDesigner::new().design(&difference, &mut response);
        for hz in [300.0_f32, 1000.0, 3000.0, 8000.0, 15000.0] {
            let bin = (hz / ENGINE_RATE as f32 * FILTER_LEN as f32).round();
            let band = band_from_hz(bin * ENGINE_RATE as f32 / FILTER_LEN as f32);
            let wanted = (band * 0.1).sin();
            let got = response.log[bin as usize].re;
            assert!((got - wanted).abs() < 0.06, "{hz} Hz: {got} instead of {wanted}");
        }
    }

    #[test]
    fn differences_are_limited_and_junk_is_ignored() {
        let mut response = Response::flat();
        let mut designer = FilterDesigner::new();
        designer.design(&[1e9; ENV_BANDS], &mut response);
        assert!(response.log.iter().all(|bin| (bin.re - 3.0).abs() < 1e-3 && bin.im.abs() < 1e-3));
        designer.design(&[f32::NAN; ENV_BANDS], &mut response);
        assert!(response.is_flat);
    }
}
