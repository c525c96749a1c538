//! One recording on its way into a voice: any file and rate in, mono at 48 kHz out, its clipping and its hash noted.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::audio_file::folder::{self, Look};
use crate::audio_file::{AudioFileError, AudioReader};
use crate::dsp::downmix::{Choice, DownMix};
use crate::engine::ENGINE_RATE;
use crate::engine::latency::{MAX_HOST_RATE, MIN_HOST_RATE};
use crate::engine::resample::Resampler;
use crate::voice::package::hex;

/// Magnitude from which a flat top is clipping, whatever its level in the file. 0.25 = -12 dBFS.
const LEAST_CLIP: f32 = 0.25;

/// Equal samples in a row that make a flat top: four at 48 kHz. The round top of a low tone has fewer.
pub(super) fn flat_top(rate: u32) -> u32 {
    (4 * rate).div_ceil(48_000).max(3)
}

/// Why recordings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] AudioFileError),
    /// A rate that is not converted.
    #[error("{} has {rate} Hz; {MIN_HOST_RATE} to {MAX_HOST_RATE} Hz can be read. Convert it first", .path.display())]
    Rate {
        /// The file.
        path: PathBuf,
        /// Its rate in Hz.
        rate: u32,
    },
    /// A folder without audio.
    #[error("{} holds no audio file", .path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The system would not read it.
    #[error("{} cannot be read: {reason}", .path.display())]
    Unreadable {
        /// File or folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

/// The audio files that paths mean, see [`folder::look`].
///
/// # Errors
/// [`RecordingError::EmptyFolder`] for a folder without any.
pub fn audio_files(paths: &[PathBuf], is_recursive: bool) -> Result<Look, RecordingError> {
    let found = folder::look(paths, is_recursive, None);
    for path in paths.iter().filter(|path| path.is_dir()) {
        if found.files.iter().any(|file| file.path.starts_with(path)) {
            continue;
        }
        return Err(match found.closed.iter().find(|closed| closed.starts_with(path)) {
            Some(closed) => {
                let reason = "the system does not show it".into();
                RecordingError::Unreadable { path: closed.clone(), reason }
            }
            None => RecordingError::EmptyFolder { path: path.clone() },
        });
    }
    Ok(found)
}

/// A recording being read, piece by piece.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    reader: AudioReader,
    resampler: Resampler,
    block: Vec<f32>,
    down: DownMix,
    mono: Vec<f32>,
    flat_tops: FlatTops,
    is_flushed: bool,
    /// Output samples that the whole recording gives, and those given; known at its end.
    given: u64,
}

impl Recording {
    /// Opens a file.
    ///
    /// # Errors
    /// [`RecordingError::File`] or [`RecordingError::Rate`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let reader = AudioReader::open(path)?;
        let rate = reader.spec().rate;
        if !(MIN_HOST_RATE..=MAX_HOST_RATE).contains(&rate) {
            return Err(RecordingError::Rate { path: path.into(), rate });
        }
        let channels = reader.spec().channels;
        let flat_tops = FlatTops::new(channels, flat_top(rate));
        Ok(Self {
            path: path.into(),
            reader,
            resampler: Resampler::new(rate, ENGINE_RATE, 0),
            block: Vec::new(),
            down: DownMix::new(channels, Choice::Sum),
            mono: Vec::new(),
            flat_tops,
            is_flushed: false,
            given: 0,
        })
    }

    /// Length in seconds, when the header says it.
    pub fn seconds_hint(&self) -> Option<f64> {
        self.reader.len_hint().map(|len| len as f64 / f64::from(self.reader.spec().rate))
    }

    /// What was wrong with the file although it could be read, see [`AudioReader::remark`].
    pub fn remark(&self) -> Option<String> {
        self.reader.remark()
    }

    /// Where clipping was seen so far: flat tops.
    pub fn clipped(&self) -> u64 {
        self.flat_tops.count
    }

    /// Replaces `samples` by the next piece at 48 kHz, mono; `false` at the end.
    ///
    /// # Errors
    /// [`RecordingError::File`].
    pub fn read(&mut self, samples: &mut Vec<f32>) -> Result<bool, RecordingError> {
        samples.clear();
        if self.is_flushed {
            return Ok(false);
        }
        let spec = self.reader.spec();
        self.mono.clear();
        if self.reader.read(&mut self.block)? {
            self.flat_tops.push(&self.block);
            self.mono.extend(self.block.chunks_exact(spec.channels).map(|frame| self.down.step(frame)));
            self.resampler.push(&self.mono);
        } else {
            // What the resampler still holds back comes out with silence behind it, to the recording's exact length.
            self.is_flushed = true;
            self.mono.resize(self.resampler.missing_len(1) + 4 * spec.rate as usize / 100, 0.0);
            self.resampler.push(&self.mono);
        }
        let mut count = self.resampler.available() as u64;
        if self.is_flushed {
            let whole = (self.reader.position() * u64::from(ENGINE_RATE)).div_ceil(u64::from(spec.rate));
            count = count.min(whole.saturating_sub(self.given));
        }
        samples.resize(usize::try_from(count).unwrap_or(0), 0.0);
        self.resampler.pull(samples);
        self.given += count;
        Ok(true)
    }

    /// SHA-256 of the file's bytes, lower-case hexadecimal. Reads it once more, in pieces.
    ///
    /// # Errors
    /// [`RecordingError::Unreadable`].
    pub fn sha256(&self) -> Result<String, RecordingError> {
        file_sha256(&self.path)
    }
}

