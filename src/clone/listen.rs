//! Listening to a voice before using it: its preview, decoded and brought to the rate of the output.
//!
//! Runs on a thread of its own at low priority and is polled for the result, so that nobody waits for it. Every byte of the
//! file is treated as hostile: the sound's length is bounded before and during decoding.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::background::background;
use crate::audio_file::mono_from_bytes;
use crate::engine::resample::{Resampler, look_ahead_len};
use crate::voice::{Extras, VoiceError, VoiceId, library};

/// Longest preview that is played, in seconds: what the file format allows, and a little.
const MAX_SECONDS: f64 = 4.5;

/// Rates of a preview in Hz; others no program that knows the format writes.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// A voice file of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceFile {
    /// SHA-256 of its content.
    pub id: VoiceId,
    /// Its path, or its name if it comes with Coffre.
    pub path: PathBuf,
    /// Whether it comes with Coffre.
    pub is_embedded: bool,
}

impl VoiceFile {
    /// Its bytes, if they are still those of the voice.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        let bytes = library::content_at(&self.path, self.is_embedded).map_err(|error| error.to_string())?;
        match VoiceId::of(&bytes) == self.id {
            true => Ok(bytes),
            false => Err("Its file has changed. Choose “Look again”.".to_owned()),
        }
    }
}

/// A sound to play, one channel at the wanted rate, or why there is none.
pub type Sound = Result<Box<[f32]>, String>;

/// A preview being read. Dropping it forgets the result.
#[derive(Debug)]
pub struct ListenJob {
    answer: Receiver<Sound>,
}

impl ListenJob {
    /// Begins to read the preview of a voice for an output of `rate` Hz.
    pub fn start(file: VoiceFile, rate: u32) -> Self {
        let (sender, answer) = channel();
        let run = move || {
            let sound = file.read().and_then(|bytes| preview_sound(&bytes, rate));
            // The editor may be gone by now.
            let _ = sender.send(sound);
        };
        // If no thread starts, the sender is dropped at once, and the caller is told.
        let _ = background("coffre-listen", run);
        Self { answer }
    }

    /// The sound, once it is there.
    pub fn answer(&self) -> Option<Sound> {
        match self.answer.try_recv() {
            Ok(sound) => Some(sound),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err("The preview could not be read.".to_owned())),
        }
    }
}

