//! The spectrogram that RMVPE was trained on: logarithm of mel bands of the magnitude, at 16 kHz.

use realfft::num_complex::Complex32;

use super::FRAME_LEN;
use crate::dsp::dot;
use crate::dsp::fft::RealFft;
use crate::dsp::window::hann_periodic;

/// Bands of a frame.
pub(super) const BANDS: usize = 128;

/// Smallest value before the logarithm.
pub(super) const FLOOR: f32 = 1e-5;

const FFT_LEN: usize = 1_024;
const LOWEST_HZ: f64 = 30.0;
const HIGHEST_HZ: f64 = 8_000.0;
const RATE: f64 = 16_000.0;

/// Turns sound into spectrograms.
pub(super) struct Spectrogram {
    fft: RealFft,
    window: Box<[f32]>,
    /// By band: first bin and weights.
    triangles: Box<[(usize, Box<[f32]>)]>,
    samples: Box<[f32]>,
    spectrum: Box<[Complex32]>,
    magnitude: Box<[f32]>,
}

impl Spectrogram {
    pub(super) fn new() -> Self {
        let fft = RealFft::new(FFT_LEN);
        let bins = fft.bins();
        Self {
            fft,
            window: hann_periodic(FFT_LEN),
            triangles: (0..BANDS).map(|band| triangle(band, bins)).collect(),
            samples: vec![0.0; FFT_LEN].into_boxed_slice(),
            spectrum: vec![Complex32::default(); bins].into_boxed_slice(),
            magnitude: vec![0.0; bins].into_boxed_slice(),
        }
    }

    /// The last `frames` frames of a stream, the newest centred on its end, as `[BANDS, frames]`. What they would need
    /// beyond both ends of their sound is mirrored; a stream that is too short was silent before.
    pub(super) fn frames(&mut self, stream: &[f32], frames: usize, mel: &mut [f32]) {
        let len = (frames - 1) * FRAME_LEN;
        let before = len.saturating_sub(stream.len());
        let sound = &stream[stream.len() - (len - before)..];
        let at = |index: i64| {
            // Mirrored without repeating the edge; spans more than the sound only for absurdly few frames.
            let period = 2 * (len as i64 - 1).max(1);
            let place = index.rem_euclid(period);
            let place = place.min(period - place) as usize;
            place.checked_sub(before).and_then(|place| sound.get(place)).copied().unwrap_or(0.0)
        };
        for frame in 0..frames {
            let first = (frame * FRAME_LEN) as i64 - (FFT_LEN / 2) as i64;
            for (n, (sample, window)) in self.samples.iter_mut().zip(&self.window).enumerate() {
                *sample = window * at(first + n as i64);
            }
            self.fft.forward(&mut self.samples, &mut self.spectrum);
            for (magnitude, bin) in self.magnitude.iter_mut().zip(&self.spectrum) {
                *magnitude = bin.norm();
            }
            for (band, (first, weights)) in self.triangles.iter().enumerate() {
                let value = dot(&self.magnitude[*first..*first + weights.len()], weights);
                mel[band * frames + frame] = value.max(FLOOR).ln();
            }
        }
    }
}

/// A triangle between edges that are equally spaced on `2595 log10(1 + f / 700)`, of area 1 over Hz.
fn triangle(band: usize, bins: usize) -> (usize, Box<[f32]>) {
    let mel = |hz: f64| 2_595.0 * (1.0 + hz / 700.0).log10();
    let step = (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) / (BANDS + 1) as f64;
    let edge = |index: usize| 700.0 * (10_f64.powf((mel(LOWEST_HZ) + step * index as f64) / 2_595.0) - 1.0);
    let (low, centre, high) = (edge(band), edge(band + 1), edge(band + 2));
    let weight = |bin: usize| {
        let hz = bin as f64 * RATE / FFT_LEN as f64;
        ((hz - low) / (centre - low)).min((high - hz) / (high - centre)).max(0.0) * 2.0 / (high - low)
    };
    // The lowest triangles lie between bins and hold nothing, as in the original.
    let first = (0..bins).find(|&bin| weight(bin) > 0.0).unwrap_or(bins);
    let weights = (first..bins).map(weight).take_while(|&weight| weight > 0.0);
    (first, weights.map(|weight| weight as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::tensors::Tensors;

    #[test]
    fn it_equals_the_reference() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let mut wanted = Tensors::default();
        wanted.read(&std::fs::read(folder.join("rvc_rmvpe.safetensors")).expect("a fixture")).expect("tensors");
        let wanted = wanted.floats("mel", &[BANDS, 32]).expect("a spectrogram");
        // As in `tests/rvc/fixtures.py`.
        let sound = |n: u32| {
            let t = f64::from(n);
            let value = 0.3 * (0.08 * t + 40.0 * (0.0009 * t).sin()).sin() + 0.1 * (0.31 * t).sin();
            if n > 1_500 { value as f32 } else { 0.0 }
        };
        let sound: Vec<f32> = (0..31 * 160).map(sound).collect();
        let mut mel = vec![0.0; BANDS * 32];
        Spectrogram::new().frames(&sound, 32, &mut mel);
        // Before the logarithm, which near its floor turns the rounding of 32-bit floats into 2e-3: as it does where
        // librosa itself computes in them.
        let peak = wanted.iter().fold(0.0_f32, |peak, value| peak.max(value.exp()));
        let worst = mel.iter().zip(&wanted).map(|(a, b)| (a.exp() - b.exp()).abs()).fold(0.0, f32::max) / peak;
        assert!(worst < 1e-6, "{worst} of the peak");
    }
}