fn file_sha256(path: &Path) -> Result<String, RecordingError> {
    let hash = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hex(&hash.finalize())),
                len => hash.update(&piece[..len]),
            }
        }
    };
    hash().map_err(|error| RecordingError::Unreadable { path: path.into(), reason: error.to_string() })
}

/// The hash that a consent record names: that of the one recording, or of the list of all hashes, one per line.
///
/// `sha256sum FILES | cut -c1-64 | sha256sum` gives the same for several files.
pub fn recordings_sha256(hashes: &[String]) -> Option<String> {
    match hashes {
        [] => None,
        [one] => Some(one.clone()),
        all => Some(hex(&Sha256::digest(all.iter().map(|hash| format!("{hash}\n")).collect::<String>()))),
    }
}

/// Counts runs of equal samples far from zero, per channel: what clipping leaves, also when the level was lowered later.
#[derive(Debug)]
pub(super) struct FlatTops {
    /// Last sample and length of its run, per channel.
    runs: Vec<(f32, u32)>,
    /// Length of a run that counts.
    least: u32,
    count: u64,
}

impl FlatTops {
    pub(super) fn new(channels: usize, least: u32) -> Self {
        Self { runs: vec![(0.0, 0); channels], least, count: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn push(&mut self, interleaved: &[f32]) {
        for frame in interleaved.chunks_exact(self.runs.len()) {
            for (run, &sample) in self.runs.iter_mut().zip(frame) {
                let is_equal = (sample - run.0).abs() <= 1e-6 && sample.abs() >= LEAST_CLIP;
                *run = (sample, if is_equal { run.1 + 1 } else { 1 });
                self.count += u64::from(run.1 == self.least);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio_file::{AudioSpec, AudioWriter, SampleFormat};

    fn file(folder: &Path, rate: u32, gain: f32) -> PathBuf {
        let path = folder.join(format!("{rate}.wav"));
        let spec = AudioSpec { rate, channels: 2, format: SampleFormat::Int { bits: 16 } };
        let mut writer = AudioWriter::create(&path, spec).expect("created");
        let tone = |n: u32| (n as f32 * 330.0 * std::f32::consts::TAU / rate as f32).sin();
        let samples: Vec<f32> = (0..rate / 2).flat_map(|n| [gain * tone(n), gain * tone(n)]).collect();
        writer.write(&samples).expect("written");
        writer.finish().expect("finished");
        path
    }

    #[test]
    fn any_rate_becomes_48_khz_of_the_same_length() {
        let folder = tempfile::tempdir().expect("a folder");
        for rate in [8_000, 16_000, 44_100, 48_000, 96_000, 192_000] {
            let mut recording = Recording::open(&file(folder.path(), rate, 0.5)).expect("readable");
            let (mut all, mut piece) = (Vec::new(), Vec::new());
            while recording.read(&mut piece).expect("readable") {
                all.extend_from_slice(&piece);
            }
            assert_eq!(all.len(), 24_000, "{rate}");
            for (n, sample) in all.iter().enumerate().take(22_000).skip(2_000) {
                let wanted = 0.5 * (n as f32 * 330.0 * std::f32::consts::TAU / 48_000.0).sin();
                assert!((sample - wanted).abs() < 2e-3, "{rate}: {n}: {sample} {wanted}");
            }
            assert_eq!(recording.clipped(), 0);
        }
    }

    #[test]
    fn clipping_is_seen_and_a_tone_is_not_clipping() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut recording = Recording::open(&file(folder.path(), 48_000, 1.6)).expect("readable");
        let mut piece = Vec::new();
        while recording.read(&mut piece).expect("readable") {}
        // Two tops per period, 330 periods a second, half a second, two channels.
        assert!((600..=680).contains(&recording.clipped()), "{}", recording.clipped());
    }

    #[test]
    fn folders_stand_for_their_audio_files_and_hashes_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(audio_files(&[folder.path().into()], false), Err(RecordingError::EmptyFolder { .. })));
        for name in ["b.wav", "a.FLAC", "notes.txt"] {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        let found = audio_files(&[folder.path().into(), "c.wav".into()], false).expect("two files");
        let found: Vec<PathBuf> = found.files.into_iter().map(|file| file.path).collect();
        let names: Vec<_> = found.iter().map(|path| path.file_name().and_then(|name| name.to_str())).collect();
        assert_eq!(names, [Some("a.FLAC"), Some("b.wav"), Some("c.wav")]);
        let one = file_sha256(&found[1]).expect("readable");
        assert_eq!(one, hex(&Sha256::digest(b"b.wav")));
        assert_eq!(recordings_sha256(std::slice::from_ref(&one)), Some(one.clone()));
        let both = Sha256::digest(format!("{one}\n{one}\n"));
        assert_eq!(recordings_sha256(&[one.clone(), one]), Some(hex(&both)));
        assert_eq!(recordings_sha256(&[]), None);
    }
}
