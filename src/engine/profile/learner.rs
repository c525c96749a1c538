//! Learns the profile of a singer from the frames of a stream.
//!
//! Runs on the worker thread or in the command line. Knows no voice file, host or thread.

use super::{SourceProfile, SpeakerStatistics};
use crate::engine::bands::ENV_BANDS;
use crate::voice::bank::{Bank, BankFrame, KEY_LEN};

/// Voiced frames that make a profile: 20 s.
pub const VOICED_FRAMES: usize = 2_000;

/// Most frames in a profile's bank.
pub const BANK_FRAMES: usize = 2_000;

/// Share of the bank that may be unvoiced.
const BANK_UNVOICED: usize = BANK_FRAMES / 3;

/// The learner's input for one 10 ms frame of the singer.
#[derive(Clone, Copy, Debug)]
pub struct LearnFrame<'a> {
    /// F0 in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Loudness, natural-log power.
    pub loudness: f32,
    /// Envelope, natural-log power per band.
    pub envelope: &'a [f32; ENV_BANDS],
    /// Content key of the same frame; `None` while there are no content features.
    pub key: Option<&'a [f32; KEY_LEN]>,
}

/// Learns a profile from the frames of a stream.
///
/// What is not the singer is left out: frames far below the loud ones (breath, bleed from headphones, hum), and a
/// pitch that holds still as no voice does (mains hum, a test tone). How loud the loud ones are is known only later, so
/// the frames are kept and judged at the end. Statistics see every frame that is left, the bank two of three voiced ones.
#[derive(Clone, Debug)]
pub struct ProfileLearner {
    frames: Vec<HeardFrame>,
    /// Voiced frames among them, by loudness.
    loudness: LoudnessHistogram,
    unvoiced: usize,
    /// Voiced frames at the end of `frames` without a break.
    run: usize,
    /// F0 and loudness of what holds still now, as a machine's does.
    still: Option<[f32; 2]>,
    gate: f32,
}

/// A frame as it is kept.
#[derive(Clone, Debug)]
struct HeardFrame {
    f0_hz: f32,
    loudness: f32,
    shape: [f32; ENV_BANDS],
    key: Option<[f32; KEY_LEN]>,
}

/// Most frames that are kept until the end, 3 MB; then those that are too quiet go.
const KEPT_FRAMES: usize = 5_000;

/// Most unvoiced ones among them.
const KEPT_UNVOICED: usize = 1_500;

/// Frames this far below the loud ones are not the singer: 24 dB, in natural-log power.
const LOUD_RANGE: f32 = 5.5;

/// Frames over which a pitch and a level that hold still are a machine's: half a second.
const STILL_FRAMES: usize = 50;

/// No voice holds its pitch this still for so long: ± 4 cents.
const STILL_RATIO: f32 = 1.0023;

/// Nor its level: 1.5 dB from lowest to highest, in natural-log power.
const STILL_LEVEL: f32 = 0.35;

/// Loudness of voiced frames, in steps of a decibel.
#[derive(Clone, Debug)]
struct LoudnessHistogram {
    counts: Box<[u32; 240]>,
}

impl LoudnessHistogram {
    /// Decibels of one natural-log unit of power.
    const DB: f32 = 4.343;
    /// Level of the lowest step.
    const LOWEST_DB: f32 = -160.0;
    /// The loud frames: this share.
    const LOUD: f32 = 0.1;

    fn step(loudness: f32) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the histogram")]
        let step = (loudness * Self::DB - Self::LOWEST_DB).clamp(0.0, 239.0) as usize;
        step
    }

    fn total(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// The level below which a frame is not the singer's; `None` before anything is voiced.
    fn floor(&self) -> Option<f32> {
        let wanted = (self.total() as f32 * Self::LOUD).max(1.0);
        let mut seen = 0.0;
        let loud = self.counts.iter().enumerate().rev().find_map(|(step, &count)| {
            seen += count as f32;
            (seen >= wanted).then_some(step)
        })?;
        Some((loud as f32 + Self::LOWEST_DB) / Self::DB - LOUD_RANGE)
    }

    /// Frames at this level or above.
    fn at_least(&self, loudness: f32) -> u32 {
        self.counts[Self::step(loudness)..].iter().sum()
    }
}

