//! The source profile: what the engine knows about the singer it converts from.
//!
//! A profile never changes once it is made, so the output remains a function of input, parameters and state. Learning runs
//! beside the conversion on the worker thread and has no effect until the finished profile is put in. Knows no voice
//! file of a target, no host, no thread.

use std::sync::{Arc, OnceLock};

use super::native::bands::{ENV_BANDS, centre_hz};
use crate::voice::bank::{Bank, BankFrame, KEY_LEN};
use crate::voice::manifest::{ENGINE_NATIVE, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use crate::voice::package::{Package, PackageWriter};
use crate::voice::{Delivery, Kind, Manifest, MeanShapes, VoiceError};

/// Voiced frames that make a profile: 20 s.
pub const VOICED_FRAMES: usize = 2_000;

/// Most frames in a profile's bank.
pub const BANK_FRAMES: usize = 2_000;

/// Share of the bank that may be unvoiced.
const BANK_UNVOICED: usize = BANK_FRAMES / 3;

/// Unvoiced frames quieter than the voiced ones' mean by more than this (22 dB, in natural-log power) are pauses.
const ACTIVE_RANGE: f32 = 5.0;

/// Medians of singers: from a low bass to a high soprano, in Hz.
const SUNG_HZ: std::ops::Range<f32> = 62.0..1_100.0;

/// A singer's range is wider than this ratio from its 5th to its 95th percentile: half a semitone.
const HELD_STILL: f32 = 1.03;

/// The population profile, built by the recipe from many speakers.
static POPULATION: &[u8] = include_bytes!("../../models/population.profile");

/// What is known about a singer.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceProfile {
    /// Keys and shapes; the keys have `mean_key` subtracted. Empty when learned without content features.
    pub bank: Bank,
    /// Content space of the keys; empty without a bank.
    pub content_space: String,
    /// Mean content key, to be subtracted from every key of this singer.
    pub mean_key: [f32; KEY_LEN],
    /// Median F0 of voiced frames, in Hz.
    pub median_f0_hz: f32,
    /// 5th and 95th percentile of the F0, in Hz.
    pub range_hz: [f32; 2],
    /// Average shapes.
    pub shapes: MeanShapes,
    /// Highest frequency with real signal, in Hz.
    pub bandwidth_hz: f32,
    /// Seconds of voiced audio behind it.
    pub voiced_seconds: f32,
}

impl SourceProfile {
    /// The profile used until the singer is learned: the average of many speakers, as many women as men.
    pub fn population() -> Arc<Self> {
        static PROFILE: OnceLock<Arc<SourceProfile>> = OnceLock::new();
        let open = || Self::from_bytes(POPULATION).expect("a test opens the embedded profile");
        PROFILE.get_or_init(|| Arc::new(open())).clone()
    }

    /// Why it is doubtful that a singer was learned, in words; `None` where it looks like one.
    pub fn doubt(&self) -> Option<String> {
        let [low, high] = self.range_hz;
        let is_odd = !SUNG_HZ.contains(&self.median_f0_hz);
        (is_odd || high < low * HELD_STILL).then(|| format!("learned {:.0} Hz: is that the singer?", self.median_f0_hz))
    }

