//! Makes a voice sound more like its speaker, from its file alone and offline. It gets closer if the file holds the
//! recordings.
//!
//! Three steps, chosen by measuring on speakers that are in no reported figure (`models/NOTEBOOK.md`):
//!
//! - The bank's keys are realigned: other singers' keys for a sound are not exactly where this voice's are. A linear map is
//!   fitted on pairs of nearest frames of the voice and of the population, new pairs are found with the mapped keys, and so
//!   on (`align`).
//! - At the default likeness a share of the absolute map is mixed into the differential one.
//! - The refiner of mix mode is adapted to the voice with its recordings, which are converted to another voice and back
//!   (`adapt`), more thoroughly than when the voice was made.
//!
//! The work is divided into steps of some milliseconds, so that it can be stopped, saved and resumed: [`checkpoint`] saves
//! it in files, [`job`] runs it for the editor. The result is a second file that names the first one; the first stays as
//! it is. Off the audio thread only.

pub(super) mod adapt;
mod align;
pub mod checkpoint;
pub mod job;
mod least_squares;

use std::sync::Arc;

use crate::engine::native::target::Target;
use crate::engine::profile::SourceProfile;
use crate::voice::manifest::{FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use crate::voice::{Bank, BankFrame, Extras, Manifest, NativeVoice, Package, Voice, VoiceError, VoiceId};

use adapt::Adapting;
use align::{Alignment, key};

/// Changes whenever the same voice would come out differently.
pub const METHOD: u32 = 2;

/// Share of the bank's own word at the default likeness.
const ABSOLUTE_SHARE: f32 = 0.35;

/// Share of the progress that belongs to the alignment where there is more to do.
const ALIGNMENT_PROGRESS: f32 = 0.1;

/// Longest name that still takes the addition.
const MAX_STEM_CHARS: usize = 100;

/// Why a voice cannot be improved.
#[derive(Debug, thiserror::Error)]
pub enum ImproveError {
    /// Another engine's voice.
    #[error("RVC voices cannot be improved; only Coffre's own kind can")]
    Foreign,
    /// Nothing to work on.
    #[error("the voice has no bank: it was made without content features. Clone it again with ONNX Runtime installed")]
    NoBank,
    /// The bank belongs to another content encoder.
    #[error(
        "the voice was made for another version of Coffre. Make it again first: `coffre clone OLD.coffre --name NAME`"
    )]
    OtherSpace,
    /// Once is all there is.
    #[error("the voice has already been improved")]
    Already,
    /// The file.
    #[error(transparent)]
    Voice(#[from] VoiceError),
}

/// A voice on its way to a better one.
#[derive(Debug)]
pub struct Improvement {
    id: VoiceId,
    extras: Extras,
    target: Target,
    alignment: Alignment,
    adapting: Option<Adapting>,
    not_adapted: Option<String>,
}

impl Improvement {
    /// Starts with the content of a voice file.
    ///
    /// # Errors
    /// [`ImproveError`]: why this voice cannot be improved, and what to do.
    pub fn new(bytes: &[u8]) -> Result<Self, ImproveError> {
        Self::new_with(bytes, None)
    }

    /// As [`Self::new`], with the recordings, a FLAC file as [`Extras`] holds it, where the file does not keep them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn new_with(bytes: &[u8], recordings: Option<Vec<u8>>) -> Result<Self, ImproveError> {
        let target = Target::of(&Arc::new(Voice::from_bytes(bytes)?)).ok_or(ImproveError::Foreign)?;
        let (voice, body) = (target.voice(), target.body());
        if body.bank.is_empty() {
            return Err(ImproveError::NoBank);
        }
        let population: Arc<SourceProfile> = SourceProfile::population();
        if voice.manifest().content_space != population.content_space {
            return Err(ImproveError::OtherSpace);
        }
        if voice.manifest().improved_from.is_some() {
            return Err(ImproveError::Already);
        }
        let extras = Extras::read(&Package::open(bytes)?)?;
        let alignment = Alignment::new(&body.bank, population);
        let adapting = match recordings.or_else(|| extras.recordings.clone()) {
            Some(recordings) => Adapting::new(&target, recordings),
            None => Err("its file does not keep the recordings".to_owned()),
        };
        let (adapting, not_adapted) = match adapting {
            Ok(adapting) => (Some(adapting), None),
            Err(reason) => (None, Some(reason)),
        };
        Ok(Self { id: target.id(), extras, target, alignment, adapting, not_adapted })
    }

    /// The voice that is being improved.
    pub fn id(&self) -> VoiceId {
        self.id
    }

    /// Its display name.
    pub fn name(&self) -> &str {
        self.target.voice().name()
    }

    /// Share of the work that is done, in `0.0..=1.0`.
    pub fn progress(&self) -> f32 {
        match &self.adapting {
            Some(adapting) => {
                let rest = (1.0 - ALIGNMENT_PROGRESS) * adapting.progress();
                (ALIGNMENT_PROGRESS * self.alignment.progress() + rest).min(1.0)
            }
            None => self.alignment.progress(),
        }
    }

    /// Why the refiner is not adapted any further; `None` if it is. The rest is done all the same.
    pub fn not_adapted(&self) -> Option<&str> {
        self.not_adapted.as_deref()
    }

    /// Does a little; some milliseconds. `false` when nothing is left to do.
    pub fn step(&mut self) -> bool {
        if self.alignment.step(&self.target.body().bank) {
            return true;
        }
        match self.adapting.as_mut().map(Adapting::step) {
            None | Some(Ok(false)) => false,
            Some(Ok(true)) => true,
            Some(Err(reason)) => {
                (self.adapting, self.not_adapted) = (None, Some(reason));
                false
            }
        }
    }

    /// The improved voice as a file, after doing the remaining work. A signature is not carried over: the file is a new one.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest is not valid.
    pub fn finish(mut self) -> Result<Vec<u8>, VoiceError> {
        while self.step() {}
        let body = self.target.body();
        let bank = &body.bank;
        let frame = |at: usize| BankFrame {
            key: self.alignment.map().apply(&key(bank, at)),
            shape: bank.shape(at),
            f0_hz: bank.f0_hz(at),
        };
        let frames: Vec<BankFrame> = (0..bank.len()).map(frame).collect();
        let better = NativeVoice {
            bank: Bank::quantise(&frames),
            absolute_share: ABSOLUTE_SHARE,
            // A voice that was just made has a first one.
            adaptation: self.adapting.as_ref().and_then(Adapting::finish).or_else(|| body.adaptation.clone()),
            shapes: body.shapes.clone(),
            restoration: body.restoration.clone(),
        };
        let old = self.target.voice().manifest().clone();
        let manifest = Manifest {
            format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
            name: improved_name(&old.name),
            // Sessions that know the old voice by a former id go on with the old voice.
            previous_ids: Vec::new(),
            improved_from: Some(self.id.to_string()),
            ..old
        };
        Voice::write_with(manifest, &better, self.extras, None)
    }
}

