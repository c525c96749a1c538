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
use crate::voice::{Kind, Manifest, MeanShapes, VoiceError};

/// Voiced frames that make a profile: 20 s.
pub const VOICED_FRAMES: usize = 2_000;

/// Most frames in a profile's bank.
pub const BANK_FRAMES: usize = 2_000;

/// Share of the bank that may be unvoiced.
const BANK_UNVOICED: usize = BANK_FRAMES / 3;

/// Unvoiced frames quieter than the voiced ones' mean by more than this (22 dB, in natural-log power) are pauses.
const ACTIVE_RANGE: f32 = 5.0;

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
/// Frames quieter than the gate or than 22 dB below the singing are left out. Statistics see every frame,
/// the bank two of three voiced ones.
#[derive(Clone, Debug)]
pub struct ProfileLearner {
    statistics: SpeakerStatistics,
    bank: Vec<BankFrame>,
    unvoiced_in_bank: usize,
    gate: f32,
}

impl ProfileLearner {
    /// A learner that ignores frames whose loudness (natural-log power) lies below `gate`.
    pub fn new(gate: f32) -> Self {
        Self { statistics: SpeakerStatistics::new(), bank: Vec::with_capacity(BANK_FRAMES), unvoiced_in_bank: 0, gate }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.statistics.clear();
        self.bank.clear();
        self.unvoiced_in_bank = 0;
    }

    /// How much has been heard, in `0.0..=1.0`; 1.0 = [`ProfileLearner::finish`] gives a profile.
    pub fn progress(&self) -> f32 {
        (self.statistics.count[0] as f32 / VOICED_FRAMES as f32).min(1.0)
    }

    /// Takes one frame; ignored once complete.
    ///
    /// # Realtime safety
    /// Does not allocate. [worker-thread]
    pub fn push(&mut self, frame: &LearnFrame<'_>) {
        let is_finite = frame.loudness.is_finite() && frame.envelope.iter().all(|v| v.is_finite());
        if !is_finite || frame.loudness < self.gate || self.progress() >= 1.0 {
            return;
        }
        let is_voiced = frame.f0_hz > 0.0;
        if !self.statistics.is_active(is_voiced, frame.loudness) {
            return;
        }
        let shape = std::array::from_fn(|band| frame.envelope[band] - frame.loudness);
        self.statistics.push(frame.f0_hz, frame.loudness, &shape, frame.key);
        let Some(key) = frame.key else { return };
        let wanted = if is_voiced {
            !self.statistics.count[0].is_multiple_of(3)
        } else {
            self.unvoiced_in_bank += 1;
            self.unvoiced_in_bank <= BANK_UNVOICED
        };
        if wanted && self.bank.len() < BANK_FRAMES {
            self.bank.push(BankFrame { key: *key, shape, f0_hz: frame.f0_hz });
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
        if self.statistics.count[0] < 100 {
            return None;
        }
        let mean_key = self.statistics.mean_key();
        let mut frames = self.bank.clone();
        for frame in &mut frames {
            frame.key.iter_mut().zip(mean_key).for_each(|(value, mean)| *value -= mean);
        }
        let content_space = if frames.is_empty() { String::new() } else { content_space.to_owned() };
        let (median_f0_hz, range_hz) = self.statistics.f0();
        Some(SourceProfile {
            bank: Bank::quantise(&frames),
            content_space,
            mean_key,
            median_f0_hz,
            range_hz,
            shapes: self.statistics.shapes(),
            bandwidth_hz: self.statistics.bandwidth_hz(),
            voiced_seconds: self.statistics.count[0] as f32 / 100.0,
        })
    }
}

/// Bins of the F0 histogram: a quarter of a semitone each, from 40 Hz.
const F0_BINS: usize = 256;
const F0_FLOOR_HZ: f32 = 40.0;
const F0_BINS_PER_OCTAVE: f32 = 48.0;

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