    /// Reads a profile from a saved state or a file; treats every byte as hostile.
    ///
    /// # Errors
    /// [`VoiceError`]: what is wrong and what to do.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VoiceError> {
        let package = Package::open(bytes)?;
        crate::voice::expect_kind(&package.manifest, Kind::Singer)?;
        let mean = package.f32_array("stats/mean_key", &[64], -1e4..=1e4)?;
        let mut mean_key = [0.0; KEY_LEN];
        mean_key.copy_from_slice(&mean);
        Ok(Self {
            bank: Bank::read(&package)?,
            shapes: crate::voice::read_mean_shapes(&package)?,
            mean_key,
            median_f0_hz: package.manifest.median_f0_hz,
            range_hz: package.manifest.range_hz,
            bandwidth_hz: package.manifest.bandwidth_hz,
            voiced_seconds: package.manifest.voiced_seconds,
            content_space: package.manifest.content_space,
        })
    }

    /// Writes the profile for a saved state or a file: about 250 kB.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the name is too long or a statistic is impossible.
    pub fn to_bytes(&self, name: &str, attribution: &str) -> Result<Vec<u8>, VoiceError> {
        let mut writer = PackageWriter::new(Manifest {
            format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
            kind: Kind::Singer,
            engine: ENGINE_NATIVE.to_owned(),
            content_space: self.content_space.clone(),
            name: name.to_owned(),
            description: String::new(),
            languages: Vec::new(),
            author: String::new(),
            licence: String::new(),
            attribution: attribution.to_owned(),
            consent: None,
            median_f0_hz: self.median_f0_hz,
            range_hz: self.range_hz,
            delivery: Delivery::default(),
            bandwidth_hz: self.bandwidth_hz,
            voiced_seconds: self.voiced_seconds,
            previous_ids: Vec::new(),
            improved_from: None,
            members: Vec::new(),
        });
        if !self.bank.is_empty() {
            self.bank.write(&mut writer);
        }
        crate::voice::write_mean_shapes(&self.shapes, &mut writer);
        writer.push_f32("stats/mean_key", &[KEY_LEN], &self.mean_key);
        writer.finish()
    }
}

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
            gate,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.loudness.counts.fill(0);
        (self.unvoiced, self.run) = (0, 0);
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
        let loudness = &mut self.loudness;
        for frame in self.frames.drain(self.frames.len() - STILL_FRAMES..) {
            loudness.counts[LoudnessHistogram::step(frame.loudness)] -= 1;
        }
        // The next frame of it is compared with those before, which are gone: it may begin anew.
        self.run = 0;
    }

    /// Makes room: what is too quiet by now does not become loud.
    fn drop_quiet(&mut self) {
        let Some(floor) = self.loudness.floor() else { return };
        self.frames.retain(|frame| frame.loudness >= floor);
        self.loudness.counts.fill(0);
        self.unvoiced = 0;
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
                !statistics.count[0].is_multiple_of(3)
            } else {
                unvoiced_in_bank += 1;
                unvoiced_in_bank <= BANK_UNVOICED
            };
            if wanted && bank.len() < BANK_FRAMES {
                bank.push(BankFrame { key, shape: frame.shape, f0_hz: frame.f0_hz });
            }
        }
        if statistics.count[0] < 100 {
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
            voiced_seconds: statistics.count[0] as f32 / 100.0,
        })
    }
}

/// Bins of the F0 histogram: a quarter of a semitone each, from 40 Hz.
const F0_BINS: usize = 256;
const F0_FLOOR_HZ: f32 = 40.0;
const F0_BINS_PER_OCTAVE: f32 = 48.0;

/// Frames between two readings of the F0 that are compared to tell song from speech: 180 ms, one turn of a usual
/// vibrato, after which a held note is back where it was.
const HELD_FRAMES: usize = 18;

/// Readings closer than this count as held, in octaves: half a semitone.
const HELD_OCTAVES: f32 = 0.5 / 12.0;

/// From this share of held readings on it is song. Of 40 speakers of the speech set half stay below 0.24 and 36 below
/// 0.65 (few seconds each, by an independent tracker); five singers of single notes have 0.76 to 0.97.
const SUNG_SHARE: f32 = 0.65;

/// Fewest readings to judge from.
const LEAST_READINGS: usize = 500;

/// Running statistics of one speaker: shapes, keys, F0, loudness. Used for singers and for voices alike.
#[derive(Clone, Debug)]
pub struct SpeakerStatistics {
    /// Active frames: voiced, unvoiced.
    count: [usize; 2],
    shape_sum: [[f64; ENV_BANDS]; 2],
    power_sum: [f64; ENV_BANDS],
    key_sum: [f64; KEY_LEN],
    keys: usize,
    loudness_sum: f64,
    f0_histogram: Box<[u32; F0_BINS]>,
    /// F0 of the newest frames, and how many of them are voiced without a break.
    latest_f0_hz: [f32; HELD_FRAMES],
    voiced_run: usize,
    /// Readings of the F0 that were compared, and those that were held.
    readings: usize,
    held: usize,
}

