//! Combines the analyses: one hop of 48 kHz samples in, one frame of everything the engine needs out.
//!
//! Runs on the engine's thread; allocates in [`Analyser::new`] only. Knows no voice and no content encoder.

use super::bands::ENV_BANDS;
use super::envelope::{ENVELOPE_HALF_LEN, EnvelopeAnalyser};
use super::f0::{F0_DELAY_HOPS, F0Tracker, MIX_LAG_FRAMES, lag_frames};
use super::history::History;
use super::level::LevelTracker;
use super::loudness::LoudnessMeter;
use super::mel::{MEL_BANDS, MEL_HOP_LEN, MelExtractor};
use super::{HOP_LEN, Mode};
use crate::dsp::decimator::{DECIMATOR_DELAY_LEN, Decimator};

/// Distance from the end of the newest hop back to the centre of the live frame, in samples at 48 kHz: half a content
/// window (10 ms), two content frames of look-ahead (20 ms) and the decimator's delay (1 ms).
pub const ANALYSIS_DELAY_LEN: usize = F0_DELAY_HOPS * HOP_LEN + DECIMATOR_DELAY_LEN;

/// Samples of the past that the latest decision of mix mode looks back at.
const HISTORY_LEN: usize = ANALYSIS_DELAY_LEN + MIX_LAG_FRAMES * HOP_LEN + ENVELOPE_HALF_LEN;

/// Largest magnitude of an input sample, 80 dB above full scale: keeps powers and their sums finite.
const LOUDEST: f32 = 1e4;

/// Everything known about the 10 ms around one instant.
#[derive(Clone, Copy, Debug)]
pub struct AnalysisFrame {
    /// Absolute index of the centre, in samples at 48 kHz since the last reset. Negative for the first frames, which
    /// lie before the input.
    pub centre: i64,
    /// F0 in Hz, in `40.0..=1600.0`; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Degree of voicing in `0.0..=1.0`, see [`F0Frame`](super::f0::F0Frame).
    pub voicing: f32,
    /// Natural logarithm of the power on the band axis. White noise of variance `v` has the value `ln v`.
    pub envelope: [f32; ENV_BANDS],
    /// Loudness of `envelope`, see [`LoudnessMeter`].
    pub loudness: f32,
    /// Log-mel input of the content encoder. The encoder's answer to this call belongs to this frame's centre: it
    /// looks [`content_look_ahead_frames`] ahead, and so does this field.
    pub mel: [f32; MEL_BANDS],
    /// Root mean square of the 10 ms of input around the centre.
    pub rms: f32,
}

impl Default for AnalysisFrame {
    fn default() -> Self {
        Self {
            centre: 0,
            f0_hz: 0.0,
            voicing: 0.0,
            envelope: [0.0; ENV_BANDS],
            loudness: 0.0,
            mel: [0.0; MEL_BANDS],
            rms: 0.0,
        }
    }
}

/// Frames of look-ahead that a content encoder of this mode has: what the delay of the analysis leaves for it. In mix
/// mode the F0 decision waits longer than the encoder looks, so its look-ahead costs no delay.
pub const fn content_look_ahead_frames(mode: Mode) -> usize {
    match mode {
        Mode::Live => 2,
        Mode::Mix => 16,
    }
}

/// Mel frames that wait for the F0 decision of mix mode.
const MEL_RING: usize = 2 + MIX_LAG_FRAMES + 1 - content_look_ahead_frames(Mode::Mix);

/// Streaming analysis of one input.
#[derive(Debug)]
pub struct Analyser {
    lag_frames: usize,
    /// Frames by which the mel frame that is given out is older than the newest.
    mel_lag_frames: usize,
    history: History,
    decimator: Decimator,
    level: LevelTracker,
    mel: MelExtractor,
    mels: Box<[[f32; MEL_BANDS]]>,
    hops: usize,
    f0: F0Tracker,
    envelope: EnvelopeAnalyser,
    loudness: LoudnessMeter,
}

impl Analyser {
    /// An analyser that has heard silence.
    pub fn new(mode: Mode) -> Self {
        let mut analyser = Self {
            lag_frames: lag_frames(mode),
            mel_lag_frames: 2 + lag_frames(mode) - content_look_ahead_frames(mode),
            history: History::new(HISTORY_LEN),
            decimator: Decimator::new(HOP_LEN),
            level: LevelTracker::new(),
            mel: MelExtractor::new(),
            mels: vec![[0.0; MEL_BANDS]; MEL_RING].into_boxed_slice(),
            hops: 0,
            f0: F0Tracker::new(mode),
            envelope: EnvelopeAnalyser::new(),
            loudness: LoudnessMeter::new(),
        };
        analyser.reset();
        analyser
    }

