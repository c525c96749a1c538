//! Pitch-adaptive spectral envelope at 48 kHz, on the band axis of [`bands`](super::bands).
//!
//! After CheapTrick (Morise 2015): a window of three periods makes the power independent of its position in the
//! cycle, a box of two thirds of F0 and a lifter on the log spectrum remove the harmonics. Allocates in the
//! constructors only.

use realfft::num_complex::Complex32;

use super::bands::{ENV_BANDS, band_from_hz, hz_from_mel, spacing_mel};
use super::history::History;
use crate::dsp::fft::RealFft;
use crate::engine::ENGINE_RATE;

const FFT_LEN: usize = 2048;
const BINS: usize = FFT_LEN / 2 + 1;
const BIN_HZ: f32 = ENGINE_RATE as f32 / FFT_LEN as f32;

/// F0 below which the window stays at its longest, in Hz: three periods of it are the transform's length.
const LOWEST_WINDOW_HZ: f32 = 71.0;

/// F0 that unvoiced frames are analysed with, in Hz: a window of 15 ms.
const UNVOICED_HZ: f32 = 200.0;

/// Half of the longest window, in samples at 48 kHz: what the analysis needs on each side of the centre.
pub const ENVELOPE_HALF_LEN: usize = 1015;

/// Power added to each bin: -90 dBFS.
const FLOOR: f32 = 1e-9;

/// Streaming envelope analyser.
#[derive(Debug)]
pub struct EnvelopeAnalyser {
    fft: RealFft,
    samples: Box<[f32]>,
    spectrum: Box<[Complex32]>,
    /// Log power on the linear grid, `[BINS]`.
    power: Box<[f32]>,
    /// Sum of the power up to and without a bin, mirrored below 0 Hz and above the Nyquist frequency.
    sums: Box<[f64]>,
    bands: Box<[Band]>,
}

/// Triangle of one band on the linear grid; the weights sum to 1.
#[derive(Debug)]
struct Band {
    first_bin: usize,
    weights: Box<[f32]>,
}

/// Bins that the running sum reaches beyond both ends: more than half a box at the highest F0.
const MARGIN: usize = 32;

impl Default for EnvelopeAnalyser {
    fn default() -> Self {
        Self::new()
    }
}

impl EnvelopeAnalyser {
    /// Plans the transform and the bands.
    pub fn new() -> Self {
        Self {
            fft: RealFft::new(FFT_LEN),
            samples: vec![0.0; FFT_LEN].into_boxed_slice(),
            spectrum: vec![Complex32::default(); BINS].into_boxed_slice(),
            power: vec![0.0; BINS].into_boxed_slice(),
            sums: vec![0.0; BINS + 2 * MARGIN + 1].into_boxed_slice(),
            bands: (0..ENV_BANDS).map(band_triangle).collect(),
        }
    }

    /// Envelope around the absolute 48 kHz sample `centre`; `f0_hz` 0.0 = unvoiced.
    pub fn analyse(&mut self, history: &History, centre: i64, f0_hz: f32, envelope: &mut [f32; ENV_BANDS]) {
        let f0 = if f0_hz > 0.0 { f0_hz } else { UNVOICED_HZ };
        self.window(history, centre, f0);
        self.fft.forward(&mut self.samples, &mut self.spectrum);
        for (power, bin) in self.power.iter_mut().zip(&self.spectrum) {
            *power = bin.norm_sqr() + FLOOR;
        }
        self.smooth(f0);
        self.lifter(f0);
        for (value, band) in envelope.iter_mut().zip(&self.bands) {
            *value = crate::dsp::dot(&self.power[band.first_bin..band.first_bin + band.weights.len()], &band.weights);
        }
    }

    /// Fills `samples` with three periods under a Hann window of unit energy.
    fn window(&mut self, history: &History, centre: i64, f0: f32) {
        let half = 1.5 * ENGINE_RATE as f32 / f0.max(LOWEST_WINDOW_HZ);
        let reach = (half as usize).min(ENVELOPE_HALF_LEN);
        let len = 2 * reach + 1;
        history.copy(centre - reach as i64, &mut self.samples[..len]);
        self.samples[len..].fill(0.0);
        let mut energy = 0.0;
        let step = std::f32::consts::PI / half;
        for (n, sample) in self.samples[..len].iter_mut().enumerate() {
            let weight = 0.5 + 0.5 * ((n as f32 - reach as f32) * step).cos();
            energy += weight * weight;
            *sample *= weight;
        }
        let scale = 1.0 / energy.sqrt();
        self.samples[..len].iter_mut().for_each(|sample| *sample *= scale);
    }

