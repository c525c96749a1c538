//! A real Fourier transform of fixed length with its own scratch memory, so that it never allocates.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Forward and inverse transform of `len` real samples. Both destroy their input.
pub struct RealFft {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    scratch: Box<[Complex32]>,
}

impl std::fmt::Debug for RealFft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealFft").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl RealFft {
    /// Plans both directions.
    pub fn new(len: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(len);
        let inverse = planner.plan_fft_inverse(len);
        let scratch_len = forward.get_scratch_len().max(inverse.get_scratch_len());
        Self { forward, inverse, scratch: vec![Complex32::default(); scratch_len].into_boxed_slice() }
    }

    /// Samples of one transform.
    pub fn len(&self) -> usize {
        self.forward.len()
    }

    /// Whether the transform has no samples; never for one that is of use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bins of a spectrum: `len / 2 + 1`.
    pub fn bins(&self) -> usize {
        self.len() / 2 + 1
    }

    /// Spectrum of `samples`, not scaled.
    ///
    /// # Panics
    /// When the slices do not hold `len` samples and `bins` bins.
    pub fn forward(&mut self, samples: &mut [f32], spectrum: &mut [Complex32]) {
        self.forward
            .process_with_scratch(samples, spectrum, &mut self.scratch)
            .expect("the caller's slices have the planned lengths");
    }

    /// Samples of `spectrum`, scaled by `1 / len`, so that it undoes [`RealFft::forward`]. The imaginary parts of the
    /// first and the last bin count as 0.
    ///
    /// # Panics
    /// When the slices do not hold `bins` bins and `len` samples.
    pub fn inverse(&mut self, spectrum: &mut [Complex32], samples: &mut [f32]) {
        let last = spectrum.len() - 1;
        spectrum[0].im = 0.0;
        spectrum[last].im = 0.0;
        self.inverse
            .process_with_scratch(spectrum, samples, &mut self.scratch)
            .expect("the caller's slices have the planned lengths");
        let scale = 1.0 / self.len() as f32;
        samples.iter_mut().for_each(|sample| *sample *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes_forward() {
        let mut fft = RealFft::new(64);
        let original: Vec<f32> = (0..64).map(|n| ((n * n) as f32 * 0.1).sin()).collect();
        let mut samples = original.clone();
        let mut spectrum = vec![Complex32::default(); fft.bins()];
        fft.forward(&mut samples, &mut spectrum);
        fft.inverse(&mut spectrum, &mut samples);
        for (a, b) in samples.iter().zip(&original) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}
