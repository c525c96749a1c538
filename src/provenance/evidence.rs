//! The finder's input: the level of each band every 5 ms, and from it the evidence for each chip.
//!
//! The evidence is a fixed weighted sum of the levels around a chip, in dB: how much it stands out from its surroundings in
//! time and frequency. The weights are the least-squares estimate of the sign from levels of marked speech, clean and
//! coded, under music and in a room; fitted once, they belong to the shape of the pattern and to no voice.

use realfft::num_complex::Complex32;

use super::pattern::{BANDS, LOWEST_HZ, STEP_HZ};
use crate::dsp::fft::RealFft;

/// Rate of the analysed sound, in Hz; high enough for all bands.
pub const DETECT_RATE: u32 = 16_000;

/// Frames of levels per second.
pub const FRAMES_PER_SECOND: usize = 200;

const FRAME_STEP: usize = DETECT_RATE as usize / FRAMES_PER_SECOND;

/// Samples of one frame: 20 ms under a Hann window.
const FRAME_LEN: usize = 320;

/// Bin of the lowest band and bins from band to band.
const LOWEST_BIN: usize = (LOWEST_HZ * FRAME_LEN as f32 / DETECT_RATE as f32) as usize;
const STEP_BINS: usize = (STEP_HZ * FRAME_LEN as f32 / DETECT_RATE as f32) as usize;

/// Bands used on each side of a chip.
const AROUND_BANDS: usize = 3;

/// Frames used on each side of a chip.
const AROUND_FRAMES: usize = 8;

/// A band this far below the loud frames' mean level per band, as power, is not there.
const FLOOR: f32 = 1e-6;

/// Chips are asked for only where the band stands out of the floor by this factor.
const ACTIVE: f32 = 30.0;

/// Evidence beyond this many times its root mean square counts no more: onsets are no marks.
const CLIP: f32 = 1.5;

/// Power of each band, by frame.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    frames: Vec<[f32; BANDS]>,
}

/// Takes sound at [`DETECT_RATE`] in any amounts and makes [`Levels`] of it.
#[derive(Debug)]
pub struct Analyser {
    fft: RealFft,
    window: [f32; FRAME_LEN],
    waiting: Vec<f32>,
    spectrum: Vec<Complex32>,
    levels: Levels,
}

impl Analyser {
    /// An analyser at the start of a sound.
    pub fn new() -> Self {
        let fft = RealFft::new(FRAME_LEN);
        let spectrum = vec![Complex32::default(); fft.bins()];
        let turn = |n: usize| std::f32::consts::TAU * n as f32 / FRAME_LEN as f32;
        let window = std::array::from_fn(|n| 0.5 - 0.5 * turn(n).cos());
        Self { fft, window, waiting: Vec::new(), spectrum, levels: Levels::default() }
    }

    /// Takes samples; values that are not finite count as silence.
    pub fn push(&mut self, samples: &[f32]) {
        self.waiting.extend(samples.iter().map(|x| if x.is_finite() { x.clamp(-1e3, 1e3) } else { 0.0 }));
        let mut start = 0;
        while start + FRAME_LEN <= self.waiting.len() {
            let mut frame = [0.0; FRAME_LEN];
            for ((out, sample), weight) in frame.iter_mut().zip(&self.waiting[start..]).zip(&self.window) {
                *out = sample * weight;
            }
            self.fft.forward(&mut frame, &mut self.spectrum);
            let spectrum = &self.spectrum;
            self.levels.frames.push(std::array::from_fn(|band| {
                // A triangle from the neighbours' centres to this one's.
                let (centre, width) = (LOWEST_BIN + band * STEP_BINS, STEP_BINS as isize);
                (1 - width..width)
                    .map(|off| {
                        let weight = 1.0 - off.unsigned_abs() as f32 / STEP_BINS as f32;
                        weight * spectrum[centre.wrapping_add_signed(off)].norm_sqr()
                    })
                    .sum()
            }));
            start += FRAME_STEP;
        }
        self.waiting.drain(..start);
    }

    /// The levels of all that was pushed.
    pub fn finish(self) -> Levels {
        self.levels
    }
}

impl Default for Analyser {
    fn default() -> Self {
        Self::new()
    }
}

