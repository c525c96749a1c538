//! The source profile: what the engine knows about the singer it converts from.
//!
//! A profile never changes once it is made, so the output remains a function of input, parameters and state. Learning runs
//! beside the conversion on the worker thread and has no effect until the finished profile is put in. Knows no voice
//! file of a target, no host, no thread.

mod learner;
mod statistics;

use std::sync::{Arc, OnceLock};

pub use learner::{BANK_FRAMES, LearnFrame, ProfileLearner, VOICED_FRAMES};
pub use statistics::SpeakerStatistics;

use crate::voice::bank::{Bank, KEY_LEN};
use crate::voice::manifest::{ENGINE_NATIVE, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use crate::voice::package::{Package, PackageWriter};
use crate::voice::{Delivery, Kind, Manifest, MeanShapes, VoiceError};

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
            shapes: MeanShapes::read(&package)?,
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
        self.shapes.write(&mut writer);
        writer.push_f32("stats/mean_key", &[KEY_LEN], &self.mean_key);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_population_is_a_plausible_profile() {
        let population = SourceProfile::population();
        // Between the medians of men and women.
        assert!((130.0..200.0).contains(&population.median_f0_hz), "{}", population.median_f0_hz);
        assert!(population.bank.len() >= 2_000 && !population.content_space.is_empty());
        assert!((6_000.0..=8_000.0).contains(&population.bandwidth_hz));
    }
}