    /// Replaces the power by the logarithm of its mean over a box of two thirds of F0.
    fn smooth(&mut self, f0: f32) {
        let mut sum = 0.0_f64;
        for index in 0..BINS + 2 * MARGIN {
            self.sums[index] = sum;
            let bin = (index as i64 - MARGIN as i64).unsigned_abs() as usize;
            let bin = if bin >= BINS { 2 * (BINS - 1) - bin } else { bin };
            sum += f64::from(self.power[bin]);
        }
        self.sums[BINS + 2 * MARGIN] = sum;
        // The box ends between bins; the running sum is interpolated there.
        let half = f64::from((f0 / 3.0 / BIN_HZ).max(0.5)).min(MARGIN as f64 - 1.0);
        let at = |sums: &[f64], position: f64| {
            let index = position as usize;
            sums[index] + (position - index as f64) * (sums[index + 1] - sums[index])
        };
        for bin in 0..BINS {
            let centre = bin as f64 + MARGIN as f64 + 0.5;
            let mean = (at(&self.sums, centre + half) - at(&self.sums, centre - half)) / (2.0 * half);
            self.power[bin] = (mean.max(1e-30) as f32).ln();
        }
    }

    /// Multiplies the cepstrum by `sin(z)/z * (1.3 - 0.3 cos 2z)`, `z = pi F0 q`.
    fn lifter(&mut self, f0: f32) {
        for (bin, &value) in self.spectrum.iter_mut().zip(&self.power) {
            *bin = Complex32::new(value, 0.0);
        }
        self.fft.inverse(&mut self.spectrum, &mut self.samples);
        let step = std::f32::consts::PI * f0 / ENGINE_RATE as f32;
        for q in 1..BINS {
            let z = step * q as f32;
            let sine = z.sin();
            // cos 2z = 1 - 2 sin^2 z
            let factor = sine / z * (1.0 + 0.6 * sine * sine);
            self.samples[q] *= factor;
            if q < FFT_LEN / 2 {
                self.samples[FFT_LEN - q] *= factor;
            }
        }
        self.fft.forward(&mut self.samples, &mut self.spectrum);
        for (value, bin) in self.power.iter_mut().zip(&self.spectrum) {
            *value = bin.re;
        }
    }
}

fn band_triangle(band: usize) -> Band {
    let hz = |position: f32| hz_from_mel(position * spacing_mel());
    let (low, high) = (hz(band as f32 - 1.0), hz(band as f32 + 1.0));
    let first_bin = (low.max(0.0) / BIN_HZ).ceil() as usize;
    let last_bin = ((high / BIN_HZ) as usize).min(BINS - 1);
    let raw: Vec<f32> = (first_bin..=last_bin)
        .map(|bin| (1.0 - (band_from_hz(bin as f32 * BIN_HZ) - band as f32).abs()).max(0.0))
        .collect();
    let sum: f32 = raw.iter().sum();
    Band { first_bin, weights: raw.iter().map(|weight| weight / sum).collect() }
}

/// Spreads band values to a linear frequency grid: linear between band centres, constant above the last one.
#[derive(Debug)]
pub struct GridInterpolator {
    /// Lower band and weight of the upper one, per bin.
    points: Box<[(u8, f32)]>,
}

impl GridInterpolator {
    /// Weights for the `fft_len / 2 + 1` bins of a transform of `fft_len` samples at `rate_hz`.
    pub fn new(fft_len: usize, rate_hz: f32) -> Self {
        let points = (0..=fft_len / 2)
            .map(|bin| {
                let position = band_from_hz(bin as f32 * rate_hz / fft_len as f32).clamp(0.0, (ENV_BANDS - 1) as f32);
                let band = (position as usize).min(ENV_BANDS - 2);
                (band as u8, position - band as f32)
            })
            .collect();
        Self { points }
    }

    /// Bins of the grid.
    pub fn bins(&self) -> usize {
        self.points.len()
    }