impl Levels {
    /// The levels of a sound at [`DETECT_RATE`].
    pub fn of(samples: &[f32]) -> Self {
        let mut analyser = Analyser::new();
        analyser.push(samples);
        analyser.finish()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether the sound was shorter than one frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Evidence for a positive sign, `[frames][BANDS]`, in the given stretch of frames; 0 where nothing sounds.
    pub fn evidence(&self, start: usize, end: usize) -> Vec<[f32; BANDS]> {
        let frames = &self.frames[start.min(self.len())..end.min(self.len())];
        let mut totals: Vec<f32> = frames.iter().map(|frame| frame.iter().sum()).collect();
        let loud = totals.len() * 95 / 100;
        if totals.is_empty() || *totals.select_nth_unstable_by(loud, f32::total_cmp).1 <= 0.0 {
            return vec![[0.0; BANDS]; frames.len()];
        }
        let floor = totals[loud] * FLOOR / BANDS as f32;
        let decibels: Vec<[f32; BANDS]> =
            frames.iter().map(|frame| frame.map(|power| 10.0 * (power + floor).log10())).collect();
        let mut evidence: Vec<[f32; BANDS]> = (0..frames.len()).map(|at| weigh(&decibels, at)).collect();
        let (mut sum, mut count) = (0.0_f64, 0.0_f64);
        for (values, frame) in evidence.iter_mut().zip(frames) {
            for (value, power) in values.iter_mut().zip(frame) {
                if *power > ACTIVE * floor {
                    sum += f64::from(*value * *value);
                    count += 1.0;
                } else {
                    *value = 0.0;
                }
            }
        }
        let limit = CLIP * (sum / count.max(1.0)).sqrt() as f32;
        evidence.as_flattened_mut().iter_mut().for_each(|value| *value = value.clamp(-limit, limit));
        evidence
    }
}

/// The weighted sum around all bands of one frame; beyond the edges the outermost values go on.
fn weigh(decibels: &[[f32; BANDS]], at: usize) -> [f32; BANDS] {
    let mut sums = [0.0; BANDS];
    for column in 0..=2 * AROUND_FRAMES {
        let frame = &decibels[(at + column).saturating_sub(AROUND_FRAMES).min(decibels.len() - 1)];
        for (row, weights) in WEIGHTS.iter().enumerate() {
            let weight = weights[column];
            for (band, sum) in sums.iter_mut().enumerate() {
                *sum += weight * frame[(band + row).saturating_sub(AROUND_BANDS).min(BANDS - 1)];
            }
        }
    }
    sums
}

/// Weights of the levels around a chip, `[band][frame]`; their scale is of no matter.
const WEIGHTS: [[f32; 2 * AROUND_FRAMES + 1]; 2 * AROUND_BANDS + 1] = [
    [
        0.045, 0.012, 0.031, 0.083, 0.021, 0.025, -0.038, -0.088, -0.237, -0.022, -0.035, 0.013, 0.032, 0.068, 0.001,
        -0.014, 0.056,
    ],
    [
        0.011, 0.063, 0.020, 0.028, 0.003, -0.001, 0.070, -0.097, -0.058, -0.123, -0.090, 0.023, -0.016, 0.038, -0.007,
        0.049, 0.009,
    ],
    [
        0.033, 0.037, 0.021, 0.001, 0.064, -0.016, -0.159, -0.053, -0.124, -0.005, 0.047, -0.038, 0.020, -0.016, 0.017,
        0.020, 0.012,
    ],
    [
        -0.196, -0.143, -0.220, -0.106, -0.268, -0.454, 0.310, 0.886, 0.647, 1.000, 0.007, -0.414, -0.134, -0.141,
        -0.103, 0.009, -0.153,
    ],
    [
        0.033, 0.037, 0.021, 0.001, 0.064, -0.016, -0.159, -0.053, -0.124, -0.005, 0.047, -0.038, 0.020, -0.016, 0.017,
        0.020, 0.012,
    ],
    [
        0.011, 0.063, 0.020, 0.028, 0.003, -0.001, 0.070, -0.097, -0.058, -0.123, -0.090, 0.023, -0.016, 0.038, -0.007,
        0.049, 0.009,
    ],
    [
        0.045, 0.012, 0.031, 0.083, 0.021, 0.025, -0.038, -0.088, -0.237, -0.022, -0.035, 0.013, 0.032, 0.068, 0.001,
        -0.014, 0.056,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_louder_stretch_of_one_band_is_evidence_there_and_nowhere_else() {
        // Noise with 2 dB more in the slot around frame 100 of band 20.
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1.0 + 0.02 * (state >> 8) as f32 / 16_777_216.0
        };
        let mut frames: Vec<[f32; BANDS]> = (0..200).map(|_| std::array::from_fn(|_| noise())).collect();
        for frame in &mut frames[98..=102] {
            frame[20] *= 1.6;
        }
        let evidence = Levels { frames }.evidence(0, 200);
        let there = evidence[100][20];
        assert!(evidence.as_flattened().iter().all(|value| *value <= there), "it is as strong as the clip lets it be");
        let far: f32 = evidence.iter().map(|frame| frame[5].abs()).sum::<f32>() / 200.0;
        assert!(far < 0.3 * there, "{far} of {there} elsewhere");
    }

    #[test]
    fn silence_and_what_is_no_number_give_no_evidence() {
        for value in [0.0, f32::NAN, f32::INFINITY, 1e-38] {
            let levels = Levels::of(&[value; 16_000]);
            assert_eq!(levels.len(), 197);
            assert!(levels.evidence(0, levels.len()).as_flattened().iter().all(|value| value.abs() < 1e-3));
        }
        assert!(Levels::of(&[0.1; 319]).is_empty());
        assert!(Levels::default().evidence(5, 90).is_empty());
    }

    #[test]
    fn loudness_does_not_matter() {
        let tone = |gain: f32| {
            (0..16_000).map(|n| gain * (n as f32 * 0.3).sin() * (n as f32 * 0.01).sin()).collect::<Vec<f32>>()
        };
        let [loud, soft] = [1.0, 0.01].map(|gain| Levels::of(&tone(gain)).evidence(0, 190));
        for (one, other) in loud.as_flattened().iter().zip(soft.as_flattened()) {
            assert!((one - other).abs() < 0.05 * one.abs().max(1.0), "{one} {other}");
        }
    }
}