impl SpeakerStatistics {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            count: [0; 2],
            shape_sum: [[0.0; ENV_BANDS]; 2],
            power_sum: [0.0; ENV_BANDS],
            key_sum: [0.0; KEY_LEN],
            keys: 0,
            loudness_sum: 0.0,
            f0_histogram: Box::new([0; F0_BINS]),
            latest_f0_hz: [0.0; HELD_FRAMES],
            voiced_run: 0,
            readings: 0,
            held: 0,
        }
    }

    /// Forgets everything; does not allocate.
    pub fn clear(&mut self) {
        self.count = [0; 2];
        self.shape_sum = [[0.0; ENV_BANDS]; 2];
        self.power_sum = [0.0; ENV_BANDS];
        self.key_sum = [0.0; KEY_LEN];
        self.keys = 0;
        self.loudness_sum = 0.0;
        self.f0_histogram.fill(0);
        (self.voiced_run, self.readings, self.held) = (0, 0, 0);
    }

    /// Voiced frames so far.
    pub fn voiced_frames(&self) -> usize {
        self.count[0]
    }

    /// Whether a frame is voice and not a pause, judged by the frames so far.
    pub fn is_active(&self, is_voiced: bool, loudness: f32) -> bool {
        let mean = self.loudness_sum / self.count[0].max(1) as f64;
        is_voiced && self.count[0] < 50 || self.count[0] > 0 && f64::from(loudness + ACTIVE_RANGE) > mean
    }

    /// Adds an active frame.
    pub fn push(&mut self, f0_hz: f32, loudness: f32, shape: &[f32; ENV_BANDS], key: Option<&[f32; KEY_LEN]>) {
        let class = usize::from(f0_hz <= 0.0);
        self.count[class] += 1;
        self.compare(f0_hz);
        for (band, &value) in shape.iter().enumerate() {
            self.shape_sum[class][band] += f64::from(value);
            self.power_sum[band] += f64::from(value.min(30.0)).exp();
        }
        if let Some(key) = key.filter(|key| key.iter().all(|v| v.is_finite())) {
            self.keys += 1;
            self.key_sum.iter_mut().zip(key).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        if class == 0 {
            self.loudness_sum += f64::from(loudness);
            let bin = (F0_BINS_PER_OCTAVE * (f0_hz / F0_FLOOR_HZ).log2()).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the histogram")]
            let bin = bin.clamp(0.0, (F0_BINS - 1) as f32) as usize;
            self.f0_histogram[bin] += 1;
        }
    }

    /// Compares a frame's F0 with that of a vibrato's turn before.
    fn compare(&mut self, f0_hz: f32) {
        if f0_hz <= 0.0 {
            self.voiced_run = 0;
            return;
        }
        let place = self.voiced_run % HELD_FRAMES;
        if self.voiced_run >= HELD_FRAMES {
            self.readings += 1;
            self.held += usize::from((f0_hz / self.latest_f0_hz[place]).log2().abs() < HELD_OCTAVES);
        }
        self.latest_f0_hz[place] = f0_hz;
        self.voiced_run += 1;
    }

    /// Whether what was heard is sung or spoken: song holds its notes. Spoken where too little was heard.
    pub fn delivery(&self) -> Delivery {
        let is_sung = self.readings >= LEAST_READINGS && self.held as f32 >= SUNG_SHARE * self.readings as f32;
        if is_sung { Delivery::Sung } else { Delivery::Spoken }
    }

    /// Mean shapes of voiced and unvoiced frames. Without unvoiced frames the voiced mean stands for both.
    pub fn shapes(&self) -> MeanShapes {
        let mean = |class: usize| {
            std::array::from_fn(|band| (self.shape_sum[class][band] / self.count[class].max(1) as f64) as f32)
        };
        let voiced = mean(0);
        let unvoiced = if self.count[1] >= 20 { mean(1) } else { voiced };
        MeanShapes { voiced, unvoiced }
    }

    /// Mean key of all active frames; zero without keys.
    pub fn mean_key(&self) -> [f32; KEY_LEN] {
        std::array::from_fn(|n| (self.key_sum[n] / self.keys.max(1) as f64) as f32)
    }

    /// Median F0 and its 5th and 95th percentile in Hz, to a quarter of a semitone.
    pub fn f0(&self) -> (f32, [f32; 2]) {
        let percentile = |share: f64| {
            let wanted = share * self.count[0] as f64;
            let mut seen = 0.0;
            let bin = self.f0_histogram.iter().position(|&n| {
                seen += f64::from(n);
                seen >= wanted && seen > 0.0
            });
            F0_FLOOR_HZ * (bin.unwrap_or(F0_BINS / 2) as f32 / F0_BINS_PER_OCTAVE).exp2()
        };
        (percentile(0.5), [percentile(0.05), percentile(0.95)])
    }

    /// Highest frequency with real signal in Hz: where the mean power falls off a cliff, or the top of the axis.
    ///
    /// A resampled or compressed recording loses 13 dB or more from one band to the next but one; speech itself never
    /// falls that fast above 3 kHz.
    pub fn bandwidth_hz(&self) -> f32 {
        const CLIFF: f64 = 3.0;
        let power = |band: usize| self.power_sum[band].max(1e-30).ln();
        let first = (0..ENV_BANDS).find(|&band| centre_hz(band) > 3_000.0).unwrap_or(ENV_BANDS);
        let edge = (first..ENV_BANDS - 2).find(|&band| power(band) - power(band + 2) > CLIFF);
        centre_hz(edge.unwrap_or(ENV_BANDS - 1))
    }
}