impl ProfileLearner {
    /// A learner that ignores frames whose loudness (natural-log power) lies below `gate`.
    pub fn new(gate: f32) -> Self {
        Self {
            frames: Vec::with_capacity(KEPT_FRAMES),
            loudness: LoudnessHistogram { counts: Box::new([0; 240]) },
            unvoiced: 0,
            run: 0,
            still: None,
            gate,
        }
    }

    /// How much has been heard, in `0.0..=1.0`; 1.0 = [`ProfileLearner::finish`] gives a profile.
    pub fn progress(&self) -> f32 {
        let heard = self.loudness.floor().map_or(0, |floor| self.loudness.at_least(floor));
        (heard as f32 / VOICED_FRAMES as f32).min(1.0)
    }

    /// Takes one frame; ignored once complete.
    ///
    /// # Realtime safety
    /// Does not allocate. [worker-thread]
    pub fn push(&mut self, frame: &LearnFrame<'_>) {
        let is_finite = frame.loudness.is_finite() && frame.envelope.iter().all(|v| v.is_finite());
        if !is_finite || frame.loudness < self.gate || self.progress() >= 1.0 {
            self.run = 0;
            return;
        }
        let is_voiced = frame.f0_hz > 0.0;
        if self.is_still(frame) {
            return;
        }
        self.still = None;
        if !is_voiced {
            self.run = 0;
            // Between quiet voices nothing is said; and what is loud now was checked against what was loud before.
            let is_loud = self.loudness.floor().is_some_and(|floor| frame.loudness >= floor);
            if !is_loud || self.unvoiced >= KEPT_UNVOICED {
                return;
            }
        }
        if self.frames.len() == KEPT_FRAMES {
            self.drop_quiet();
            if self.frames.len() == KEPT_FRAMES {
                return;
            }
        }
        let shape = std::array::from_fn(|band| frame.envelope[band] - frame.loudness);
        self.frames.push(HeardFrame { f0_hz: frame.f0_hz, loudness: frame.loudness, shape, key: frame.key.copied() });
        if is_voiced {
            self.loudness.counts[LoudnessHistogram::step(frame.loudness)] += 1;
            self.run += 1;
            self.drop_still();
        } else {
            self.unvoiced += 1;
        }
    }