    /// Writes the values at the bins; `grid` may be shorter than the grid.
    pub fn spread(&self, bands: &[f32; ENV_BANDS], grid: &mut [f32]) {
        for (value, &(band, weight)) in grid.iter_mut().zip(&self.points) {
            let low = bands[usize::from(band)];
            *value = low + weight * (bands[usize::from(band) + 1] - low);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bands::centre_hz;

    /// Pulse train through two resonances, as a sum of harmonics with known amplitudes; returns the true log power
    /// envelope in the analyser's scale at `hz`.
    fn true_power(hz: f32, f0: f32) -> f32 {
        let resonance = |centre: f32, width: f32| 1.0 / (1.0 + ((hz - centre) / width).powi(2));
        let amplitude = 0.02 * (0.02 + resonance(700.0, 150.0) + 0.5 * resonance(2500.0, 300.0));
        // A harmonic of amplitude a in every f0 Hz has the power density of noise of variance a^2/2 * rate/2 / f0 ...
        (amplitude * amplitude / 2.0 * (ENGINE_RATE as f32 / 2.0) / f0).ln()
    }

    fn harmonics(f0: f32, len: usize) -> Vec<f32> {
        let mut samples = vec![0.0; len];
        let count = (20_000.0 / f0) as usize;
        for k in 1..=count {
            let hz = f0 * k as f32;
            let amplitude = ((true_power(hz, f0)).exp() * 2.0 * f0 / (ENGINE_RATE as f32 / 2.0)).sqrt();
            let phase = (k * k) as f32 * 0.7;
            for (n, sample) in samples.iter_mut().enumerate() {
                *sample += amplitude * (std::f32::consts::TAU * hz * n as f32 / ENGINE_RATE as f32 + phase).sin();
            }
        }
        samples
    }

    #[test]
    fn envelope_follows_known_formants_at_any_f0() {
        for f0 in [80.0, 123.4, 220.0, 400.0] {
            let samples = harmonics(f0, 8192);
            let mut history = History::new(8192);
            history.push(&samples);
            let mut analyser = EnvelopeAnalyser::new();
            let mut envelope = [0.0; ENV_BANDS];
            let mut errors = Vec::new();
            for centre in [3000, 3113, 3277, 4001] {
                analyser.analyse(&history, centre, f0, &mut envelope);
                for (band, value) in envelope.iter().enumerate() {
                    let hz = centre_hz(band);
                    if hz > 1.5 * f0 && hz < 15_000.0 {
                        errors.push((value - true_power(hz, f0)).abs() * 4.343);
                    }
                }
            }
            errors.sort_by(f32::total_cmp);
            let median = errors[errors.len() / 2];
            let p95 = errors[errors.len() * 95 / 100];
            println!("{f0} Hz: median {median:.2} dB, 95 % {p95:.2} dB");
            assert!(median < 1.5 && p95 < 6.0, "{f0} Hz: median {median} dB, 95 % {p95} dB");
        }
    }

    #[test]
    fn envelope_does_not_depend_on_the_place_in_the_cycle() {
        let samples = harmonics(100.0, 8192);
        let mut history = History::new(8192);
        history.push(&samples);
        let mut analyser = EnvelopeAnalyser::new();
        let (mut first, mut other) = ([0.0; ENV_BANDS], [0.0; ENV_BANDS]);
        analyser.analyse(&history, 4000, 100.0, &mut first);
        for shift in [60, 120, 240, 400] {
            analyser.analyse(&history, 4000 + shift, 100.0, &mut other);
            for (band, (a, b)) in first.iter().zip(&other).enumerate().filter(|(band, _)| centre_hz(*band) > 100.0) {
                assert!((a - b).abs() * 4.343 < 1.5, "band {band} shift {shift}: {a} {b}");
            }
        }
    }

    #[test]
    fn white_noise_is_flat_at_its_variance() {
        let mut seed = 1_u32;
        let samples: Vec<f32> = (0..48_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        let mut history = History::new(48_000);
        history.push(&samples);
        let mut analyser = EnvelopeAnalyser::new();
        let mut mean = [0.0_f32; ENV_BANDS];
        let mut envelope = [0.0; ENV_BANDS];
        for frame in 0..90 {
            analyser.analyse(&history, 2000 + 480 * frame, 0.0, &mut envelope);
            mean.iter_mut().zip(&envelope).for_each(|(sum, value)| *sum += value / 90.0);
        }
        let expected = (1.0_f32 / 3.0).ln();
        for (band, value) in mean.iter().enumerate().skip(4) {
            // The logarithm of a noisy power lies below the logarithm of its mean: up to 2.5 dB here.
            assert!((value - expected).abs() * 4.343 < 2.5, "band {band}: {value} {expected}");
        }
    }

    #[test]
    fn silence_is_the_floor_and_interpolation_meets_the_centres() {
        let mut history = History::new(4096);
        history.push(&[0.0; 4096]);
        let mut envelope = [1.0; ENV_BANDS];
        EnvelopeAnalyser::new().analyse(&history, 2000, 0.0, &mut envelope);
        assert!(envelope.iter().all(|value| (value - FLOOR.ln()).abs() < 1e-3));

        let bands: [f32; ENV_BANDS] = std::array::from_fn(|band| band as f32);
        let interpolator = GridInterpolator::new(4096, 48_000.0);
        let mut grid = vec![0.0; interpolator.bins()];
        interpolator.spread(&bands, &mut grid);
        for (bin, value) in grid.iter().enumerate() {
            let expected = band_from_hz(bin as f32 * 48_000.0 / 4096.0).min((ENV_BANDS - 1) as f32);
            assert!((value - expected).abs() < 1e-3);
        }
    }
}