impl Default for SpeakerStatistics {
    fn default() -> Self {
        Self::new()
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

    #[test]
    fn the_population_is_a_plausible_profile() {
        let population = SourceProfile::population();
        // Between the medians of men and women.
        assert!((130.0..200.0).contains(&population.median_f0_hz), "{}", population.median_f0_hz);
        assert!(population.bank.len() >= 2_000 && !population.content_space.is_empty());
        assert!((6_000.0..=8_000.0).contains(&population.bandwidth_hz));
    }

    #[test]
    fn song_is_told_from_speech_by_its_held_notes() {
        let heard = |f0_hz: &dyn Fn(f32) -> f32| {
            let mut statistics = SpeakerStatistics::new();
            for frame in 0..1_000 {
                let f0_hz = if frame % 100 < 10 { 0.0 } else { f0_hz(frame as f32 / 100.0) };
                statistics.push(f0_hz, 0.0, &[0.0; ENV_BANDS], None);
            }
            statistics.delivery()
        };
        // A new note every second, with vibrato; and a voice that rises and falls by five semitones a second.
        let vibrato = |t: f32| 0.6 * (std::f32::consts::TAU * 5.5 * t).sin();
        let song = |t: f32| 220.0 * ((t.floor() * 5.0 % 12.0 + vibrato(t)) / 12.0).exp2();
        let speech = |t: f32| 120.0 * (4.0 * (std::f32::consts::TAU * 0.8 * t).sin() / 12.0).exp2();
        assert_eq!((heard(&song), heard(&speech)), (Delivery::Sung, Delivery::Spoken));
        assert_eq!(SpeakerStatistics::new().delivery(), Delivery::Spoken);
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
        assert!(learner.progress() < 0.05 && learner.finish_early("").is_none());
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

    #[test]
    fn the_edge_of_a_band_limited_recording_is_found() {
        for (edge_hz, low, high) in [(8_000.0, 6_800.0, 8_100.0), (30_000.0, 20_000.0, 21_000.0)] {
            let mut statistics = SpeakerStatistics::new();
            let shape = std::array::from_fn(|band| {
                let hz = centre_hz(band);
                -1.5 * (hz.max(500.0) / 500.0).log2() - if hz > edge_hz { 8.0 } else { 0.0 }
            });
            (0..100).for_each(|_| statistics.push(200.0, 0.0, &shape, None));
            let found = statistics.bandwidth_hz();
            assert!((low..=high).contains(&found), "{found} for {edge_hz}");
        }
    }
}