/// The preview in the bytes of a voice file, at `rate` Hz.
///
/// # Errors
/// In words: what is wrong with the file or its preview.
pub fn preview_sound(bytes: &[u8], rate: u32) -> Sound {
    let preview = Extras::peek_preview(bytes).map_err(|error: VoiceError| error.to_string())?;
    let preview = preview.ok_or("This voice has no preview.")?;
    let (samples, from) = mono_from_bytes("The preview", preview, MAX_SECONDS).map_err(|error| error.to_string())?;
    if !RATES.contains(&from) || !RATES.contains(&rate) {
        return Err(format!("A preview of {from} Hz cannot be played at {rate} Hz."));
    }
    let mut resampler = Resampler::new(from, rate, 0);
    resampler.push(&samples);
    // What the last samples need after them.
    resampler.push(&vec![0.0; look_ahead_len(from, rate)]);
    let mut sound = vec![0.0; resampler.available()];
    resampler.pull(&mut sound);
    Ok(sound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio_file::flac_from_samples;
    use crate::voice::manifest::ElementType;
    use crate::voice::package::{Package, PackageWriter};

    /// An embedded voice with something in the place of its preview, or without.
    fn voice_with(preview: impl Into<Option<Vec<u8>>>) -> Vec<u8> {
        let package = Package::open(include_bytes!("../../models/voices/opal.coffre")).expect("a voice");
        let mut writer = PackageWriter::new(package.manifest.clone());
        for (member, data) in package.into_members().into_iter().filter(|(member, _)| member.path != "preview.flac") {
            let shape: Vec<usize> = member.shape.iter().map(|&n| n as usize).collect();
            writer.push(&member.path, member.dtype, &shape, data);
        }
        if let Some(preview) = preview.into() {
            writer.push("preview.flac", ElementType::U8, &[preview.len()], preview);
        }
        writer.finish().expect("a file")
    }

    fn sine(rate: u32, seconds: f64) -> Vec<u8> {
        let step = std::f64::consts::TAU * 440.0 / f64::from(rate);
        let len = (seconds * f64::from(rate)) as usize;
        let samples: Vec<i16> = (0..len).map(|n| (16_384.0 * (n as f64 * step).sin()) as i16).collect();
        flac_from_samples(&samples, rate).expect("FLAC")
    }

    #[test]
    fn a_preview_keeps_its_pitch_and_length_at_every_rate() {
        let bytes = voice_with(sine(24_000, 2.0));
        for rate in [44_100, 48_000, 96_000, 192_000] {
            let sound = preview_sound(&bytes, rate).expect("a sound");
            assert!(sound.len().abs_diff(2 * rate as usize) <= 16, "{rate}: {}", sound.len());
            let step = std::f64::consts::TAU * 440.0 / f64::from(rate);
            let worst = (rate as usize / 10..rate as usize)
                .map(|n| (f64::from(sound[n]) - 0.5 * (n as f64 * step).sin()).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-3, "{rate}: {worst}");
        }
    }

    #[test]
    fn the_voices_that_come_with_coffre_can_be_listened_to() {
        let library = library::Library::scan(&[]);
        let embedded = library.entries().iter().filter(|entry| entry.origin == library::Origin::Embedded);
        assert!(embedded.clone().count() >= 8);
        for entry in embedded {
            let bytes = library::content(entry).expect("its bytes");
            let sound = preview_sound(&bytes, 48_000).expect("a sound");
            let level = (sound.iter().map(|x| x * x).sum::<f32>() / sound.len() as f32).sqrt();
            assert!(sound.len().abs_diff(4 * 48_000) <= 16 && (0.01..0.3).contains(&level), "{}: {level}", entry.name);
            assert!(Extras::peek_portrait(&bytes).is_ok_and(|portrait| portrait.is_some()), "{}", entry.name);
        }
    }

    #[test]
    fn hostile_previews_are_words_and_nothing_else() {
        let none = preview_sound(&voice_with(None), 48_000);
        assert_eq!(none, Err("This voice has no preview.".to_owned()));
        let good = sine(24_000, 1.0);
        let mut cut = good.clone();
        cut.truncate(good.len() / 2);
        let mut scrambled = good.clone();
        scrambled[60..].iter_mut().enumerate().for_each(|(n, byte)| *byte ^= (n % 251) as u8);
        let bad = [b"RIFF no FLAC".to_vec(), b"fLaC".to_vec(), cut, scrambled, sine(24_000, 30.0), sine(1_000, 1.0)];
        for (n, bad) in bad.into_iter().enumerate() {
            let said = preview_sound(&voice_with(bad), 48_000).expect_err("refused");
            assert!(said.len() > 10, "{n}: {said}");
        }
        let large = preview_sound(&voice_with([b"fLaC".as_slice(), &vec![0; 3 << 20]].concat()), 48_000);
        assert!(large.is_err_and(|said| said.contains("at most")));
        assert!(preview_sound(b"no voice", 48_000).is_err());
    }

    #[test]
    fn a_file_that_was_replaced_is_not_played() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.coffre");
        let bytes = voice_with(sine(24_000, 1.0));
        std::fs::write(&path, &bytes).expect("written");
        let file = VoiceFile { id: VoiceId::of(&bytes), path: path.clone(), is_embedded: false };
        assert!(file.read().is_ok());
        std::fs::write(&path, b"another").expect("written");
        assert!(file.read().is_err_and(|said| said.contains("has changed")));
    }
}