/// Display name of the better voice.
pub fn improved_name(name: &str) -> String {
    let stem: String = name.chars().take(MAX_STEM_CHARS).collect();
    format!("{} (improved)", stem.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::tests::spoken_voice;

    #[test]
    fn the_better_voice_says_what_it_is_and_keeps_everything_else() {
        let bytes = spoken_voice(900);
        let old = Voice::from_bytes(&bytes).expect("readable");
        let mut improvement = Improvement::new(&bytes).expect("a voice with a bank");
        let mut last = 0.0;
        while improvement.step() {
            assert!(improvement.progress() > last);
            last = improvement.progress();
        }
        assert_eq!(improvement.progress(), 1.0);
        let new_bytes = improvement.finish().expect("a file");
        let new = Voice::from_bytes(&new_bytes).expect("readable");
        assert_eq!(new.manifest().improved_from, Some(old.id().to_string()));
        assert_eq!(new.name(), "Spoken (improved)");
        assert_eq!(new.manifest().consent, old.manifest().consent);
        let [old, new] = [old, new].map(|voice| voice.native().expect("of the native engine").clone());
        assert_eq!((old.absolute_share, new.absolute_share), (0.0, ABSOLUTE_SHARE));
        assert_eq!((&new.shapes, &new.restoration), (&old.shapes, &old.restoration));
        assert_eq!(new.bank.f0_steps(), old.bank.f0_steps());
        for at in 0..old.bank.len() {
            let pairs = new.bank.shape(at).into_iter().zip(old.bank.shape(at));
            assert!(pairs.into_iter().all(|(new, old)| (new - old).abs() < 1e-4), "quantised anew, otherwise the same");
        }
        let again = Improvement::new(&bytes).expect("a voice");
        assert!(again.finish().expect("a file") == new_bytes, "the same voice gives the same file");
    }

    #[test]
    fn what_was_kept_is_taken_up_and_what_is_strange_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("some/where.work");
        let bytes = spoken_voice(200);
        let mut half = Improvement::new(&bytes).expect("a voice");
        while half.progress() < 0.5 {
            assert!(half.step());
        }
        half.keep(&path).expect("written");
        let mut resumed = Improvement::new(&bytes).expect("a voice");
        assert!(resumed.take_up(&path));
        assert!((0.25..=0.5).contains(&resumed.progress()), "{}", resumed.progress());
        let whole = Improvement::new(&bytes).expect("a voice").finish().expect("a file");
        assert!(resumed.finish().expect("a file") == whole, "the seam is not to be seen");

        let kept = std::fs::read(&path).expect("there");
        let mut other = Improvement::new(&spoken_voice(300)).expect("a voice");
        assert!(!other.take_up(&path), "another voice's work");
        let flipped = |at: usize| {
            let mut bytes = kept.clone();
            bytes[at] ^= 1;
            bytes
        };
        let strange = [
            Vec::new(),
            kept[..kept.len() - 1].to_vec(),
            flipped(3),
            flipped(200),
            flipped(kept.len() - 1),
            vec![7; 1 << 21],
        ];
        for content in strange {
            std::fs::write(&path, content).expect("written");
            let mut improvement = Improvement::new(&bytes).expect("a voice");
            assert!(!improvement.take_up(&path));
            assert_eq!(improvement.progress(), 0.0);
        }
        assert!(!Improvement::new(&bytes).expect("a voice").take_up(folder.path()), "a folder is no file");
    }

    #[test]
    fn what_cannot_be_improved_is_said_with_what_to_do() {
        let improved = Improvement::new(&spoken_voice(200)).expect("a voice").finish().expect("a file");
        assert!(matches!(Improvement::new(&improved), Err(ImproveError::Already)));
        let bare = crate::clone::tests::bare_voice();
        let error = Improvement::new(&bare).expect_err("no bank");
        assert!(matches!(error, ImproveError::NoBank) && error.to_string().contains("ONNX Runtime"));
        assert!(matches!(Improvement::new(b"no voice"), Err(ImproveError::Voice(_))));
        assert_eq!(improved_name(&"x".repeat(120)).chars().count(), MAX_STEM_CHARS + 11);
    }
}
