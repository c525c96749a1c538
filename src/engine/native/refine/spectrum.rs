//! Frames of the refiner: spectra of three hops, and the graph's features of them.
//!
//! Knows no graph. Used on the engine's thread and where a voice is improved; allocates in [`FrameSpectrum::new`] only.

use realfft::num_complex::Complex32;

use crate::dsp::fft::RealFft;
use crate::dsp::window::hann_periodic;

use super::super::network::RecentLevel;
use super::{FRAME_LEN, KNOWN_BINS};

/// Power added to each bin before the logarithm, of samples at 16 kHz as the graph was trained.
const FLOOR: f32 = 1e-9;

/// The graph was trained on samples at 16 kHz, so that its spectra are of a third of the samples.
const RATE_RATIO: f32 = 3.0;

/// Least recent level, in the same power.
const LEAST_LEVEL: f32 = 1e-7;

/// Transform of one frame and back.
#[derive(Debug)]
pub(super) struct FrameSpectrum {
    fft: RealFft,
    /// Root of a Hann window over a frame; used before and after.
    window: Box<[f32]>,
    samples: Box<[f32]>,
}

impl FrameSpectrum {
    pub(super) fn new() -> Self {
        Self {
            fft: RealFft::new(FRAME_LEN),
            window: hann_periodic(FRAME_LEN).iter().map(|weight| weight.sqrt()).collect(),
            samples: vec![0.0; FRAME_LEN].into_boxed_slice(),
        }
    }

    /// A spectrum to be filled.
    pub(super) fn empty(&self) -> Box<[Complex32]> {
        vec![Complex32::default(); self.fft.bins()].into_boxed_slice()
    }

    pub(super) fn window(&self) -> &[f32] {
        &self.window
    }

    /// Spectrum of [`FRAME_LEN`] samples.
    pub(super) fn forward(&mut self, frame: &[f32], spectrum: &mut [Complex32]) {
        for ((sample, &value), &weight) in self.samples.iter_mut().zip(frame).zip(&self.window) {
            *sample = value * weight;
        }
        self.fft.forward(&mut self.samples, spectrum);
    }

    /// Samples of a spectrum, not windowed yet. The spectrum is used up.
    pub(super) fn inverse(&mut self, spectrum: &mut [Complex32]) -> (&[f32], &[f32]) {
        self.fft.inverse(spectrum, &mut self.samples);
        (&self.samples, &self.window)
    }
}

/// Power of a bin of samples at 16 kHz.
fn power(bin: &Complex32) -> f32 {
    bin.norm_sqr() * (1.0 / (RATE_RATIO * RATE_RATIO))
}

/// Power of the known bins of samples at 16 kHz.
pub(super) fn powers(spectrum: &[Complex32]) -> [f32; KNOWN_BINS] {
    std::array::from_fn(|bin| power(&spectrum[bin]))
}

/// The graph's features of a frame: log power per bin relative to the recent level, and the frame's own level.
pub(super) fn features(spectrum: &[Complex32], level: &mut RecentLevel, features: &mut [f32]) {
    let power = |bin: &Complex32| power(bin) + FLOOR;
    let known = &spectrum[..KNOWN_BINS];
    let mean = known.iter().map(power).sum::<f32>() / KNOWN_BINS as f32;
    let recent = level.next(mean, LEAST_LEVEL).ln();
    for (feature, bin) in features.iter_mut().zip(known) {
        *feature = (power(bin).ln() - recent).clamp(-14.0, 8.0) / 4.0;
    }
    features[KNOWN_BINS] = (mean.ln() - recent).clamp(-10.0, 5.0) / 3.0;
}