    /// Frames by which this mode lags behind live mode: 0 or 15.
    pub fn lag_frames(&self) -> usize {
        self.lag_frames
    }

    /// Distance from the end of the newest hop back to the centre of the newest frame, in samples at 48 kHz.
    pub fn delay_len(&self) -> usize {
        ANALYSIS_DELAY_LEN + self.lag_frames * HOP_LEN
    }

    /// Forgets all audio; the next sample has the index 0.
    pub fn reset(&mut self) {
        self.history.reset();
        self.decimator.reset();
        self.level.reset();
        self.mel.reset();
        // Mel frames from before the first hop: silence.
        let mut silence = [0.0; MEL_BANDS];
        self.mel.push(&[0.0; MEL_HOP_LEN], 1.0, &mut silence);
        self.mels.fill(silence);
        self.hops = 0;
        self.f0.reset();
    }

    /// Takes one hop of [`HOP_LEN`] samples at 48 kHz and writes the frame that is complete now; its centre lies
    /// [`Analyser::delay_len`] before the end of the hop. Samples that are not finite count as silence.
    ///
    /// # Panics
    /// When `hop` has another length.
    pub fn push(&mut self, hop: &[f32], frame: &mut AnalysisFrame) {
        assert_eq!(hop.len(), HOP_LEN);
        let mut clean = [0.0; HOP_LEN];
        for (clean, &sample) in clean.iter_mut().zip(hop) {
            *clean = if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) } else { 0.0 };
        }
        self.history.push(&clean);
        let end = self.history.end();
        let mut low_rate = [0.0; MEL_HOP_LEN];
        self.decimator.process(&clean, &mut low_rate);

        let gain = self.level.push(&low_rate);
        self.mel.push(&low_rate, gain, &mut self.mels[self.hops % MEL_RING]);
        frame.mel = self.mels[(self.hops + MEL_RING - self.mel_lag_frames) % MEL_RING];
        self.hops += 1;

        let f0 = self.f0.push(&low_rate);
        frame.f0_hz = f0.f0_hz;
        frame.voicing = f0.voicing;
        frame.centre = end - self.delay_len() as i64;

        let mut around = [0.0; HOP_LEN];
        self.history.copy(frame.centre - HOP_LEN as i64 / 2, &mut around);
        frame.rms = (crate::dsp::dot(&around, &around) / HOP_LEN as f32).sqrt();
        self.envelope.analyse(&self.history, frame.centre, frame.f0_hz, &mut frame.envelope);
        frame.loudness = self.loudness.loudness(&frame.envelope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pulses at 200 Hz from 0.2 s to 0.6 s, through a resonance of 700 Hz.
    fn phrase() -> Vec<f32> {
        let mut samples = vec![0.0; 48_000];
        for pulse in 0..80 {
            let at = 9_600 + pulse * 240;
            for n in 0..1200 {
                let t = n as f32 / 48_000.0;
                samples[at + n] += 0.3 * (-t * 500.0).exp() * (std::f32::consts::TAU * 700.0 * t).sin();
            }
        }
        samples
    }

    fn analyse(mode: Mode, samples: &[f32]) -> Vec<AnalysisFrame> {
        let mut analyser = Analyser::new(mode);
        let mut frame = AnalysisFrame::default();
        samples
            .chunks_exact(HOP_LEN)
            .map(|hop| {
                analyser.push(hop, &mut frame);
                frame
            })
            .collect()
    }

    #[test]
    fn everything_in_a_frame_belongs_to_its_centre() {
        for mode in [Mode::Live, Mode::Mix] {
            let frames = analyse(mode, &phrase());
            for (hop, frame) in frames.iter().enumerate() {
                let end = HOP_LEN as i64 * (hop as i64 + 1);
                assert_eq!(frame.centre, end - Analyser::new(mode).delay_len() as i64);
            }
            let inside = |frame: &&AnalysisFrame| (11_500..26_000).contains(&frame.centre);
            let outside = |frame: &&AnalysisFrame| !(8_000..31_000).contains(&frame.centre);
            assert!(frames.iter().filter(inside).all(|frame| (frame.f0_hz - 200.0).abs() < 0.2), "{mode:?}");
            assert!(frames.iter().filter(outside).all(|frame| frame.f0_hz == 0.0), "{mode:?}");
            let loudest_outside = frames.iter().filter(outside).map(|frame| frame.loudness).fold(-99.0, f32::max);
            let softest_inside = frames.iter().filter(inside).map(|frame| frame.loudness).fold(99.0, f32::min);
            assert!(softest_inside > loudest_outside + 5.0, "{mode:?}: {softest_inside} {loudest_outside}");
        }
    }

    #[test]
    fn frames_are_timed_to_a_fraction_of_a_millisecond() {
        // Two octaves in one second: a millisecond of error is 2.4 cents, always to the same side.
        let mut phase = 0.0_f64;
        let samples: Vec<f32> = (0..48_000)
            .map(|n| {
                phase += 150.0 * 2.0_f64.powf(2.0 * f64::from(n) / 48_000.0) / 48_000.0;
                (1..12).map(|k| 0.1 / k as f32 * (std::f64::consts::TAU * phase * f64::from(k)).sin() as f32).sum()
            })
            .collect();
        for mode in [Mode::Live, Mode::Mix] {
            let mut offsets: Vec<f64> = analyse(mode, &samples)
                .iter()
                .filter(|frame| (4_800..36_000).contains(&frame.centre))
                .map(|frame| {
                    let truth = 150.0 * 2.0_f64.powf(2.0 * frame.centre as f64 / 48_000.0);
                    (f64::from(frame.f0_hz) / truth).log2() / 2.0 * 1000.0
                })
                .collect();
            offsets.sort_by(f64::total_cmp);
            let median = offsets[offsets.len() / 2];
            println!("{mode:?}: {median:.3} ms");
            assert!(median.abs() < 0.2, "{mode:?}: frames are {median} ms late");
        }
    }

    #[test]
    fn mel_is_as_far_ahead_of_the_centre_as_the_encoder_looks() {
        for mode in [Mode::Live, Mode::Mix] {
            let mut samples = vec![0.0; 48_000];
            samples[20_000..20_480].iter_mut().enumerate().for_each(|(n, s)| *s = 0.2 * (n as f32 * 0.3).sin());
            let frames = analyse(mode, &samples);
            let peak = |frame: &AnalysisFrame| frame.mel.iter().copied().fold(-99.0, f32::max);
            let loudest = frames.iter().max_by(|a, b| peak(a).total_cmp(&peak(b))).expect("frames");
            let mel_centre = loudest.centre + (content_look_ahead_frames(mode) * HOP_LEN) as i64;
            assert!((mel_centre - 20_240).abs() <= HOP_LEN as i64 / 2, "{mode:?}: {mel_centre}");
        }
    }

    #[test]
    fn hostile_samples_leave_no_trace() {
        for bad in [f32::NAN, f32::INFINITY, 1000.0, 1e-40, f32::MAX] {
            let mut samples = phrase();
            samples[1000..1100].fill(bad);
            for frame in analyse(Mode::Live, &samples) {
                assert!(frame.f0_hz.is_finite() && frame.loudness.is_finite() && frame.rms.is_finite(), "{bad}");
                assert!(frame.mel.iter().chain(&frame.envelope).all(|value| value.is_finite()), "{bad}");
            }
        }
    }

    #[test]
    fn reset_forgets_everything() {
        let samples = phrase();
        let mut analyser = Analyser::new(Mode::Mix);
        let (mut first, mut second) = (AnalysisFrame::default(), AnalysisFrame::default());
        let mut runs = Vec::new();
        for _ in 0..2 {
            analyser.reset();
            let mut run = Vec::new();
            for hop in samples.chunks_exact(HOP_LEN) {
                analyser.push(hop, &mut first);
                run.push((first.centre, first.f0_hz, first.loudness, first.mel));
            }
            runs.push(run);
            analyser.push(&samples[..HOP_LEN], &mut second);
        }
        assert!(runs[0] == runs[1]);
    }

    #[test]
    fn cost_of_one_hop() {
        let mut samples = phrase();
        samples.iter_mut().enumerate().for_each(|(n, s)| *s += 1e-3 * ((n * n) as f32).sin());
        for mode in [Mode::Live, Mode::Mix] {
            let mut analyser = Analyser::new(mode);
            let mut frame = AnalysisFrame::default();
            let mut times: Vec<f64> = (0..5)
                .flat_map(|_| samples.chunks_exact(HOP_LEN))
                .map(|hop| {
                    let start = std::time::Instant::now();
                    analyser.push(hop, &mut frame);
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let at = |share: usize| times[(times.len() - 1) * share / 100];
            println!("{mode:?}: median {:.3} ms, 99 % {:.3} ms, worst {:.3} ms", at(50), at(99), at(100));
            // A hop lasts 10 ms; this machine may be busy, so the bound is wide.
            assert!(at(50) < 3.0);
        }
    }
}
