//! Cloning: recordings in, voice file out. No training: the voice is its statistics and its bank.
//!
//! Runs in the command line, or in the editor's background work; takes seconds to minutes and allocates freely. The
//! same recordings give the same file.

pub mod background;
pub mod captured;
pub mod check;
pub mod cloner;
pub mod features;
pub mod improve;
pub mod job;
pub mod listen;
mod noise;
mod preview;
pub mod recording;
mod restoration;
mod select;

use crate::engine::content::ContentEncoder;
use crate::engine::profile::SpeakerStatistics;
use crate::onnx::GraphError;
use crate::voice::manifest::{ENGINE_NATIVE, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use crate::voice::{Bank, BankFrame, Consent, Kind, Manifest, NativeVoice, Portrait, Signer, Voice, VoiceError};

pub use check::{Check, Finding, Grade};
pub use cloner::{Analysed, Cloner};
pub use features::{AnalysedFrame, FeatureExtractor, FeatureFrame, encode};
pub use noise::NoiseFloor;

/// Least voiced audio that a voice can be made of, in seconds: what 5 s of ordinary speech hold.
pub const LEAST_VOICED_SECONDS: f32 = 2.0;

/// Frames of a bank unless the options say otherwise: four minutes of voice, about 4 MB.
pub const DEFAULT_BANK_FRAMES: usize = 24_000;

/// What the maker says about the voice.
#[derive(Clone, Debug, Default)]
pub struct CloneOptions {
    /// Display name.
    pub name: String,
    /// One or two sentences on range and timbre.
    pub description: String,
    /// Languages of the recordings, BCP 47.
    pub languages: Vec<String>,
    /// Who makes the file.
    pub author: String,
    /// Licence of the file, SPDX where possible.
    pub licence: String,
    /// Attribution that must or should be shown.
    pub attribution: String,
    /// Whose voice it is and on what ground; `None` = origin unknown.
    pub consent: Option<Consent>,
    /// Real bandwidth of the recordings in Hz; `None` = measure it.
    pub bandwidth_hz: Option<f32>,
    /// Most frames in the bank; `None` = [`DEFAULT_BANK_FRAMES`].
    pub bank_frames: Option<usize>,
    /// Whether the file gets a few seconds of the recordings to listen to; for [`Analysed::make`].
    pub has_preview: bool,
    /// Whether the file keeps the recordings, so that the bank can be made again; for [`Analysed::make`].
    pub keeps_recordings: bool,
    /// A picture of the voice; for [`Analysed::make`].
    pub portrait: Option<Portrait>,
    /// Signs the file; for [`Analysed::make`].
    pub signer: Option<Signer>,
}

/// Why no voice came out.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// The recordings hold too little voice.
    #[error("only {voiced_seconds:.1} s of voice were found, {LEAST_VOICED_SECONDS} s are needed. Add recordings")]
    TooShort {
        /// Seconds of voiced audio found.
        voiced_seconds: f32,
    },
    /// The content encoder failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No thread could be started, or one ended unexpectedly.
    #[error("{reason}. Close other programs and try again")]
    Thread {
        /// The reason in words.
        reason: String,
    },
    /// Preview or recordings could not be packed.
    #[error("the recordings cannot be packed: {reason}")]
    Audio {
        /// The reason in words.
        reason: String,
    },
    /// The voice file could not be written.
    #[error(transparent)]
    Voice(#[from] VoiceError),
}

/// Makes a voice file from recordings at 48 kHz, mono.
///
/// Without an encoder the voice has average shapes only and no bank. `progress` is called with 0..=1.
///
/// # Errors
/// [`CloneError`] with the reason.
pub fn clone_voice<'a>(
    recordings: impl ExactSizeIterator<Item = &'a [f32]>,
    mut encoder: Option<&mut ContentEncoder>,
    options: &CloneOptions,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<u8>, CloneError> {
    let count = recordings.len().max(1) as f32;
    if let Some(encoder) = &mut encoder {
        encoder.reset();
    }
    let mut extractor = FeatureExtractor::new();
    let mut takes = Vec::new();
    for (index, samples) in recordings.enumerate() {
        takes.push(encode(&extractor.analyse(samples), encoder.as_deref_mut())?);
        progress(0.9 * (index + 1) as f32 / count);
    }
    let space = encoder.as_ref().map_or("", |encoder| encoder.space());
    let voice = voice_from_features(&mut takes, space, options)?;
    progress(1.0);
    Ok(voice)
}

/// Makes a voice file from analysed recordings, one list of frames per take. The noise floor is removed from `takes`.
///
/// # Errors
/// [`CloneError`] with the reason.
pub fn voice_from_features(
    takes: &mut [Vec<FeatureFrame>],
    content_space: &str,
    options: &CloneOptions,
) -> Result<Vec<u8>, CloneError> {
    let (manifest, parts) = voice_parts(takes, content_space, options)?;
    Ok(Voice::write(manifest, &parts)?)
}

/// Manifest and parts of a voice from analysed recordings. The noise floor is removed from `takes`.
fn voice_parts(
    takes: &mut [Vec<FeatureFrame>],
    content_space: &str,
    options: &CloneOptions,
) -> Result<(Manifest, NativeVoice), CloneError> {
    if let Some(floor) = NoiseFloor::estimate(takes) {
        takes.iter_mut().flatten().for_each(|frame| floor.remove(frame));
    }
    let threshold = select::activity_threshold(takes);
    let mut statistics = SpeakerStatistics::new();
    for frame in takes.iter().flatten().filter(|frame| frame.loudness > threshold) {
        statistics.push(frame.f0_hz, frame.loudness, &frame.shape(), frame.key.as_deref());
    }
    let voiced_seconds = statistics.voiced_frames() as f32 / 100.0;
    if voiced_seconds < LEAST_VOICED_SECONDS {
        return Err(CloneError::TooShort { voiced_seconds });
    }
    let mean_key = statistics.mean_key();
    let chosen = select::bank_frames(takes, threshold, options.bank_frames.unwrap_or(DEFAULT_BANK_FRAMES));
    let bank_of = |frame: &FeatureFrame| {
        let key = frame.key.as_deref()?;
        let key = std::array::from_fn(|n| key[n] - mean_key[n]);
        Some(BankFrame { key, shape: frame.shape(), f0_hz: frame.f0_hz })
    };
    let frames: Vec<BankFrame> = chosen.iter().filter_map(|&(take, at)| bank_of(&takes[take][at])).collect();
    let bank = Bank::quantise(&frames);
    let shapes = statistics.shapes();
    let restoration = restoration::measure(takes, threshold, &bank, &chosen, &mean_key, &shapes);
    let (median_f0_hz, range_hz) = statistics.f0();
    let manifest = Manifest {
        format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
        kind: Kind::Voice,
        engine: ENGINE_NATIVE.to_owned(),
        content_space: if bank.is_empty() { String::new() } else { content_space.to_owned() },
        name: options.name.clone(),
        description: options.description.clone(),
        languages: options.languages.clone(),
        author: options.author.clone(),
        licence: options.licence.clone(),
        attribution: options.attribution.clone(),
        consent: options.consent.clone(),
        median_f0_hz,
        range_hz,
        delivery: statistics.delivery(),
        bandwidth_hz: options.bandwidth_hz.unwrap_or_else(|| statistics.bandwidth_hz()),
        voiced_seconds,
        previous_ids: Vec::new(),
        improved_from: None,
        members: Vec::new(),
    };
    Ok((manifest, NativeVoice { bank, shapes, restoration, absolute_share: 0.0, adaptation: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sung vowel at 48 kHz with pauses: harmonics under two formants.
    pub(super) fn vowel(f0_hz: f32, seconds: f32) -> Vec<f32> {
        let len = (seconds * 48_000.0) as usize;
        let harmonics: Vec<(f32, f32)> = (1..40)
            .map(|k| {
                let hz = f0_hz * k as f32;
                let peak = |centre: f32, width: f32| (-((hz - centre) / width).powi(2)).exp();
                (hz, 0.05 * (0.02 + peak(600.0, 200.0) + 0.5 * peak(1_700.0, 300.0)))
            })
            .collect();
        (0..len)
            .map(|n| {
                let t = n as f32 / 48_000.0;
                let is_pause = t % 2.0 > 1.7;
                let wave = |&(hz, amplitude): &(f32, f32)| amplitude * (std::f32::consts::TAU * hz * t).sin();
                if is_pause { 0.0 } else { harmonics.iter().map(wave).sum() }
            })
            .collect()
    }

    /// A voice file without a bank.
    pub(super) fn bare_voice() -> Vec<u8> {
        clone_voice([vowel(210.0, 6.0).as_slice()].into_iter(), None, &options(), &mut |_| ()).expect("enough voice")
    }

    /// A voice file with a bank of so many frames: contents of the population, said brighter than there.
    pub(super) fn spoken_voice(count: usize) -> Vec<u8> {
        let population = crate::engine::profile::SourceProfile::population();
        let bank = &population.bank;
        let frame = |n: usize| {
            let at = n * bank.len() / count;
            let key = std::array::from_fn(|d| f32::from(bank.keys()[at * 64 + d]) / bank.key_scale());
            let shape = bank.shape(at);
            let shape = std::array::from_fn(|band| shape[band] + (0.2 * band as f32).sin());
            BankFrame { key, shape, f0_hz: bank.f0_hz(at) }
        };
        let bank = Bank::quantise(&(0..count).map(frame).collect::<Vec<_>>());
        let bare = Voice::from_bytes(&bare_voice()).expect("readable");
        let parts = NativeVoice { bank, ..NativeVoice::clone(bare.native().expect("of the native engine")) };
        let content_space = population.content_space.clone();
        let manifest = Manifest { name: "Spoken".into(), content_space, ..bare.manifest().clone() };
        Voice::write(manifest, &parts).expect("a voice")
    }

    fn options() -> CloneOptions {
        CloneOptions { name: "Vowel".to_owned(), ..CloneOptions::default() }
    }

    #[test]
    fn a_vowel_becomes_a_voice_with_its_pitch_and_shape() {
        let recording = vowel(210.0, 6.0);
        let mut last = 0.0;
        let mut progress = |value: f32| {
            assert!(value >= last);
            last = value;
        };
        let make = |progress: &mut dyn FnMut(f32)| {
            clone_voice([recording.as_slice()].into_iter(), None, &options(), progress).expect("enough voice")
        };
        let bytes = make(&mut progress);
        assert_eq!(last, 1.0);
        assert_eq!(bytes, make(&mut |_| ()), "cloning is deterministic");
        let voice = Voice::from_bytes(&bytes).expect("readable");
        assert!((voice.median_f0_hz() / 210.0).log2().abs() * 12.0 < 0.3, "{}", voice.median_f0_hz());
        assert!(voice.manifest().voiced_seconds > 4.0);
        let shape = &voice.native().expect("of the native engine").shapes.voiced;
        let band = |hz: f32| crate::engine::bands::band_from_hz(hz).round() as usize;
        assert!(shape[band(600.0)] > shape[band(1_100.0)] + 2.0, "the first formant stands out");
        assert!(shape[band(1_700.0)] > shape[band(1_100.0)] + 1.0, "the second formant stands out");
    }

    #[test]
    fn too_little_voice_is_said_with_what_to_do() {
        let silence = vec![0.0; 480_000];
        for recording in [silence, vowel(150.0, 1.0), Vec::new()] {
            let result = clone_voice([recording.as_slice()].into_iter(), None, &options(), &mut |_| ());
            let error = result.expect_err("too short");
            assert!(matches!(error, CloneError::TooShort { .. }) && error.to_string().contains("Add recordings"));
        }
    }
}