    /// Takes back the newest frames if they are a machine's.
    fn drop_still(&mut self) {
        if self.run < STILL_FRAMES {
            return;
        }
        let newest = &self.frames[self.frames.len() - STILL_FRAMES..];
        let span = |of: fn(&HeardFrame) -> f32| {
            newest.iter().map(of).fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (pitch, level) = (span(|frame| frame.f0_hz), span(|frame| frame.loudness));
        if pitch.1 / pitch.0 > STILL_RATIO * STILL_RATIO || level.1 - level.0 > STILL_LEVEL {
            return;
        }
        self.still = newest.last().map(|frame| [frame.f0_hz, frame.loudness]);
        let loudness = &mut self.loudness;
        for frame in self.frames.drain(self.frames.len() - STILL_FRAMES..) {
            loudness.counts[LoudnessHistogram::step(frame.loudness)] -= 1;
        }
        self.run = 0;
    }

    /// Whether a frame goes on with what was found to hold still.
    fn is_still(&self, frame: &LearnFrame<'_>) -> bool {
        self.still.is_some_and(|[f0_hz, loudness]| {
            let ratio = frame.f0_hz / f0_hz;
            (1.0 / STILL_RATIO..=STILL_RATIO).contains(&ratio) && (frame.loudness - loudness).abs() <= STILL_LEVEL
        })
    }

    /// Makes room: what is too quiet by now does not become loud.
    fn drop_quiet(&mut self) {
        let Some(floor) = self.loudness.floor() else { return };
        self.frames.retain(|frame| frame.loudness >= floor);
        self.loudness.counts.fill(0);
        // Frames of the run may be gone.
        (self.unvoiced, self.run) = (0, 0);
        for frame in &self.frames {
            if frame.f0_hz > 0.0 {
                self.loudness.counts[LoudnessHistogram::step(frame.loudness)] += 1;
            } else {
                self.unvoiced += 1;
            }
        }
    }

    /// The learned profile, or `None` before `progress()` is 1.0. `content_space` names the encoder.
    ///
    /// Allocates and takes some milliseconds: once, on the worker thread or in the command line.
    pub fn finish(&self, content_space: &str) -> Option<SourceProfile> {
        (self.progress() >= 1.0).then(|| self.finish_early(content_space)).flatten()
    }

    /// As [`ProfileLearner::finish`], from whatever was heard; `None` below one second of voiced audio. For short
    /// files.
    pub fn finish_early(&self, content_space: &str) -> Option<SourceProfile> {
        // By whole steps, as `progress` counts.
        let floor = LoudnessHistogram::step(self.loudness.floor()?);
        let mut statistics = SpeakerStatistics::new();
        let mut bank = Vec::with_capacity(BANK_FRAMES);
        let mut unvoiced_in_bank = 0;
        for frame in self.frames.iter().filter(|frame| LoudnessHistogram::step(frame.loudness) >= floor) {
            statistics.push(frame.f0_hz, frame.loudness, &frame.shape, frame.key.as_ref());
            let Some(key) = frame.key else { continue };
            let wanted = if frame.f0_hz > 0.0 {
                !statistics.voiced_frames().is_multiple_of(3)
            } else {
                unvoiced_in_bank += 1;
                unvoiced_in_bank <= BANK_UNVOICED
            };
            if wanted && bank.len() < BANK_FRAMES {
                bank.push(BankFrame { key, shape: frame.shape, f0_hz: frame.f0_hz });
            }
        }
        if statistics.voiced_frames() < 100 {
            return None;
        }
        let mean_key = statistics.mean_key();
        for frame in &mut bank {
            frame.key.iter_mut().zip(mean_key).for_each(|(value, mean)| *value -= mean);
        }
        let content_space = if bank.is_empty() { String::new() } else { content_space.to_owned() };
        let (median_f0_hz, range_hz) = statistics.f0();
        Some(SourceProfile {
            bank: Bank::quantise(&bank),
            content_space,
            mean_key,
            median_f0_hz,
            range_hz,
            shapes: statistics.shapes(),
            bandwidth_hz: statistics.bandwidth_hz(),
            voiced_seconds: statistics.voiced_frames() as f32 / 100.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(learner: &mut ProfileLearner, frames: usize) {
        for i in 0..frames {
            let wave = |n: usize, step: f32| ((i * 7 + n) as f32 * step).sin();
            let envelope = std::array::from_fn(|band| -8.0 - 0.05 * band as f32 + wave(band, 0.2));
            let key = std::array::from_fn(|n| 2.0 + wave(n, 0.31));
            let f0_hz = if i % 4 == 3 { 0.0 } else { 200.0 + 10.0 * wave(0, 0.01) };
            // Every tenth frame is a pause.
            let loudness = if i % 10 == 9 { -20.0 } else { -4.0 };
            learner.push(&LearnFrame { f0_hz, loudness, envelope: &envelope, key: Some(&key) });
        }
    }

    #[test]
    fn twenty_seconds_of_voiced_sound_make_a_profile() {
        let mut learner = ProfileLearner::new(-15.0);
        learn(&mut learner, 1_000);
        assert!(learner.finish("space").is_none());
        let progress = learner.progress();
        assert!((0.2..0.5).contains(&progress), "{progress}");
        learn(&mut learner, 4_000);
        assert_eq!(learner.progress(), 1.0);
        let profile = learner.finish("space").expect("complete");
        assert!((profile.median_f0_hz / 200.0).log2().abs() * 12.0 < 0.5, "{}", profile.median_f0_hz);
        assert!(profile.bank.len() > 1_500 && profile.bank.len() <= BANK_FRAMES, "{}", profile.bank.len());
        assert_eq!(profile.voiced_seconds, 20.0);
        assert!(profile.mean_key.iter().all(|&mean| (mean - 2.0).abs() < 0.2));
        // Frozen: more audio changes nothing.
        learn(&mut learner, 500);
        assert_eq!(learner.finish("space"), Some(profile));
    }

    #[test]
    fn a_profile_survives_the_saved_state() {
        let mut learner = ProfileLearner::new(-15.0);
        learn(&mut learner, 4_000);
        let profile = learner.finish("space").expect("complete");
        let bytes = profile.to_bytes("Singer", "").expect("valid");
        assert_eq!(SourceProfile::from_bytes(&bytes), Ok(profile.clone()));
        assert_eq!(bytes, profile.to_bytes("Singer", "").expect("valid"), "writing is deterministic");
        for len in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
            assert!(SourceProfile::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
    }

    /// Seconds of a voice around `hz` at a loudness, and of a hum, in turns of half a second.
    fn learn_beside_hum(voice_hz: f32, hum_hz: f32, hum_below: f32, wobble: f32) -> Option<SourceProfile> {
        let mut learner = ProfileLearner::new(f32::MIN);
        for i in 0..9_000 {
            let wave = |n: usize, step: f32| ((i * 7 + n) as f32 * step).sin();
            // First a long pause, then phrases with pauses between them.
            let is_voice = i > 600 && i / 100 % 2 == 0;
            let envelope = std::array::from_fn(|band| -8.0 - 0.05 * band as f32 + wave(band, 0.2));
            let (f0_hz, loudness) = match is_voice {
                true => (voice_hz * (1.0 + 0.03 * wave(0, 0.02)), -4.0 + wave(0, 0.013)),
                false => (hum_hz * (1.0 + wobble * wave(1, 0.11)), -4.0 - hum_below + wobble * wave(2, 0.07)),
            };
            learner.push(&LearnFrame { f0_hz, loudness, envelope: &envelope, key: None });
        }
        learner.finish_early("")
    }

    #[test]
    fn hum_and_bleed_are_not_taken_for_the_singer() {
        let is_singer = |profile: Option<SourceProfile>| {
            profile.is_some_and(|profile| {
                (profile.median_f0_hz / 151.0).log2().abs() < 0.05
                    && profile.range_hz[0] > 120.0
                    && profile.doubt().is_none()
            })
        };
        // A hum that holds still, down to as loud as the voice; and one that wobbles, far enough below.
        for below in [0.0, 2.0, 4.0, 6.0, 10.0] {
            assert!(is_singer(learn_beside_hum(151.0, 49.7, below, 0.0)), "{below} below");
        }
        for below in [6.5, 8.0] {
            assert!(is_singer(learn_beside_hum(151.0, 90.0, below, 0.02)), "{below} below");
        }
        // Hum alone teaches nothing, or says that it is doubtful.
        let mut learner = ProfileLearner::new(f32::MIN);
        for _ in 0..5_000 {
            learner.push(&LearnFrame { f0_hz: 49.7, loudness: -6.0, envelope: &[-8.0; ENV_BANDS], key: None });
        }
        assert!(learner.frames.is_empty() && learner.finish_early("").is_none());
        let low = SourceProfile { median_f0_hz: 50.0, ..(*SourceProfile::population()).clone() };
        assert_eq!(low.doubt().as_deref(), Some("learned 50 Hz: is that the singer?"));
        assert_eq!(SourceProfile::population().doubt(), None);
    }

    #[test]
    fn a_learner_that_hears_for_long_keeps_its_bounds() {
        let mut learner = ProfileLearner::new(f32::MIN);
        // Quiet voices for minutes, then the singer.
        for i in 0..20_000 {
            let f0_hz = if i % 4 == 3 { 0.0 } else { 90.0 + (i % 17) as f32 };
            learner.push(&LearnFrame {
                f0_hz,
                loudness: -14.0 + 0.5 * ((i % 5) as f32),
                envelope: &[-8.0; ENV_BANDS],
                key: None,
            });
            assert!(learner.frames.len() <= KEPT_FRAMES && learner.frames.capacity() == KEPT_FRAMES);
            if learner.progress() >= 1.0 {
                break;
            }
        }
        assert_eq!(learner.progress(), 1.0, "what is evenly loud is the singer");
    }

    #[test]
    fn silence_and_junk_teach_nothing() {
        let mut learner = ProfileLearner::new(-15.0);
        for value in [f32::NAN, f32::INFINITY, -50.0] {
            let frame =
                LearnFrame { f0_hz: 200.0, loudness: value, envelope: &[value; ENV_BANDS], key: Some(&[value; 64]) };
            learner.push(&frame);
        }
        assert_eq!(learner.progress(), 0.0);
        assert!(learner.finish_early("space").is_none());
    }
}
